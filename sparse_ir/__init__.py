"""Learned sparse retrieval: text in, exact ranked hits out, one index for both kinds of terms."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparse_ir.corpus import Document, Query, read_documents, read_queries
    from sparse_ir.encoders.encoder import Encoder, load_encoder
    from sparse_ir.encoders.lookup import LookupEncoder
    from sparse_ir.encoders.masked_lm import MaskedLMEncoder
    from sparse_ir.errors import (
        DataFormatError,
        IndexFormatError,
        IndexLockedError,
        InvalidInputError,
        MissingDependencyError,
        SparseIRError,
        VocabularyMismatchError,
    )
    from sparse_ir.hits import Hit, Hits
    from sparse_ir.index.params import Approximate, Exact
    from sparse_ir.index.reader import Index
    from sparse_ir.index.writer import IndexWriter
    from sparse_ir.retrieval.fusion import Fusion
    from sparse_ir.retrieval.hybrid import HybridRetriever
    from sparse_ir.retrieval.ingest import ingest
    from sparse_ir.retrieval.recall_tuning import tune_recall
    from sparse_ir.retrieval.retriever import Retriever, SparseRetriever
    from sparse_ir.vectors import as_term_weights
    from sparse_ir.vocabulary import Vocabulary

__version__ = "0.1.0"

_HOME = {
    "Approximate": "index.params",
    "DataFormatError": "errors",
    "Document": "corpus",
    "Encoder": "encoders.encoder",
    "Exact": "index.params",
    "Fusion": "retrieval.fusion",
    "Hit": "hits",
    "Hits": "hits",
    "HybridRetriever": "retrieval.hybrid",
    "Index": "index.reader",
    "IndexFormatError": "errors",
    "IndexLockedError": "errors",
    "IndexWriter": "index.writer",
    "InvalidInputError": "errors",
    "LookupEncoder": "encoders.lookup",
    "MaskedLMEncoder": "encoders.masked_lm",
    "MissingDependencyError": "errors",
    "Query": "corpus",
    "Retriever": "retrieval.retriever",
    "SparseIRError": "errors",
    "SparseRetriever": "retrieval.retriever",
    "Vocabulary": "vocabulary",
    "VocabularyMismatchError": "errors",
    "as_term_weights": "vectors",
    "ingest": "retrieval.ingest",
    "load_encoder": "encoders.encoder",
    "read_documents": "corpus",
    "read_queries": "corpus",
    "tune_recall": "retrieval.recall_tuning",
}

__all__ = [  # noqa: PLE0604  (the names are the keys above)
    *_HOME
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for, so that ``--help`` waits for no library."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
