"""Haystack's ``DocumentStore`` on one of our indexes, and what its retrievers ask of it."""

from __future__ import annotations

import json
import threading
from asyncio import to_thread
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from haystack import Document, default_from_dict, default_to_dict
from haystack.dataclasses import SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy

from sparse_ir import corpus
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.encoder import Encoder, load_encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.reader import Index, dense_part
from sparse_ir.index.writer import IndexWriter
from sparse_ir.integrations.haystack.conditions import condition_of
from sparse_ir.integrations.haystack.extras import Extras
from sparse_ir.integrations.haystack.snapshot import Snapshot
from sparse_ir.retrieval.dense_part import DocumentVectors
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.vectors import as_term_weights

_CHUNK = 1000  # documents read at once
Filters = dict[str, Any] | None


class SparseIRDocumentStore:
    """Documents in an index on disk; what is written is committed and searchable on return.

    Documents that bring a ``sparse_embedding`` (``SparseIRDocumentEmbedder``) are indexed by it;
    others are encoded here. Safe between threads; other processes may read, and see what was
    committed when they opened the index.

    Args:
        path: Folder of the index; made when it is first used, if there is none.
        model: Of the learned terms.
        language: Of the words.
    """

    def __init__(self, path: str, *, model: str = "mini", language: str = "english") -> None:
        self.path = str(path)
        self.model = model
        self.language = language
        self._folder = Path(path)
        self._extras = Extras(self._folder)
        self._snapshot = Snapshot(self._folder)
        self._writing = threading.Lock()
        self._encoder: Encoder | None = None
        self._vectors: DocumentVectors | None = None
        self._is_made = False

    def to_dict(self) -> dict[str, Any]:
        """The arguments it was made with, as Haystack keeps pipelines."""
        return dict(default_to_dict(self, path=self.path, model=self.model, language=self.language))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SparseIRDocumentStore:
        """The store that ``to_dict`` describes."""
        store: SparseIRDocumentStore = default_from_dict(cls, data)
        return store

    # Haystack's protocol

    def count_documents(self) -> int:
        """Documents in the store."""
        self._require_index()
        with self._snapshot.use() as retriever:
            return len(retriever.index)

    def filter_documents(self, filters: Filters = None) -> list[Document]:
        """The documents that match, or all, in the order in which they were written.

        Raises:
            haystack.errors.FilterError: not a filter.
        """
        return [
            document
            for chunk in self._matching(filters)
            for document in self._as_haystack(chunk, {})
        ]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Returns how many documents were written; they can be found from now on.

        Args:
            documents: Their ``meta`` must be JSON values.
            policy: What becomes of documents whose id is known; ``NONE`` is ``FAIL``.

        Raises:
            ValueError: not a list of documents, or their ``meta`` are not JSON.
            haystack.document_stores.errors.DuplicateDocumentError: an id is known, or comes twice,
                and the policy is ``FAIL``; nothing was written.
        """
        if not isinstance(documents, list) or not all(isinstance(d, Document) for d in documents):
            raise InvalidInputError("write_documents got something else; want a list of Documents")
        with self._writing:
            self._require_index()
            wanted = self._wanted(documents, policy)
            self._write(wanted)
        return len(documents) if policy is DuplicatePolicy.OVERWRITE else len(wanted)

    def delete_documents(self, document_ids: list[str]) -> None:
        """The documents are gone; unknown ids are ignored."""
        with self._writing:
            self._delete(document_ids)

    # what other stores offer too

    def delete_all_documents(self) -> None:
        """The store is empty."""
        self.delete_by_filter({})

    def delete_by_filter(self, filters: Filters) -> int:
        """Returns how many documents matched; they are gone."""
        with self._writing:
            found = [d.doc_id for chunk in self._matching(filters) for d in chunk]
            self._delete(found)
        return len(found)

    def update_by_filter(self, filters: Filters, meta: Mapping[str, Any]) -> int:
        """Returns how many documents matched; these fields are set in the ``meta`` of each."""
        with self._writing:
            found = [document for chunk in self._matching(filters) for document in chunk]
            with IndexWriter.open(self._folder) as writer:
                for one in found:
                    changed = {**one.metadata, **meta}
                    writer.replace_metadata(corpus.Document(one.doc_id, "", metadata=changed))
            self._snapshot.refresh()
        return len(found)

    def count_documents_by_filter(self, filters: Filters) -> int:
        """How many documents match."""
        condition = condition_of(filters)
        self._require_index()
        with self._snapshot.use() as retriever:
            return len(retriever.index.matching(condition))

    def count_unique_metadata_by_filter(
        self, filters: Filters, metadata_fields: list[str]
    ) -> dict[str, int]:
        """Field -> how many different values the matching documents have in it."""
        names = [name.removeprefix("meta.") for name in metadata_fields]
        return {name: len(self._values(name, filters)) for name in names}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Field -> its type: boolean, int, float or keyword."""
        kinds: dict[str, dict[str, str]] = {}
        for chunk in self._matching(None):
            for document in chunk:
                for name, value in document.metadata.items():
                    if value is not None:
                        kinds[name] = {"type": _TYPE_NAMES.get(type(value), "keyword")}
        return kinds

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The least and the greatest of the field's numbers, or of its strings if it has no others.

        Both are None if there are none, or if the field holds numbers and strings.
        """
        values = [
            value
            for value in self._values(metadata_field.removeprefix("meta."), None)
            if isinstance(value, int | float | str)
        ]
        if not values or len({isinstance(value, str) for value in values}) > 1:
            return {"min": None, "max": None}
        return {"min": min(values), "max": max(values)}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: Filters = None,
    ) -> tuple[list[Any], int]:
        """The field's different values, sorted as strings, ``size`` of them; and how many are all.

        Args:
            metadata_field: With or without ``meta.``
            search_term: Only values that contain it, in any case.
            from_: Values left out at the start.
            size: Values wanted at most.
            filters: Only of the documents that match.
        """
        values = self._values(metadata_field.removeprefix("meta."), filters)
        if search_term:
            values = [one for one in values if search_term.lower() in str(one).lower()]
        values.sort(key=lambda one: (str(one), type(one).__name__))
        return values[from_ : from_ + size], len(values)

    # searching

    def search(
        self, query: str, *, filters: Filters = None, top_k: int = 10, mode: Mode = "anchored"
    ) -> list[Document]:
        """The best documents of the query, with their scores."""
        condition = condition_of(filters)
        self._require_index()
        with self._snapshot.use() as retriever:
            hits = retriever.search(query, top_k, mode=mode, filter=condition)
        found = [corpus.Document(h.doc_id, h.text, h.title, h.metadata) for h in hits]
        return self._as_haystack(found, {hit.doc_id: hit.score for hit in hits})

    def search_sparse(
        self, query: SparseEmbedding, *, filters: Filters = None, top_k: int = 10
    ) -> list[Document]:
        """The best documents by the learned terms of the query's embedding."""
        condition = condition_of(filters)
        self._require_index()
        with self._snapshot.use() as retriever:
            index = retriever.index
            weights = _term_weights([query], index.n_terms)
            hits = index.search(weights, top_k, filter=condition)
            documents = index.documents(hits.docs[0, : hits.counts[0]].tolist())
        found = [documents[doc] for doc in hits.docs[0, : hits.counts[0]].tolist()]
        scores = dict(zip(hits.ids[0], hits.scores[0].tolist(), strict=False))
        return self._as_haystack(found, scores)

    def search_dense(
        self, query: Sequence[float], *, filters: Filters = None, top_k: int = 10
    ) -> list[Document]:
        """The documents whose ``embedding`` has the greatest cosine with the query's, exactly.

        All matching embeddings are read from disk: for some ten thousand documents, not millions.
        """
        wanted = np.asarray(query, np.float64)
        scores: dict[str, float] = {}
        for chunk in self._matching(filters):
            extras = self._extras.of({document.doc_id: document.text for document in chunk})
            for doc_id, extra in extras.items():
                if "embedding" in extra:
                    scores[doc_id] = _cosine(doc_id, np.asarray(extra["embedding"]), wanted)
        best = dict(sorted(scores.items(), key=lambda one: -one[1])[:top_k])
        with self._snapshot.use() as retriever:
            found = [retriever.document(doc_id) for doc_id in best]
        return self._as_haystack(found, best)

    # async twins: each runs on a thread

    async def count_documents_async(self) -> int:
        """As ``count_documents``."""
        return await to_thread(self.count_documents)

    async def filter_documents_async(self, filters: Filters = None) -> list[Document]:
        """As ``filter_documents``."""
        return await to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """As ``write_documents``."""
        return await to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """As ``delete_documents``."""
        await to_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self) -> None:
        """As ``delete_all_documents``."""
        await to_thread(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: Filters) -> int:
        """As ``delete_by_filter``."""
        return await to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: Filters, meta: Mapping[str, Any]) -> int:
        """As ``update_by_filter``."""
        return await to_thread(self.update_by_filter, filters, meta)

    async def count_documents_by_filter_async(self, filters: Filters) -> int:
        """As ``count_documents_by_filter``."""
        return await to_thread(self.count_documents_by_filter, filters)

    async def count_unique_metadata_by_filter_async(
        self, filters: Filters, metadata_fields: list[str]
    ) -> dict[str, int]:
        """As ``count_unique_metadata_by_filter``."""
        return await to_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """As ``get_metadata_fields_info``."""
        return await to_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """As ``get_metadata_field_min_max``."""
        return await to_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: Filters = None,
    ) -> tuple[list[Any], int]:
        """As ``get_metadata_field_unique_values``."""
        return await to_thread(
            self.get_metadata_field_unique_values,
            metadata_field,
            search_term,
            from_,
            size,
            filters,
        )

    # writing

    def _require_index(self) -> None:
        if not self._is_made and not Catalog.exists(self._folder):
            ingest(self._folder, (), model=self.model, language=self.language)
        self._is_made = True

    def _wanted(self, documents: list[Document], policy: DuplicatePolicy) -> list[Document]:
        if policy is DuplicatePolicy.OVERWRITE:
            return list({document.id: document for document in documents}.values())
        wanted: dict[str, Document] = {}
        with Index.open(self._folder) as index:  # not the snapshot: others may have written
            for document in documents:
                if document.id not in wanted and document.id not in index:
                    wanted[document.id] = document
                elif policy is not DuplicatePolicy.SKIP:
                    raise DuplicateDocumentError(
                        f"document {document.id!r} is known; write with policy SKIP or OVERWRITE"
                    )
        return list(wanted.values())

    def _write(self, documents: list[Document]) -> None:
        self._extras.add(documents)
        for is_embedded, some in groupby(documents, lambda one: one.sparse_embedding is not None):
            (self._write_embedded if is_embedded else self._encode)(list(some))
        self._extras.keep_only(documents)
        self._snapshot.refresh()

    def _encode(self, documents: list[Document]) -> None:
        if self._encoder is None:
            self._encoder = load_encoder(self.model, "document")
        if self._vectors is None:
            with Index.open(self._folder) as index:
                part = dense_part(index.settings)
            self._vectors = DocumentVectors(part.model) if part else None
        ingest(
            self._folder,
            [_as_ours(one) for one in documents],
            model=self.model,
            language=self.language,
            encoder=self._encoder,
            dense_encoder=self._vectors,
        )

    def _write_embedded(self, documents: list[Document]) -> None:
        analyzer = Analyzer(self.language)
        with IndexWriter.open(self._folder) as writer:
            ours = [_as_ours(one) for one in documents]
            embeddings = [one.sparse_embedding for one in documents]
            vectors = _term_weights(embeddings, writer.settings["n_terms"])
            writer.add(ours, vectors, [analyzer.words(one.content) for one in ours])

    def _delete(self, doc_ids: Sequence[str]) -> None:
        self._require_index()
        with IndexWriter.open(self._folder) as writer:
            writer.delete(doc_ids)
        self._extras.remove(doc_ids)
        self._snapshot.refresh()

    # reading

    def _matching(self, filters: Filters) -> Iterator[list[corpus.Document]]:
        condition = condition_of(filters)
        self._require_index()
        with self._snapshot.use() as retriever:
            docs = retriever.index.matching(condition).tolist()
            for start in range(0, len(docs), _CHUNK):
                chunk = docs[start : start + _CHUNK]
                documents = retriever.index.documents(chunk)
                yield [documents[doc] for doc in chunk]

    def _as_haystack(
        self, documents: Sequence[corpus.Document], scores: Mapping[str, float]
    ) -> list[Document]:
        extras = self._extras.of({document.doc_id: document.text for document in documents})
        return [
            Document(
                **{
                    "id": one.doc_id,
                    "content": one.text,
                    "meta": dict(one.metadata),
                    "score": scores.get(one.doc_id),
                    **extras.get(one.doc_id, {}),
                }
            )
            for one in documents
        ]

    def _values(self, field: str, filters: Filters) -> list[Any]:
        """The field's different values, but null; 1, 1.0, true and '1' are four."""
        found = {}
        for chunk in self._matching(filters):
            for document in chunk:
                value = document.metadata.get(field)
                if value is not None:
                    found[json.dumps(value, sort_keys=True)] = value
        return list(found.values())


