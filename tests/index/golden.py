"""The content of the golden indexes; run as a script it makes those of this release's format.

    python tests/index/golden.py

makes ``tests/data/index_v<version>/<precision>``, once for every format version that is released;
an existing one is never made anew, for what old releases wrote is what it proves.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp

DATA = Path(__file__).parent.parent / "data"
N_DOCS = 4500  # enough for every optional section of a segment
N_TERMS = 97
DELETED = range(100, 200)
TEXTS = {"t0": "red fox red", "t1": "hen", "t2": "fox and hen and fox"}
PASSAGES = {"t2": [(0, 11, {3: 0.5}), (8, 19, {3: 0.25, 7: 2.0})]}  # start, end, weights


def row(i):
    """{term: weight} of document i; the weights are exact in every precision but uint8."""
    return {i % 7: 1.0 + i % 4, 10 + i % 31: 0.5, 50 + (i * i) % 47: 2.0 + (i % 16) / 8}


def matrix(docs):
    items = [sorted(row(i).items()) for i in docs]
    indptr = np.cumsum([0, *map(len, items)])
    terms = np.array([term for item in items for term, _ in item])
    weights = np.array([weight for item in items for _, weight in item], np.float32)
    return sp.csr_array((weights, terms, indptr), shape=(len(items), N_TERMS))


def make(path, precision):
    from sparse_ir.corpus import Document
    from sparse_ir.index.params import BuildParams
    from sparse_ir.index.passages import StoredPassage
    from sparse_ir.index.writer import IndexWriter

    names = [f"term{i}" for i in range(N_TERMS)]
    params = BuildParams(precision=precision)
    with IndexWriter.create(path, n_terms=N_TERMS, term_names=names, params=params) as writer:
        ids = [f"d{i}" for i in range(N_DOCS)]
        metadata = [{"third": i % 3 == 0, "number": i} for i in range(N_DOCS)]
        writer.add_vectors(matrix(range(N_DOCS)), ids, metadata=metadata)
        writer.commit()
        writer.delete([f"d{i}" for i in DELETED])
        documents = [Document(doc_id, text, "a title") for doc_id, text in TEXTS.items()]
        words = [document.text.split() for document in documents]
        passages = [
            [
                StoredPassage(a, b, np.array([*w], np.uint32), np.array([*w.values()], np.float32))
                for a, b, w in PASSAGES.get(doc_id, [])
            ]
            for doc_id in TEXTS
        ]
        writer.add(documents, matrix(range(len(documents))), words, passages=passages)
    (path / "writer.lock").unlink()


def main():
    from sparse_ir.index.catalog import FORMAT_VERSION

    for precision in sys.argv[1:] or ("float32", "float16", "uint8"):
        path = DATA / f"index_v{FORMAT_VERSION}" / precision
        if path.exists():
            print(f"{path} is there already")
            continue
        make(path, precision)
        n_bytes = sum(file.stat().st_size for file in path.iterdir())
        print(f"{path}: {n_bytes:,} bytes")


if __name__ == "__main__":
    main()
