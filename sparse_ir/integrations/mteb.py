"""MTEB: our search in its retrieval benchmarks (a ``SearchProtocol``).

mteb.evaluate(MTEBSearch("indexes"), mteb.get_tasks(["SciFact"]))
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import sparse_ir
from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.retriever import SparseRetriever

_BATCH = 64  # queries searched at once


class MTEBSearch:
    """Indexes the corpus of a task, and searches it; as ``mteb.evaluate`` wants it.

    Args:
        folder: Where indexes are kept, one a task, split and subset: a second evaluation of the
            same corpus encodes nothing.
        model: Of the learned terms.
        mode: ``anchored``, ``learned`` or ``lexical``.
        language: Of the words.
        threads: Queries searched at once.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        model: str = "mini",
        mode: Mode = "anchored",
        language: str = "english",
        threads: int = 1,
    ) -> None:
        self._folder = Path(folder)
        self._model = model
        self._mode: Mode = mode
        self._language = language
        self._threads = threads
        self._retriever: SparseRetriever | None = None

    @property
    def mteb_model_meta(self) -> Any:
        """What MTEB files the results under: model, mode and our version."""
        try:
            from mteb.models.model_meta import ModelMeta
        except ImportError:
            raise MissingDependencyError("mteb", extra="mteb", purpose="MTEB's metadata") from None
        name = f"sparse_ir/{_word(Path(self._model).name)}-{self._mode}"
        return ModelMeta.create_empty({"name": name, "revision": sparse_ir.__version__})

    def index(
        self,
        corpus: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, Any] | None = None,
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> None:
        """The corpus is indexed and opened; rows hold id, text and perhaps title."""
        self.close()
        path = self._folder / "-".join(map(_word, (task_metadata.name, hf_subset, hf_split)))
        documents = [Document(row["id"], row["text"], row.get("title") or "") for row in corpus]
        ingest(
            path,
            documents,
            model=self._model,
            language=self._language,
            batch_size=(encode_kwargs or {}).get("batch_size", 32),
        )
        self._retriever = SparseRetriever.open(path)
        if len(self._retriever.index) != len(documents):
            self.close()
            raise InvalidInputError(f"{path} holds documents of another corpus; remove it")

    def search(
        self,
        queries: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, Any] | None = None,
        top_ranked: Mapping[str, list[str]] | None = None,
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """query id -> document id -> score, of the best ``top_k``.

        With ``top_ranked`` only those documents of each query, where they match it at all.

        Raises:
            InvalidInputError: nothing was indexed yet.
        """
        retriever = self._retriever
        if retriever is None:
            raise InvalidInputError("search came before index; want a corpus first")
        rows = list(queries)
        results: dict[str, dict[str, float]] = {}
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            query_ids, texts = [row["id"] for row in batch], [row["text"] for row in batch]
            if top_ranked is None:
                hits = retriever.search_arrays(texts, top_k, mode=self._mode, threads=self._threads)
                results |= hits.run(query_ids)
            else:
                kept = [top_ranked.get(query_id, []) for query_id in query_ids]
                found = self._scored(retriever, texts, kept)
                results |= zip(query_ids, found, strict=True)
        return results

    def _scored(
        self, retriever: SparseRetriever, texts: list[str], kept: list[list[str]]
    ) -> Iterator[dict[str, float]]:
        vectors, index = retriever.query_arrays(texts, self._mode), retriever.index
        for row, doc_ids in enumerate(kept):
            docs = sorted({(index.doc_number(one), one) for one in doc_ids if one in index})
            numbers = np.array([doc for doc, _ in docs], np.int64)
            scores = retriever.scores(vectors, row, numbers, mode=self._mode).tolist()
            yield {one: score for (_, one), score in zip(docs, scores, strict=True) if score > 0}

    def close(self) -> None:
        """The index that is open is closed."""
        if self._retriever is not None:
            self._retriever.close()
            self._retriever = None


def _word(name: str) -> str:
    return re.sub(r"[^\w.]+", "_", name)
