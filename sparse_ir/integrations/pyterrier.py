"""PyTerrier: our search as a stage of its pipelines.

with SparseRetriever.open("index") as retriever:
    pipeline = SparseIR(retriever) % 100 >> reranker
    pt.Experiment([pipeline], topics, qrels, ["ndcg_cut_10"])
"""

from __future__ import annotations

from typing import Any

from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.retriever import SparseRetriever

try:
    import pandas as pd
    import pyterrier as pt
except ImportError:
    raise MissingDependencyError(
        "pyterrier", extra="pyterrier", purpose="a PyTerrier transformer"
    ) from None


class SparseIR(pt.Transformer):
    """Retrieves documents for queries: a frame with qid, query becomes one with docno, score, rank.

    Args:
        retriever: An open index.
        mode: ``anchored``, ``learned`` or ``lexical``.
        num_results: Hits a query at most, >= 1.
        threads: Queries searched at once.

    Raises:
        InvalidInputError: ``num_results`` < 1.
    """

    def __init__(
        self,
        retriever: SparseRetriever,
        *,
        mode: Mode = "anchored",
        num_results: int = 1000,
        threads: int = 1,
    ) -> None:
        super().__init__()
        if num_results < 1:
            raise InvalidInputError(f"num_results is {num_results}; want an integer >= 1")
        self.retriever = retriever
        self.mode: Mode = mode
        self.num_results = num_results
        self.threads = threads

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """A row a hit: the query's own columns, docno, score, and rank from 0.

        Args:
            inp: With the columns qid and query; may be empty.

        Raises:
            pyterrier.validate.InputValidationError: a column is missing.
        """
        pt.validate.query_frame(inp, extra_columns=["query"])
        replaced = [name for name in ("score", "rank") if name in inp.columns]
        queries = inp.drop(columns=replaced).reset_index(drop=True)
        hits = self.retriever.search_arrays(
            queries["query"].tolist(), self.num_results, mode=self.mode, threads=self.threads
        )
        counts = hits.counts.tolist()
        found = queries.loc[queries.index.repeat(counts)].reset_index(drop=True)
        scores = [score for row, n in zip(hits.scores, counts, strict=True) for score in row[:n]]
        return found.assign(
            docno=pd.Series([doc_id for row in hits.ids for doc_id in row], dtype=object),
            score=pd.Series(scores, dtype="float64"),
            rank=pd.Series([rank for n in counts for rank in range(n)], dtype="int64"),
        )

    def fuse_rank_cutoff(self, k: int) -> SparseIR:
        """``retriever % k`` searches for k hits at once, not for more that are cut off."""
        if k >= self.num_results:
            return self
        return SparseIR(self.retriever, mode=self.mode, num_results=k, threads=self.threads)

    def __repr__(self) -> str:
        return f"SparseIR({str(self.retriever.index.path)!r}, mode={self.mode!r})"

    def __hash__(self) -> int:
        return hash(self._key())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SparseIR) and self._key() == other._key()

    def _key(self) -> tuple[Any, ...]:
        return (str(self.retriever.index.path), self.mode, self.num_results)
