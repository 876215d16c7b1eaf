"""Reading back all that an index holds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.params import BuildParams
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_living_documents_in_order(tmp_path, batch_size):
    rng = np.random.default_rng(2)
    matrix = sp.random_array((20, 9), density=0.4, rng=rng, format="csr", dtype=np.float32)
    ids = [f"d{i}" for i in range(20)]
    with IndexWriter.create(tmp_path, n_terms=9, params=BuildParams("float32")) as writer:
        for start in (0, 8):
            writer.add_vectors(matrix[start : start + 12], ids[start : start + 12])
            writer.commit()
        writer.delete(["d3", "d15"])
    with Index.open(tmp_path) as index:
        numbers, rows = [], []
        for docs, vectors in index.stored_vectors(batch_size):
            assert len(docs) == vectors.shape[0] <= batch_size
            numbers += docs
            rows.append(vectors.toarray())
        assert numbers == sorted(numbers)
        found = [index.documents([doc])[doc].doc_id for doc in numbers]
        assert sorted(found) == sorted(set(ids) - {"d3", "d15"})
        expected = matrix.toarray()[[ids.index(doc_id) for doc_id in found]]
        assert (np.vstack(rows) == expected).all()
        with pytest.raises(InvalidInputError, match="batch_size is 0"):
            list(index.stored_vectors(0))
