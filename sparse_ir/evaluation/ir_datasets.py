"""Collections by their id in the catalogue of the package ``ir_datasets``, which downloads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sparse_ir.corpus import Document, Query
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.evaluation.collection import Collection, judged_queries
from sparse_ir.evaluation.trec import Qrels


def read_ir_dataset(name: str) -> Collection:
    """The collection with this id, as ``beir/scifact/test``.

    Raises:
        MissingDependencyError: the package is not installed.
        InvalidInputError: an unknown id, or one without documents, queries or judgements.
    """
    try:
        import ir_datasets
    except ImportError:
        raise MissingDependencyError("ir-datasets", extra="eval", purpose=f"irds:{name}") from None
    try:
        dataset = ir_datasets.load(name)
    except KeyError:
        raise InvalidInputError(f"ir_datasets knows no {name!r}; want an id of its list") from None
    for part in ("docs", "queries", "qrels"):
        if not getattr(dataset, f"has_{part}")():
            raise InvalidInputError(f"irds:{name} has no {part}; want an id with all of them")
    qrels: Qrels = {}
    for judgement in dataset.qrels_iter():
        qrels.setdefault(judgement.query_id, {})[judgement.doc_id] = int(judgement.relevance)
    queries = [Query(query.query_id, query.default_text()) for query in dataset.queries_iter()]
    return Collection(
        name, "", judged_queries(queries, qrels, f"irds:{name}"), qrels, lambda: _documents(dataset)
    )


def _documents(dataset: Any) -> Iterator[Document]:
    for document in dataset.docs_iter():
        yield Document(document.doc_id, document.default_text())
