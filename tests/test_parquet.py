"""Parquet of other writers: the same rows, whichever of its list types they are in."""

from __future__ import annotations

import numpy as np
import pytest

from sparse_ir.parquet import ParquetVectors

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
DENSE = np.array([[0, 1.5, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0.25]])


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("list_of", [pa.list_, pa.large_list])
def test_lists_of_both_sizes(tmp_path, list_of, batch_size):
    columns = {
        "id": ["x", "y", "z"],
        "indices": pa.array([np.flatnonzero(row) for row in DENSE], list_of(pa.int64())),
        "values": pa.array([row[row > 0] for row in DENSE], list_of(pa.float64())),
    }
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    vectors = ParquetVectors(tmp_path / "v.parquet")
    assert vectors.n_terms == 4
    parts = list(vectors.batches(4, batch_size))
    assert [doc_id for ids, _ in parts for doc_id in ids] == ["x", "y", "z"]
    assert (np.vstack([matrix.toarray() for _, matrix in parts]) == DENSE).all()