_TYPE_NAMES = {bool: "boolean", int: "int", float: "float"}


def _as_ours(document: Document) -> corpus.Document:
    return corpus.Document(document.id, document.content or "", metadata=document.meta)


def _term_weights(embeddings: Sequence[Any], n_terms: int) -> Any:
    """(n, n_terms) the sparse embeddings as a checked batch."""
    lengths = [len(one.indices) for one in embeddings]
    indices = [index for one in embeddings for index in one.indices]
    values = np.array([value for one in embeddings for value in one.values], np.float32)
    if indices and not 0 <= min(indices) <= max(indices) < n_terms:
        raise InvalidInputError(
            f"a sparse embedding has the index {max(indices, key=abs)}; want 0..{n_terms - 1}, "
            "of the model that the store was made with"
        )
    rows = np.repeat(np.arange(len(embeddings)), lengths)
    matrix = sp.coo_array((values, (rows, indices)), shape=(len(embeddings), n_terms))
    return as_term_weights(matrix.tocsr())


def _cosine(doc_id: str, embedding: Any, query: Any) -> float:
    if embedding.shape != query.shape:
        raise InvalidInputError(
            f"the query's embedding has {len(query)} numbers, that of {doc_id!r} "
            f"{len(embedding)}; want both of one model"
        )
    norm = float(np.linalg.norm(embedding) * np.linalg.norm(query))
    return float(embedding @ query) / norm if norm else 0.0
