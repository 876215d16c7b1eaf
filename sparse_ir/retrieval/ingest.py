"""Documents in, an index out: encodes what is new, skips the rest, goes on after a stop."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sparse_ir.corpus import Document, require_document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.encoder import Encoder, OnePassEncoder, load_encoder
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.encoders.pruning import prune
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.dense_segment import DenseRows
from sparse_ir.index.params import BuildParams, CodeKind
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.dense_part import (
    LazyDenseEncoder,
    VectorEncoder,
    add_dense,
    dense_rows,
    vectors_of,
    wanted_part,
)
from sparse_ir.retrieval.neighbours import PRUNES, TOP_TERMS, expand
from sparse_ir.retrieval.passages import Span, has_limit, join, passages_of
from sparse_ir.retrieval.text_index import open_writer, require_fit
from sparse_ir.retrieval.titles import add_titles
from sparse_ir.vectors import TermWeights

_BATCHES_TOGETHER = 16  # sorted by length inside the encoder, so that little is padding
_REMOVED = 2048  # documents together, for their ids are all that is in memory
_COMPACT_SHARE = 0.1  # of new documents, from which on the index is rewritten as one segment

_T = TypeVar("_T")
Progress = Callable[[int, int], None]
"""Called with (documents done, of these unchanged) since the last call."""


@dataclass(slots=True)
class IngestReport:
    """What became of the documents."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    """Documents that ``sync`` deleted."""
    cut: int = 0
    """Texts whose ends were not read on the learned side."""

    @property
    def changed(self) -> int:
        """Documents encoded."""
        return self.added + self.updated


def ingest(
    path: str | Path,
    documents: Iterable[Document],
    *,
    model: str = "mini",
    language: str = "english",
    params: BuildParams | None = None,
    options: EncoderOptions | None = None,
    encoder: Encoder | None = None,
    passages: bool = True,
    neighbour_weight: float | None = None,
    title_weight: int | None = None,
    dense: str | None = None,
    codes: CodeKind | None = None,
    dense_encoder: VectorEncoder | None = None,
    sync: bool = False,
    batch_size: int = 32,
    commit_every: int = 2048,
    on_progress: Progress | None = None,
    on_expanded: Callable[[int], None] | None = None,
) -> IngestReport:
    """All documents are in the index at ``path``, committed; it is made if it does not exist.

    Documents are compared with what the index holds: those whose text has not changed are not
    encoded again (changed metadata is stored). After a stop, the same call goes on where the last
    commit was.

    Args:
        path: Folder of the index.
        documents: Any stream; of those with the same doc_id the last stays.
        model: Name or folder of the document encoder's model.
        language: Snowball language of the lexical block, or ``none``.
        params: How to build a new index.
        options: How to encode.
        encoder: The model's document encoder, where it is loaded already; else it is loaded when
            the first document must be encoded.
        passages: Whether documents longer than the encoder reads are cut into passages, so that
            all of their text counts; else their ends are not read on the learned side.
        neighbour_weight: Share of its nearest neighbours' mean weights that a document has at
            least, 0..2, 0 for none; None takes what the index has, .7 for a new one. New documents
            are expanded so at the end of the call, once there are 100 (see ``neighbours``).
        title_weight: How often BM25 counts a word of a title, 1..100; above 1 the encoder reads it
            by itself too (see ``titles``). None takes what the index has, 2 for a new one.
        dense: Name or folder of the dense model, of which the index has or gets a dense part; None
            keeps what it has.
        codes: As ``DensePart``, only with ``dense``; None takes what the index has, or none.
        dense_encoder: As ``encoder``, of the dense model.
        sync: Whether documents of the index that did not come are deleted, once all have come; one
            at least must.
        batch_size: Documents encoded at once, >= 1.
        commit_every: Documents between commits, >= 1.
        on_progress: Told about every batch.
        on_expanded: Told how many more documents have their neighbours' terms.

    Raises:
        InvalidInputError: an existing index was built with another model, dense model, language,
            neighbour or title weight, or the other way with passages; or ``codes`` came without
            ``dense``; or what came is no ``Document``, or one without doc_id, or with a title, text
            or metadata of other kinds than it says; or nothing came, and ``sync`` would delete all.
    """
    if batch_size < 1 or commit_every < 1:
        raise InvalidInputError(
            f"batch_size is {batch_size}, commit_every is {commit_every}; want integers >= 1"
        )
    if codes is not None and dense is None:
        raise InvalidInputError(
            f"codes={codes!r} came without dense; name the dense model whose vectors they are of"
        )
    tell = on_progress or (lambda done, unchanged: None)
    report, path, part = IngestReport(), Path(path), None
    chunks = _chunks(_good(documents), commit_every)
    first = next(chunks, [])  # a source that cannot be read must not leave an empty index behind
    options = options or EncoderOptions()
    fit: dict[str, Any] = {
        "passages": passages,
        "neighbour_weight": neighbour_weight,
        "title_weight": title_weight,
    }
    if (dense is not None or sync) and Catalog.exists(path):
        require_fit(path, model, language, **fit)
        if sync and not first:
            _require_empty(path)
    if dense is not None:
        dense_encoder = dense_encoder or LazyDenseEncoder(dense, options)
        part = wanted_part(path, dense, codes, dense_encoder)
        add_dense(
            path, part, dense_encoder, batch_size=batch_size, on_progress=lambda n: tell(n, 0)
        )
    with open_writer(path, model, language, params=params, dense=part, **fit) as writer:
        if writer.dense is not None and dense_encoder is None:
            dense_encoder = LazyDenseEncoder(writer.dense.model, options)
        analyzer = Analyzer.of(writer.settings)
        pipeline = _Pipeline(
            writer, model, options, encoder, dense_encoder, analyzer, passages, batch_size
        )
        first_new = writer.settings["next_doc"]
        for chunk in chain([first], chunks):
            pipeline.add(chunk, report, tell)
            if len(chunk) == commit_every:  # else it is the last
                writer.commit()
        if sync:
            report.removed = _remove_others(writer, first_new, pipeline.unchanged)
        expand(writer, on_expanded)
        writer.commit()
        if report.changed >= _COMPACT_SHARE * len(writer):
            writer.optimize()
    return report


@dataclass(slots=True)
class _Pipeline:
    """Puts chunks of documents through encoder and analyser into the writer."""

    writer: IndexWriter
    model: str
    options: EncoderOptions
    encoder: Encoder | None
    dense_encoder: VectorEncoder | None
    analyzer: Analyzer
    cuts_passages: bool
    batch_size: int
    unchanged: array[int] = field(default_factory=lambda: array("q"))
    """Their doc numbers: eight bytes a document, where ids are more."""

    def add(self, chunk: list[Document], report: IngestReport, tell: Progress) -> None:
        latest = list({document.doc_id: document for document in chunk}.values())
        known = self.writer.known([document.doc_id for document in latest])
        changed = []
        for document in latest:
            row = known.get(document.doc_id)
            if row is None or row.fingerprint != _fingerprint(document):
                changed.append(document)
                continue
            self.unchanged.append(row.doc)
            if _sorted_json(json.loads(row.metadata)) != _sorted_json(document.metadata):
                self.writer.replace_metadata(document)
        n_unchanged = len(latest) - len(changed)
        report.unchanged += n_unchanged
        report.updated += sum(document.doc_id in known for document in changed)
        report.added += sum(document.doc_id not in known for document in changed)
        if n_unchanged:
            tell(n_unchanged, n_unchanged)
        for batch in _chunks(changed, _BATCHES_TOGETHER * self.batch_size):
            self._encode(batch, tell)
        report.cut = getattr(self.encoder, "n_cut", 0)

    def _encode(self, batch: list[Document], tell: Progress) -> None:
        if self.encoder is None:  # loading a model takes seconds, an unchanged corpus needs none
            self.encoder = load_encoder(self.model, role="document", **asdict(self.options))
        if top_terms := self.options.top_terms or getattr(self.encoder, "top_terms", None):
            self.writer.keep(TOP_TERMS, int(top_terms))
        if self.options.prune_ratio == 0:
            self.writer.keep(PRUNES, False)
        passages = [self._passages(document) for document in batch]
        done = _Counted([len(one) for one in passages], tell)
        texts = [[text for _, text in one] for one in passages]
        weights, rows = self._both(self.encoder, texts, done)
        if self.analyzer.title_weight > 1:
            counts = [len(one) for one in passages]
            weights = add_titles(weights, batch, counts, self.encoder, self.batch_size)
            weights = prune(weights, top_terms=top_terms)
        vectors, stored = join(weights, [[span for span, _ in one] for one in passages])
        self.writer.add(
            batch,
            vectors,
            [self.analyzer.document_words(document) for document in batch],
            fingerprints=[_fingerprint(document) for document in batch],
            passages=stored,
            dense=rows,
        )
        done.finish()

    def _both(
        self, encoder: Encoder, texts: list[list[str]], done: _Counted
    ) -> tuple[TermWeights, DenseRows | None]:
        """Term weights of all passages, and their vectors if the index has a dense part."""
        flat = [text for one in texts for text in one]
        part, batch_size = self.writer.dense, self.batch_size
        is_one_model = part is not None and part.model == self.writer.settings["model"]
        if is_one_model and isinstance(encoder, OnePassEncoder):
            weights, vectors = encoder.encode_both(flat, batch_size=batch_size, on_progress=done)
            return weights, dense_rows(vectors, texts)
        weights = encoder.encode(flat, batch_size=batch_size, on_progress=done)
        if part is None or self.dense_encoder is None:
            return weights, None
        return weights, vectors_of(self.dense_encoder, texts, batch_size)

    def _passages(self, document: Document) -> list[tuple[Span, str]]:
        if self.cuts_passages and has_limit(self.encoder):
            return passages_of(document, self.encoder)
        return [((0, len(document.text)), document.content)]


class _Counted:
    """Progress in documents, of an encoder that tells it in passages."""

    def __init__(self, counts: list[int], tell: Progress) -> None:
        self._n_documents, self._n_passages = len(counts), sum(counts)
        self._done = self._told = 0
        self._tell = tell

    def __call__(self, n: int) -> None:
        self._done += n
        self._advance(self._done * self._n_documents // self._n_passages)

    def finish(self) -> None:
        self._advance(self._n_documents)

    def _advance(self, documents: int) -> None:
        if documents > self._told:
            self._tell(documents - self._told, 0)
            self._told = documents


def _require_empty(path: Path) -> None:
    with Index.open(path) as index:
        if len(index):
            raise InvalidInputError(
                f"no document came, and sync would delete all {len(index):,} of {path}; want one "
                "at least, or remove the folder"
            )


def _remove_others(writer: IndexWriter, first_new: int, unchanged: array[int]) -> int:
    """Documents that are older than this run, and not among the unchanged, are gone; how many."""
    writer.flush()
    index = writer.index()
    docs = index.matching().astype(np.int64)
    others = np.setdiff1d(docs[docs < first_new], np.array(unchanged, np.int64)).tolist()
    return sum(writer.delete(index.doc_ids(some).values()) for some in _chunks(others, _REMOVED))


def _sorted_json(metadata: Mapping[str, Any]) -> str:
    """What tells 1 from true, which Python does not."""
    return json.dumps(dict(metadata), sort_keys=True)


def _fingerprint(document: Document) -> bytes:
    text = f"{document.title}\0{document.text}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _good(documents: Iterable[Document]) -> Iterator[Document]:
    for document in documents:
        require_document(document)
        yield document


def _chunks(documents: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(documents)
    while chunk := list(islice(iterator, size)):
        yield chunk
