"""The plainest scorer there is: a document's score by its definition, in numpy, one by one."""

from __future__ import annotations

import numpy as np

F32 = np.float32


def score(query, row) -> np.float32:
    """Float32 sum of products in ascending term order; query and row are {term: weight}."""
    total = F32(0)
    for term in sorted(query.keys() & row.keys()):
        total = F32(total + F32(F32(query[term]) * F32(row[term])))
    return total


def top(query, rows, k):
    """[(doc, score)] of the k best of {doc: row}: score descending, then doc ascending."""
    scored = [(doc, score(query, row)) for doc, row in rows.items()]
    hits = sorted((-s, doc) for doc, s in scored if s > 0)
    return [(doc, -s) for s, doc in hits[:k]]
