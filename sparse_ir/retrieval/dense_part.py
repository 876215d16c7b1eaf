"""The dense part of an index of text: made with it, or added to it later from the stored texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sparse_ir.encoders.checkpoint import Role, lasting_name, require_models_extra
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.dense_segment import DenseRows
from sparse_ir.index.faiss_codes import import_faiss
from sparse_ir.index.params import CodeKind, DensePart
from sparse_ir.index.reader import Index, dense_part
from sparse_ir.index.writer import IndexWriter

_TOGETHER = 512  # documents whose texts are read and encoded at once


class VectorEncoder(Protocol):
    """Turns texts into vectors."""

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        ...

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> NDArray[np.float32]:
        """(n, dimension) of n texts."""
        ...


class LazyDenseEncoder:
    """The document encoder of a dense model, loaded when it is first needed, and then kept.

    Args:
        model: The dense model.
        options: How to encode.
    """

    def __init__(self, model: str, options: EncoderOptions | None = None) -> None:
        self._model = model
        self._options = options

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return self._encoder.dimension

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> NDArray[np.float32]:
        """(n, dimension) of n texts."""
        return self._encoder.encode(texts, batch_size=batch_size)

    @cached_property
    def _encoder(self) -> VectorEncoder:
        return load_dense(self._model, options=self._options)


def load_dense(
    model: str, role: Role = "document", options: EncoderOptions | None = None
) -> VectorEncoder:
    """The encoder of a dense model for documents or queries.

    Raises:
        InvalidInputError: no such model.
        MissingDependencyError: torch or transformers is not installed.
    """
    require_models_extra()
    from sparse_ir.encoders.dense_encoder import load_dense_encoder

    return load_dense_encoder(model, role, options)


def fingerprint_of(model: str) -> str:
    """Digest of what decides a dense model's vectors, as ``load_dense``."""
    require_models_extra()
    from sparse_ir.encoders.dense_encoder import fingerprint

    return fingerprint(model)


def not_that_model(has: str | None, wanted: str) -> str:
    """Which model an index has, for an error that another came: one of the same name may be."""
    if has is not None and lasting_name(has) == lasting_name(wanted):
        return f"model {has!r} as it was before its files changed"
    return f"model {has!r}, not {wanted!r}"


def wanted_part(
    path: Path, model: str, codes: CodeKind | None, encoder: VectorEncoder
) -> DensePart:
    """The dense part of the index at ``path``, or of the one that will be made there.

    Args:
        path: Folder of an index, or of none yet.
        model: The dense model.
        codes: As ``DensePart``; None takes what the index has, or none.
        encoder: Of documents by this model.

    Raises:
        InvalidInputError: the index's dense part is of another model.
        MissingDependencyError: torch, transformers, or faiss for codes, is not installed.
    """
    has = None
    if Catalog.exists(path):
        with Index.open(path) as index:
            has = dense_part(index.settings)
    if has is None:
        if codes not in (None, "none"):
            import_faiss()
        name = lasting_name(model)
        return DensePart(name, encoder.dimension, codes or "none", fingerprint_of(model))
    if has.fingerprint != fingerprint_of(model):
        raise InvalidInputError(
            f"{path} has a dense part of {not_that_model(has.model, model)}; use that one, or "
            "another folder"
        )
    return has if codes is None else replace(has, codes=codes)


def add_dense(
    path: str | Path,
    part: DensePart,
    encoder: VectorEncoder,
    *,
    batch_size: int = 32,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """The index at ``path``, if there is one, has this dense part, made from its stored texts.

    One that has it already gets the codes wanted, and else stays as it is. Stopped and called
    again, it goes on behind the last whole segment.

    Args:
        path: Folder of an index of text.
        part: As ``wanted_part`` gives it.
        encoder: Of documents by its model.
        batch_size: Passages encoded at once, >= 1.
        on_progress: Told how many more documents are done.

    Raises:
        InvalidInputError: the index holds no texts.
        MissingDependencyError: torch, transformers, or faiss for codes, is not installed.
    """
    if not Catalog.exists(Path(path)):
        return
    with IndexWriter.open(path) as writer:
        if writer.dense is not None:
            if writer.dense.codes != part.codes:
                writer.recode(part.codes)
            return
        if "model" not in writer.settings:
            raise InvalidInputError(
                f"{path} holds vectors without text; give it dense ones by IndexWriter.add_vectors"
            )

        def encode(docs: list[int]) -> DenseRows:
            parts = []
            for start in range(0, len(docs), _TOGETHER):
                some = docs[start : start + _TOGETHER]
                parts.append(vectors_of(encoder, _stored_texts(writer, some), batch_size))
                if on_progress:
                    on_progress(len(some))
            return _joined(parts, encoder.dimension)

        writer.add_dense(part, encode)


def vectors_of(
    encoder: VectorEncoder, texts: Sequence[Sequence[str]], batch_size: int
) -> DenseRows:
    """A vector for each text of each document.

    Args:
        encoder: Of the dense model.
        texts: n lists of the passages' texts.
        batch_size: Texts encoded at once.
    """
    flat = [text for one in texts for text in one]
    return dense_rows(encoder.encode(flat, batch_size=batch_size).astype(np.float16), texts)


def dense_rows(vectors: NDArray[Any], texts: Sequence[Sequence[str]]) -> DenseRows:
    """The vectors of n lists of texts, one document after another."""
    return DenseRows(vectors, np.array([len(one) for one in texts], np.int64))


def _stored_texts(writer: IndexWriter, docs: list[int]) -> list[list[str]]:
    contents, passages = writer.contents(docs), writer.passage_spans(docs)
    texts = []
    for doc in docs:
        title, text, _ = contents[doc]
        parts = [text[start:end] for start, end in passages.get(doc, ())] or [text]
        texts.append([f"{title} {part}".strip() for part in parts])
    return texts


def _joined(parts: Sequence[DenseRows], dimension: int) -> DenseRows:
    vectors = [np.empty((0, dimension), np.float16), *(one.vectors for one in parts)]
    counts = [np.empty(0, np.int64), *(one.counts for one in parts)]
    return DenseRows(np.concatenate(vectors), np.concatenate(counts))
