"""DSPy: our search as its retrieval model. It needs nothing of DSPy but to be called.

dspy.configure(lm=lm, rm=SparseIRRM(SparseRetriever.open("index")))
dspy.Retrieve(k=3)("question").passages
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparse_ir.index.filters import Filter
from sparse_ir.integrations.asking import ask, metadata_of, text_of
from sparse_ir.retrieval.retriever import Retriever


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage; ``long_text`` is what ``dspy.Retrieve`` reads."""

    long_text: str
    doc_id: str
    score: float
    metadata: dict[str, Any]


class SparseIRRM:
    """Finds passages for a query when called.

    Args:
        retriever: An open ``SparseRetriever``, or any other ``Retriever``.
        k: Passages wanted where the caller does not say, >= 1.
        mode: One of the retriever's, as ``lexical``; None is what it does by itself.
        filter: Only documents whose metadata match.
    """

    def __init__(
        self,
        retriever: Retriever,
        *,
        k: int = 3,
        mode: str | None = None,
        filter: Filter | None = None,
    ) -> None:
        self.retriever = retriever
        self.k = k
        self.mode = mode
        self.filter = filter

    def __call__(
        self, query: str, k: int | None = None, *, filter: Filter | None = None
    ) -> list[Passage]:
        """The k best passages, best first; a filter given here takes the place of the other.

        Raises:
            InvalidInputError: ``k`` < 1, or a bad filter.
        """
        hits = ask(
            self.retriever,
            query,
            self.k if k is None else k,
            mode=self.mode,
            filter=self.filter if filter is None else filter,
        )
        return [Passage(text_of(hit), hit.doc_id, hit.score, metadata_of(hit)) for hit in hits]
