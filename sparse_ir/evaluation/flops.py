"""How much work a sparse retriever's queries and documents are, whatever index they are in.

Source: Paria et al. 2020, "Minimizing FLOPs to Learn Efficient Sparse Representations",
arXiv:2004.05665; counted as in Formal et al. 2021, "SPLADE", arXiv:2107.05720.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparse_ir.vectors import TermWeights


def expected_flops(queries: TermWeights, frequencies: NDArray[np.int64], n_docs: int) -> float:
    """Terms that a random query and a random document share, on average.

    That is the sum over all terms of P(a query has it) x P(a document has it); 0 of no queries or
    no documents.

    Args:
        queries: (Q, V) term weights.
        frequencies: (V,) or more; in how many documents each term occurs.
        n_docs: Of the collection.
    """
    common = frequencies[queries.indices].sum()
    return float(common / max(queries.shape[0], 1) / max(n_docs, 1))
