"""Indexes of one corpus, made when first asked for and kept: measuring twice encodes once.

A folder's name is a digest of the model and of every document, so a cached index is always that
of this model and this corpus.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import DEFAULT_TITLE_WEIGHT
from sparse_ir.encoders.checkpoint import model_settings
from sparse_ir.encoders.encoder import Encoder, load_encoder
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.encoders.options import DEFAULT_DENSE_MODEL
from sparse_ir.errors import IndexFormatError, MissingDependencyError
from sparse_ir.files import whole_folder
from sparse_ir.index.catalog import FORMAT_VERSION, Catalog
from sparse_ir.index.reader import Index
from sparse_ir.retrieval.dense_part import (
    LazyDenseEncoder,
    add_dense,
    wanted_part,
)
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.neighbours import DEFAULT_WEIGHT, is_expanded
from sparse_ir.retrieval.retriever import SparseRetriever
from sparse_ir.retrieval.tantivy_bm25 import TantivyBM25

Documents = Callable[[], Iterator[Document]]
Progress = Callable[[str, int], None]
"""Called with (what is being done, how many more documents of it are)."""


class CachedIndexes:
    """The indexes of a corpus; close them, or use this in a ``with`` block.

    Args:
        documents: Streams the corpus, anew at each call.
        folder: Of the cache; shared by all corpora and models.
        model: Of the learned terms.
        language: Of the words.
        dense: Model of the dense part, which indexes have once ``hybrid`` is asked for.
        encoder: As ``ingest``.
        batch_size: Documents encoded at once.
        on_progress: Told about every batch that is indexed.
    """

    def __init__(
        self,
        documents: Documents,
        folder: Path,
        *,
        model: str = "mini",
        language: str = "english",
        dense: str = DEFAULT_DENSE_MODEL,
        encoder: Encoder | None = None,
        batch_size: int = 32,
        on_progress: Progress | None = None,
    ) -> None:
        self._documents = documents
        self._folder = folder
        self._model = model
        self._language = language
        self._dense = dense
        self._encoder = encoder
        self._batch_size = batch_size
        self._tell = on_progress or (lambda what, n: None)

    @classmethod
    def of_index(
        cls, path: Path, folder: Path, *, on_progress: Progress | None = None
    ) -> CachedIndexes:
        """Those of the documents that an index holds, which itself is the sparse and hybrid one."""
        retriever = SparseRetriever.open(path)
        language = retriever.index.settings["language"]
        indexes = cls(
            lambda: indexed_documents(retriever.index),
            folder,
            language=language,
            on_progress=on_progress,
        )
        indexes.sparse = retriever
        indexes.hybrid = HybridRetriever(retriever)
        return indexes

    @cached_property
    def sparse(self) -> SparseRetriever:
        """Our own index: both blocks, all modes."""
        folder = self._folder / f"sparse-{self._digest(model_digest(self._model))}"
        n_docs = self.corpus[1]
        if not _holds(folder, n_docs):
            ingest(
                folder,
                self._documents(),
                model=self._model,
                language=self._language,
                encoder=self._encoder,
                batch_size=self._batch_size,
                on_progress=lambda done, unchanged: self._tell("indexing", done),
                on_expanded=lambda done: self._tell("looking at neighbours", done),
            )
        return SparseRetriever.open(folder)

    @cached_property
    def hybrid(self) -> HybridRetriever:
        """Our own index with a dense part, made from a copy of the sparse one."""
        source = self.sparse.index.path
        encoder = LazyDenseEncoder(self._dense)
        part = wanted_part(source, self._dense, None, encoder)
        folder = source.with_name(f"hybrid-{source.name[-32:-16]}{part.fingerprint[:16]}")
        if not folder.is_dir():
            with whole_folder(folder) as beside:
                shutil.copytree(source, beside)
        add_dense(
            folder,
            part,
            encoder,
            batch_size=self._batch_size,
            on_progress=lambda n: self._tell("encoding vectors", n),
        )
        return HybridRetriever.open(folder)

    @cached_property
    def bm25(self) -> TantivyBM25:
        """tantivy's index."""
        folder = self._folder / f"tantivy-{self._digest(self._language)}"
        if folder.is_dir():
            try:
                return TantivyBM25.open(folder)
            except IndexFormatError:
                shutil.rmtree(folder)
        return TantivyBM25.build(
            folder,
            self._documents(),
            language=self._language,
            on_progress=lambda n: self._tell("indexing for BM25", n),
        )

    @cached_property
    def corpus(self) -> tuple[str, int]:
        """A digest of every document, and how many they are."""
        digest, n = hashlib.sha256(), 0
        for n, document in enumerate(self._documents(), 1):  # noqa: B007  (it is the count)
            digest.update(repr((document.doc_id, document.title, document.text)).encode())
        return digest.hexdigest(), n

    def close(self) -> None:
        """What was opened is closed."""
        for name in ("sparse", "hybrid"):
            if opened := self.__dict__.pop(name, None):
                opened.close()

    def __enter__(self) -> CachedIndexes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _digest(self, maker: str) -> str:
        key = (FORMAT_VERSION, self._language, maker, self.corpus[0])
        return hashlib.sha256(repr(key).encode()).hexdigest()[:32]


def indexed_documents(index: Index, batch_size: int = 1024) -> Iterator[Document]:
    """Every document of an index as it was added, in the order of the doc numbers."""
    for docs, _ in index.stored_vectors(batch_size):
        found = index.documents(docs)
        yield from (found[doc] for doc in docs)


def model_digest(model: str) -> str:
    """Of all that decides rankings: weights of documents, queries, titles, neighbours, BM25."""
    settings = model_settings(model)
    key = [settings.fingerprint, settings.anchor_weight, settings.collection_idf]
    key += [DEFAULT_WEIGHT, DEFAULT_TITLE_WEIGHT]
    encoder = load_encoder(model, role="query")
    if isinstance(encoder, LookupEncoder):
        key += [hashlib.sha256(encoder.weights.tobytes()).hexdigest(), encoder.counts]
    return hashlib.sha256(repr(key).encode()).hexdigest()


def _holds(folder: Path, n_docs: int) -> bool:
    """Whether an index is there and whole; one that was interrupted is gone on with.

    One that cannot be read, as another release or a full disk may leave it, is made anew.
    """
    try:
        if not Catalog.exists(folder):
            return False
        with Index.open(folder) as index:
            return len(index) == n_docs and is_expanded(index.settings, n_docs)
    except IndexFormatError:
        shutil.rmtree(folder)
        return False


def default_cache() -> Path:
    """The platform's folder for what can be made again.

    Raises:
        MissingDependencyError: ``platformdirs`` is not installed.
    """
    try:
        import platformdirs
    except ImportError:
        purpose = "the default cache folder (or name one)"
        raise MissingDependencyError("platformdirs", extra="eval", purpose=purpose) from None
    return Path(platformdirs.user_cache_path("sparse-ir"))
