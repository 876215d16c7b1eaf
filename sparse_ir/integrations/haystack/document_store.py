"""Haystack's ``DocumentStore`` on one of our indexes, and what its retrievers ask of it."""

from __future__ import annotations

import threading
from asyncio import to_thread
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import wraps
from itertools import chain, groupby
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
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
from sparse_ir.integrations.haystack.arrays import cosine, term_weights
from sparse_ir.integrations.haystack.conditions import condition_of
from sparse_ir.integrations.haystack.extras import Extras
from sparse_ir.integrations.haystack.metadata_fields import (
    bare_name,
    different_values,
    extremes,
    types_of_fields,
)
from sparse_ir.integrations.haystack.snapshot import Snapshot
from sparse_ir.retrieval.dense_part import DocumentVectors
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.query_vectors import Mode

_CHUNK = 1000  # documents read at once
Filters = dict[str, Any] | None
_P = ParamSpec("_P")
_T = TypeVar("_T")


def _on_thread(method: Callable[_P, _T]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    @wraps(method)
    async def twin(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await to_thread(method, *args, **kwargs)

    return twin


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
        names = map(bare_name, metadata_fields)
        return {name: len(self._values(name, filters)) for name in names}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Field -> its type: boolean, int, float or keyword."""
        return types_of_fields(chain.from_iterable(self._matching(None)))

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The least and the greatest of the field's numbers, or of its strings if it has no others.

        Both are None if there are none, or if the field holds numbers and strings.
        """
        return extremes(self._values(bare_name(metadata_field), None))

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
        values = self._values(bare_name(metadata_field), filters)
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
            weights = term_weights([query], index.n_terms)
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
                    scores[doc_id] = cosine(doc_id, np.asarray(extra["embedding"]), wanted)
        best = dict(sorted(scores.items(), key=lambda one: -one[1])[:top_k])
        with self._snapshot.use() as retriever:
            found = [retriever.document(doc_id) for doc_id in best]
        return self._as_haystack(found, best)

    # each on a thread, so that the event loop goes on

    count_documents_async = _on_thread(count_documents)
    filter_documents_async = _on_thread(filter_documents)
    write_documents_async = _on_thread(write_documents)
    delete_documents_async = _on_thread(delete_documents)
    delete_all_documents_async = _on_thread(delete_all_documents)
    delete_by_filter_async = _on_thread(delete_by_filter)
    update_by_filter_async = _on_thread(update_by_filter)
    count_documents_by_filter_async = _on_thread(count_documents_by_filter)
    count_unique_metadata_by_filter_async = _on_thread(count_unique_metadata_by_filter)
    get_metadata_fields_info_async = _on_thread(get_metadata_fields_info)
    get_metadata_field_min_max_async = _on_thread(get_metadata_field_min_max)
    get_metadata_field_unique_values_async = _on_thread(get_metadata_field_unique_values)

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
            embeddings = [one.sparse_embedding for one in documents if one.sparse_embedding]
            vectors = term_weights(embeddings, writer.settings["n_terms"])
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
        return different_values(chain.from_iterable(self._matching(filters)), field)


def _as_ours(document: Document) -> corpus.Document:
    return corpus.Document(document.id, document.content or "", metadata=document.meta)
