"""A corpus of any size into a file of vectors or an index of them, going on where it was stopped.

Texts are read in buffers of some thousand, sorted by length inside the encoder, and written as one
part each; so memory is bounded by a buffer. A journal beside the output names the parts that are
whole. After a stop, their texts are read again, compared with the journal, and not encoded again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sparse_ir.corpus import Document
from sparse_ir.encoders.encoder import Encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import Catalog, DocumentRow
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.vector_files import Rows, VectorFormat, format_of, write_whole
from sparse_ir.vectors import TermWeights

Text = tuple[str, str]  # id, text
_JOURNAL = "journal.jsonl"


@dataclass(slots=True)
class EncodeReport:
    """What became of the texts."""

    encoded: int = 0
    kept: int = 0
    """Encoded by an earlier run, and unchanged since."""

    def __len__(self) -> int:
        return self.encoded + self.kept


def encode_corpus(
    texts: Iterable[Text],
    encoder: Encoder,
    output: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 32,
    buffer_size: int = 4096,
    on_progress: Callable[[int], None] | None = None,
) -> EncodeReport:
    """The vectors of all texts are in ``output``, in the order of the texts.

    Args:
        texts: (id, text) pairs, the same ones in the same order when an earlier run is continued.
        encoder: Of either side.
        output: A file that ends in ``.npz``, ``.parquet`` or ``.jsonl``; or a folder, in which an
            index of the vectors (without texts) is made or continued: what it has of the same text
            stays, any other text is encoded and replaces what has its id. Until a file is whole,
            its parts are in ``OUTPUT.parts``.
        settings: JSON values that say how the encoder encodes; a run with others is not continued.
        batch_size: Texts encoded at once, >= 1.
        buffer_size: Texts read at once, >= 1, and rows of a part: what a stop costs at most.
        on_progress: Told how many more texts are done, earlier runs' included.

    Raises:
        InvalidInputError: a stopped run had other settings or other texts; a bad argument.
        OSError: nothing can be written, as on a full disk; parts that are whole stay.
    """
    if buffer_size < 1:
        raise InvalidInputError(f"buffer_size is {buffer_size}; want an integer >= 1")
    path, tell = Path(output), on_progress or (lambda n: None)
    run = _Run(encoder, batch_size, tell, EncodeReport())
    how = {**(settings or {}), "vocabulary": encoder.vocabulary.fingerprint}
    buffers = _Buffers(texts, buffer_size)
    if form := format_of(path):
        _into_file(path, form, buffers, run, how)
    else:
        _into_index(path, buffers, run, how)
    return run.report


@dataclass(slots=True)
class _Run:
    encoder: Encoder
    batch_size: int
    tell: Callable[[int], None]
    report: EncodeReport

    def encode(self, buffer: list[Text]) -> Rows:
        ids, texts = [one for one, _ in buffer], [text for _, text in buffer]
        weights = self.encoder.encode(texts, batch_size=self.batch_size, on_progress=self.tell)
        self.report.encoded += len(buffer)
        return Rows(ids, texts, weights)

    def keep(self, n: int) -> None:
        self.report.kept += n
        self.tell(n)


# into a file


def _into_file(
    path: Path,
    form: VectorFormat,
    buffers: _Buffers,
    run: _Run,
    how: Mapping[str, Any],
) -> None:
    folder = path.with_name(path.name + ".parts")
    vocabulary = run.encoder.vocabulary
    with _Journal(folder, how) as journal:
        for entry in journal.entries:
            _require_same_texts(folder, entry, buffers.take(entry["rows"]))
            run.keep(entry["rows"])
        for buffer in buffers:
            name = f"part-{len(journal.entries):06d}{path.suffix}"
            rows = run.encode(buffer)
            write_whole(folder / name, partial(form.write, rows=rows, vocabulary=vocabulary))
            journal.add({"part": name, "rows": len(buffer), "texts": _digest(buffer)})
        parts = [folder / entry["part"] for entry in journal.entries]
        if not parts:  # no text at all is a file too
            parts = [folder / f"part-000000{path.suffix}"]
            form.write(parts[0], run.encode([]), vocabulary)
        write_whole(path, partial(form.join, parts=parts))
    shutil.rmtree(folder, ignore_errors=True)


class _Journal:
    """Which parts are whole: a line for the settings, then one a part, synced one by one."""

    def __init__(self, folder: Path, how: Mapping[str, Any]) -> None:
        self.entries: list[dict[str, Any]] = []
        self._path = folder / _JOURNAL
        folder.mkdir(parents=True, exist_ok=True)
        begun = self._read()
        if begun and begun[0] != how:
            raise InvalidInputError(
                f"{folder} was begun with {_difference(begun[0], how)}; run with the same again to "
                "go on, or remove that folder to begin anew"
            )
        self.entries = begun[1:]
        lines = begun or [dict(how)]
        whole = "".join(json.dumps(line) + "\n" for line in lines)
        write_whole(self._path, partial(_write_text, text=whole))
        self._file = self._path.open("a", encoding="utf-8")

    def add(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.entries.append(entry)

    def __enter__(self) -> _Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.entries:  # nothing to go on from
            shutil.rmtree(self._path.parent)

    def _read(self) -> list[Any]:
        if not self._path.is_file():
            return []
        lines = self._path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]  # a line that a crash cut has no end


def _require_same_texts(folder: Path, entry: Mapping[str, Any], buffer: list[Text]) -> None:
    if _digest(buffer) != entry["texts"]:
        raise InvalidInputError(
            f"the texts of {entry['part']} in {folder} have changed since it was encoded; "
            "remove that folder to begin anew"
        )


def _digest(buffer: list[Text]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text_id, text in buffer:
        digest.update(f"{text_id}\0{text}\0".encode())
    return digest.hexdigest()


# into an index


def _into_index(path: Path, buffers: _Buffers, run: _Run, how: Mapping[str, Any]) -> None:
    with _open_writer(path, run.encoder, how) as writer:
        for buffer in buffers:
            known = writer.known([text_id for text_id, _ in buffer])
            new = [text for text in buffer if not _is_same(known.get(text[0]), text)]
            run.keep(len(buffer) - len(new))
            if new:
                weights = run.encode(new).weights
                _add(writer, new, weights)
                writer.commit()


def _is_same(row: DocumentRow | None, text: Text) -> bool:
    return row is not None and row.fingerprint == _fingerprint(text)


def _add(writer: IndexWriter, texts: list[Text], weights: TermWeights) -> None:
    """As ``add_vectors``, which takes no fingerprints: the documents have no texts, so no words."""
    writer.add(
        [Document(text_id, "") for text_id, _ in texts],
        weights,
        [[] for _ in texts],
        fingerprints=[_fingerprint(text) for text in texts],
    )


def _fingerprint(text: Text) -> bytes:
    return hashlib.blake2b(text[1].encode(), digest_size=16).digest()


def _open_writer(path: Path, encoder: Encoder, how: Mapping[str, Any]) -> IndexWriter:
    if not Catalog.exists(path):
        vocabulary = encoder.vocabulary
        return IndexWriter.create(
            path,
            n_terms=len(vocabulary),
            vocabulary=vocabulary.fingerprint,
            settings={"encoding": dict(how)},
        )
    writer = IndexWriter.open(path)
    begun = writer.settings.get("encoding")
    if begun != how:
        writer.close()
        what = _difference(begun, how) if begun else "texts, not with vectors"
        raise InvalidInputError(f"{path} was built with {what}; use the same, or another folder")
    return writer


def _difference(begun: Mapping[str, Any], how: Mapping[str, Any]) -> str:
    """The first setting that differs, for people."""
    names = [name for name in {**begun, **how} if begun.get(name) != how.get(name)]
    return f"{names[0]} {begun.get(names[0])!r}, not {how.get(names[0])!r}"


class _Buffers(Iterator[list[Text]]):
    """Lists of ``size`` texts, or as many as asked for."""

    def __init__(self, texts: Iterable[Text], size: int) -> None:
        self._texts = iter(texts)
        self._size = size

    def take(self, n: int) -> list[Text]:
        return list(islice(self._texts, n))

    def __next__(self) -> list[Text]:
        if buffer := self.take(self._size):
            return buffer
        raise StopIteration


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
