"""Haystack's ``DocumentStore`` on one of our indexes, and what its retrievers ask of it."""

from __future__ import annotations

import threading
from asyncio import to_thread
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from heapq import nlargest
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from haystack import Document, default_from_dict, default_to_dict
from haystack.dataclasses import SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from numpy.typing import NDArray

from sparse_ir import corpus
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.encoder import Encoder, load_encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.hits import Hit
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.reader import Index, dense_part
from sparse_ir.index.writer import IndexWriter
from sparse_ir.integrations.asking import place_of, text_of
from sparse_ir.integrations.haystack.arrays import cosine, dense_vector, term_weights
from sparse_ir.integrations.haystack.conditions import condition_of
from sparse_ir.integrations.haystack.documents import as_ours, require_storable
from sparse_ir.integrations.haystack.extras import Extras
from sparse_ir.integrations.haystack.metadata_fields import (
    bare_name,
    different_values,
    extremes,
    types_of_fields,
)
from sparse_ir.retrieval.dense_part import LazyDenseEncoder, vectors_of
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.retriever import SparseRetriever, checked_k
from sparse_ir.retrieval.snapshots import Snapshots
from sparse_ir.retrieval.text_index import open_writer
from sparse_ir.vectors import TermWeights, append_terms

_CHUNK = 1000  # documents read at once
_DENSE_BATCH = 32  # texts encoded at once
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
    others are encoded here. A string under ``title`` in ``meta`` is read as the document's title.
    Safe between threads; other processes may read, and see what was committed when they opened the
    index.

    Searches give of a document that was cut into passages the one that matched as ``content``, and
    in ``meta`` its number (``passage``) and characters (``span``); ``filter_documents`` gives
    documents whole, to be written back.

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
        self._snapshots = Snapshots(opening=partial(SparseRetriever.open, self._folder))
        self._writing = threading.Lock()
        self._encoder: Encoder | None = None
        self._vectors: LazyDenseEncoder | None = None
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
        with self._snapshots.use() as retriever:
            return len(retriever.index)

    def filter_documents(self, filters: Filters = None) -> list[Document]:
        """The documents that match, or all, in the order in which they were written.

        Raises:
            haystack.errors.FilterError: not a filter.
        """
        return [
            document for chunk in self._matching(filters) for document in self._as_haystack(chunk)
        ]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Returns how many documents were written; they can be found from now on.

        Of documents of which any is refused none is written.

        Args:
            documents: Their ``meta`` must be JSON values.
            policy: What becomes of documents whose id is known; ``NONE`` is ``FAIL``.

        Raises:
            ValueError: not a list of documents, or their ``meta`` are not JSON, an embedding is not
                finite or of another vocabulary, or the index is of another model or language.
            haystack.document_stores.errors.DuplicateDocumentError: an id is known, or comes twice,
                and the policy is ``FAIL``.
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
        condition = condition_of(filters)
        with self._writing:
            self._require_index()
            with IndexWriter.open(self._folder) as writer:
                index = writer.index()  # not the snapshot: others may have written
                found = list(index.doc_ids(index.matching(condition).tolist()).values())
                writer.delete(found)
            self._forget(found)
        return len(found)

    def update_by_filter(self, filters: Filters, meta: Mapping[str, Any]) -> int:
        """Returns how many documents matched; these fields are set in the ``meta`` of each."""
        condition = condition_of(filters)
        with self._writing:
            self._require_index()
            with IndexWriter.open(self._folder) as writer:
                index = writer.index()  # not the snapshot: others may have written
                found = index.documents(index.matching(condition).tolist())
                for one in found.values():
                    writer.replace_metadata(replace(one, metadata={**one.metadata, **meta}))
            self._snapshots.replace(None)
        return len(found)

    def count_documents_by_filter(self, filters: Filters) -> int:
        """How many documents match."""
        condition = condition_of(filters)
        self._require_index()
        with self._snapshots.use() as retriever:
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
        with self._snapshots.use() as retriever:
            hits = retriever.search(query, top_k, mode=mode, filter=condition)
        return self._found(hits)

    def search_sparse(
        self, query: SparseEmbedding, *, filters: Filters = None, top_k: int = 10
    ) -> list[Document]:
        """The best documents by the learned terms of the query's embedding."""
        condition = condition_of(filters)
        self._require_index()
        with self._snapshots.use() as retriever:
            weights = term_weights([query], retriever.index.n_terms)
            arrays = append_terms(weights, [{}])
            found = retriever.search_query_arrays(arrays, top_k, mode="learned", filter=condition)
            (hits,) = retriever.hits(found)
        return self._found(hits)

    def search_dense(
        self, query: Sequence[float], *, filters: Filters = None, top_k: int = 10
    ) -> list[Document]:
        """The documents whose ``embedding`` has the greatest cosine with the query's, exactly.

        All matching embeddings are read from disk: for some ten thousand documents, not millions.
        """
        wanted = dense_vector("the query's embedding", query)
        k = checked_k(top_k, self.count_documents(), "top_k")
        best = nlargest(k, self._by_cosine(wanted, filters), key=itemgetter(0))
        return self._found(
            [Hit(one.doc_id, score, one.text, one.title, one.metadata) for score, one in best]
        )

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
        with Index.open(self._folder) as index:
            settings = index.settings
        for document in documents:
            require_storable(document)
        batches = [
            _batch(list(some), settings["n_terms"])
            for _, some in groupby(documents, lambda one: one.sparse_embedding is not None)
        ]
        model = {
            "model": self.model,
            "language": self.language,
            "passages": settings.get("passages", True),
        }
        open_writer(self._folder, **model).close()  # refuses another model or language
        try:
            self._extras.add(documents)
            for ours, vectors in batches:
                if vectors is None:
                    self._encode(ours, model, self._dense_encoder(settings))
                else:
                    self._add(ours, vectors, self._dense_encoder(settings))
            self._extras.keep_only(documents)
        finally:  # of what fails later, the batches before it are there
            self._snapshots.replace(None)

    def _encode(
        self,
        documents: list[corpus.Document],
        model: Mapping[str, Any],
        dense: LazyDenseEncoder | None,
    ) -> None:
        if self._encoder is None:
            self._encoder = load_encoder(self.model, "document")
        ingest(self._folder, documents, **model, encoder=self._encoder, dense_encoder=dense)

    def _add(
        self,
        documents: list[corpus.Document],
        vectors: TermWeights,
        dense: LazyDenseEncoder | None,
    ) -> None:
        contents = [document.content for document in documents]
        rows = vectors_of(dense, [[one] for one in contents], _DENSE_BATCH) if dense else None
        with IndexWriter.open(self._folder) as writer:
            words = list(map(Analyzer.of(writer.settings).document_words, documents))
            writer.add(documents, vectors, words, dense=rows)

    def _dense_encoder(self, settings: Mapping[str, Any]) -> LazyDenseEncoder | None:
        part = dense_part(settings)
        if part is not None and self._vectors is None:
            self._vectors = LazyDenseEncoder(part.model)
        return self._vectors

    def _delete(self, doc_ids: Sequence[str]) -> None:
        self._require_index()
        with IndexWriter.open(self._folder) as writer:
            writer.delete(doc_ids)
        self._forget(doc_ids)

    def _forget(self, doc_ids: Sequence[str]) -> None:
        self._extras.remove(doc_ids)
        self._snapshots.replace(None)

    # reading

    def _matching(self, filters: Filters) -> Iterator[list[corpus.Document]]:
        condition = condition_of(filters)
        self._require_index()
        with self._snapshots.use() as retriever:
            docs = retriever.index.matching(condition).tolist()
            for start in range(0, len(docs), _CHUNK):
                chunk = docs[start : start + _CHUNK]
                documents = retriever.index.documents(chunk)
                yield [documents[doc] for doc in chunk]

    def _by_cosine(
        self, query: NDArray[np.float64], filters: Filters
    ) -> Iterator[tuple[float, corpus.Document]]:
        for chunk in self._matching(filters):
            extras = self._extras.of({document.doc_id: document.text for document in chunk})
            for document in chunk:
                embedding = extras.get(document.doc_id, {}).get("embedding")
                if embedding is not None:
                    yield cosine(document.doc_id, np.asarray(embedding), query), document

    def _found(self, hits: Sequence[Hit]) -> list[Document]:
        """Hits with their scores; of a long document the passage that matched."""
        whole = self._as_haystack(
            [corpus.Document(hit.doc_id, hit.text, hit.title, hit.metadata) for hit in hits]
        )
        return [
            replace(
                document,
                content=text_of(hit) or document.content,
                score=hit.score,
                meta=document.meta | place_of(hit),
            )
            for document, hit in zip(whole, hits, strict=True)
        ]

    def _as_haystack(self, documents: Sequence[corpus.Document]) -> list[Document]:
        extras = self._extras.of({document.doc_id: document.text for document in documents})
        return [
            Document(
                **{
                    "id": one.doc_id,
                    "content": one.text,
                    "meta": ({"title": one.title} if one.title else {}) | dict(one.metadata),
                    **extras.get(one.doc_id, {}),
                }
            )
            for one in documents
        ]

    def _values(self, field: str, filters: Filters) -> list[Any]:
        return different_values(chain.from_iterable(self._matching(filters)), field)


def _batch(
    documents: list[Document], n_terms: int
) -> tuple[list[corpus.Document], TermWeights | None]:
    """Documents as they are indexed, and their term weights, which all bring or none."""
    embeddings = [one.sparse_embedding for one in documents if one.sparse_embedding is not None]
    vectors = term_weights(embeddings, n_terms) if embeddings else None
    return [as_ours(one) for one in documents], vectors
