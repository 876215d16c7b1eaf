"""Validation by real search: documents in an index, queries searched, hits judged.

The index is made without neighbours and passages (``retrieval``): a model is judged by itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sparse_ir.corpus import Document, read_documents, read_queries
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.encoder import Encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.evaluation.evaluate import evaluate
from sparse_ir.evaluation.flops import expected_flops
from sparse_ir.evaluation.trec import judged_at
from sparse_ir.hits import Hits
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.lines import error_at
from sparse_ir.retrieval.retriever import SparseRetriever
from sparse_ir.training.examples import read_answers, require_answers
from sparse_ir.vectors import TermWeights

_DEPTH = 10
_MEASURE = f"nDCG@{_DEPTH}"


@dataclass(frozen=True, slots=True)
class DevSet:
    """Documents to search, questions, and what answers them.

    Args:
        name: Its results are reported under it.
        documents: All that are searched.
        queries: {query_id: text}.
        qrels: {query_id: {doc_id: grade}} of what is relevant.
    """

    name: str
    documents: Sequence[Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def read_dev_set(
    folder: Path,
    *,
    split: str,
    max_queries: int,
    max_documents: int,
    name: str = "",
    seed: int = 0,
) -> DevSet:
    """A sample of a BEIR folder: some queries, their judged documents, and others at random.

    Its name is the folder's, if none is given.

    Raises:
        DataFormatError: a line of the qrels is malformed, or names a query or document that the
            folder does not hold.
        InvalidInputError: no query has a relevant document.
        OSError: a file is missing.
    """
    draw = np.random.default_rng(seed)
    judgements = folder / "qrels" / f"{split}.tsv"
    qrels = read_answers(judgements)
    asked = sorted(qrels)
    if not asked:
        raise InvalidInputError(f"{folder} has no relevant document for split {split!r}")
    all_documents = list(read_documents(folder, allow_empty=True))
    require_answers(judgements, qrels, {document.doc_id for document in all_documents})
    if len(asked) > max_queries:
        asked = [asked[i] for i in sorted(draw.choice(len(asked), max_queries, replace=False))]
    qrels = {query_id: qrels[query_id] for query_id in asked}
    judged = {doc_id for grades in qrels.values() for doc_id in grades}
    order = draw.permutation(len(all_documents))
    others = [i for i in order.tolist() if all_documents[i].doc_id not in judged]
    kept = set(others[: max(0, max_documents - len(judged))])
    documents = [d for i, d in enumerate(all_documents) if i in kept or d.doc_id in judged]
    texts = {q.query_id: q.text for q in read_queries(folder) if q.query_id in qrels}
    if missing := [query_id for query_id in asked if query_id not in texts]:
        place, file = judged_at(judgements, missing[0]), folder / "queries.jsonl"
        raise error_at(place, f"query {missing[0]!r}", f"one of {file}")
    return DevSet(name or folder.name, documents, texts, qrels)


@dataclass(frozen=True, slots=True)
class DevResult:
    """What a model does on a dev set, by search in a real index.

    Args:
        lexical: nDCG@10 of BM25, which training does not change: what is to be beaten.
        learned: nDCG@10 of the learned mode.
        anchored: {g: nDCG@10 of the anchored mode with that weight}.
        terms: Learned terms a document.
        flops: Expected common learned terms of a query and a document.
    """

    lexical: float
    learned: float
    anchored: dict[float, float]
    terms: float
    flops: float


def search_dev_set(
    dev: DevSet,
    documents: Encoder,
    queries: Encoder,
    *,
    anchor_weights: Sequence[float],
    collection_idf: bool,
    analyzer: Analyzer | None = None,
) -> DevResult:
    """What the encoders do on a dev set, without what ``ingest`` has documents take over.

    Args:
        dev: What is searched.
        documents: Encodes documents.
        queries: Encodes queries.
        anchor_weights: Each g that anchored search is tried with.
        collection_idf: As ``ModelSettings``.
        analyzer: Of the texts; None is the default one.
    """
    texts = [document.content for document in dev.documents]
    vectors = documents.encode(texts)
    asked = list(dev.queries.values())
    query_vectors = queries.encode(asked)
    analyzer = analyzer or Analyzer()
    settings = {
        "model": "student",
        "anchor_weight": 1.0,
        "collection_idf": collection_idf,
        "language": analyzer.language,
    }
    with tempfile.TemporaryDirectory() as folder:
        with IndexWriter.create(
            folder,
            n_terms=vectors.shape[1],
            vocabulary=documents.vocabulary.fingerprint,
            settings=settings,
        ) as writer:
            words = [analyzer.document_words(document) for document in dev.documents]
            writer.add(dev.documents, vectors, words)
            writer.optimize()
        with SparseRetriever(Index.open(folder), queries, analyzer) as retriever:
            lexical, learned = (
                _ndcg(dev, retriever.search_arrays(asked, _DEPTH, mode=mode))
                for mode in ("lexical", "learned")
            )
            both = retriever.query_vectors(asked)
            is_learned = both.indices < vectors.shape[1]
            anchored = {}
            for g in anchor_weights:
                weighed = both.copy()
                weighed.data[is_learned] *= g
                anchored[g] = _ndcg(dev, retriever.index.search(weighed, _DEPTH))
    frequencies = np.bincount(vectors.indices, minlength=vectors.shape[1])
    return DevResult(
        lexical,
        learned,
        anchored,
        terms=vectors.nnz / max(1, len(texts)),
        flops=expected_flops(query_vectors, frequencies, len(texts)),
    )


def summary(results: dict[str, DevResult]) -> dict[str, float]:
    """Each dev set's values and their means, with the anchor weight that is best in the mean.

    Args:
        results: By name of the dev set; at least one.
    """
    weights = next(iter(results.values())).anchored
    best = max(weights, key=lambda g: sum(one.anchored[g] for one in results.values()))
    by_set = {
        name: {
            "anchored": one.anchored[best],
            "learned": one.learned,
            "lexical": one.lexical,
            "terms": one.terms,
            "flops": one.flops,
        }
        for name, one in results.items()
    }
    values = {f"{name}_{key}": value for name, row in by_set.items() for key, value in row.items()}
    for key in ("anchored", "learned", "lexical", "terms", "flops"):
        values[key] = float(np.mean([row[key] for row in by_set.values()]))
    return {**values, "anchor_weight": best}


def _ndcg(dev: DevSet, hits: Hits) -> float:
    return evaluate(hits.run([*dev.queries]), dev.qrels, [_MEASURE]).means[_MEASURE]


class Autocast:
    """An encoder that computes in bfloat16."""

    def __init__(self, encoder: Encoder, device: str) -> None:
        self._encoder = encoder
        self._device = device
        self.vocabulary = encoder.vocabulary

    def encode(self, texts: Sequence[str], **options: Any) -> TermWeights:
        """As the encoder's own."""
        with torch.autocast(self._device, torch.bfloat16):
            return self._encoder.encode(texts, **options)
