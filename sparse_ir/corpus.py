"""Documents and queries, and streaming readers for the layouts in which people keep them.

``read_documents`` takes a BEIR folder, ``.jsonl[.gz]``, ``.tsv``, ``.csv``, a folder of text files,
or ``-`` for JSONL on the standard input. Whatever is wrong with a line is said with file and line,
and nothing is skipped.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.lines import (
    Place,
    decode_lines,
    error_at,
    json_object,
    read_lines,
    require_characters,
    shown,
)

TEXT_SUFFIXES = (".txt", ".md", ".rst")
_ID_KEYS = ("_id", "id", "docid", "doc_id")
_TEXT_KEYS = ("text", "contents")
_KNOWN_KEYS = {*_ID_KEYS, *_TEXT_KEYS, "title"}
_LONGEST_CELL = 2**28  # characters: a quote that never closes must not fill the memory
_MOST_NESTED = 100  # objects and lists: what writes HTTP answers stops at 255
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_SEEN_KIB = 32 * 1024  # of ids in memory; the others are in a temporary file


@dataclass(frozen=True, slots=True)
class Document:
    """What is indexed: the user's id, a text, and what to filter by."""

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """Title and text as one: what is encoded."""
        return f"{self.title} {self.text}".strip()

    @property
    def text_start(self) -> int:
        """Where in ``content`` the text begins; below 0 by the white space that is not in it."""
        whole = f"{self.title} {self.text}"
        return len(self.title) + 1 - (len(whole) - len(whole.lstrip()))


@dataclass(frozen=True, slots=True)
class Query:
    """A question with the id under which its results are filed."""

    query_id: str
    text: str


def read_documents(
    source: str | Path, *more: str | Path, allow_empty: bool = False
) -> Iterator[Document]:
    """The documents of one source or several, in their order.

    Args:
        source: One of

            - a BEIR folder (``corpus.jsonl`` or ``corpus.jsonl.gz`` inside);
            - ``.jsonl[.gz]``: ``_id``, ``id``, ``docid`` or ``doc_id``; ``title``; ``text`` or
              ``contents``; other keys are metadata, and the members of an object ``metadata`` too
              (of several ids the first in this order is the document's);
            - ``.tsv[.gz]``: id, text; or id, title, text; no header;
            - ``.csv[.gz]``: a header with the names of the JSONL keys, other columns are metadata;
            - a folder of ``.txt``, ``.md`` and ``.rst`` files: the path inside it is the id;
            - ``-``: JSONL on the standard input.
        *more: Further sources; an id may come once in all of them.
        allow_empty: Whether documents without title and text are documents too, which no search
            can find, instead of an error.

    Raises:
        DataFormatError: a malformed line, a missing or repeated id, an empty text, not UTF-8, two
            values where a document has one, metadata that JSON cannot hold.
        InvalidInputError: a source of another kind.
        OSError: the source, or a folder in it, cannot be read.
    """
    for place, document in _unique(chain.from_iterable(map(_located, (source, *more)))):
        if not allow_empty and not document.content:
            came = f"no text in document {document.doc_id!r}"
            raise error_at(place, came, "a title or text, or leave to index it empty (allow_empty)")
        yield document


def read_queries(source: str | Path) -> Iterator[Query]:
    """The queries of a source, in its order.

    Args:
        source: A BEIR folder (``queries.jsonl``), ``.jsonl[.gz]`` with an id and a text, ``.tsv``
            (id, text), ``.txt`` (a query a line, numbered from 1), or ``-`` for JSONL.

    Raises:
        DataFormatError: as ``read_documents``.
        InvalidInputError: a source of another kind.
        OSError: the source cannot be read.
    """
    path = Path(source)
    if str(source) != "-" and path.is_dir():
        source = path = _first_existing(path, "queries.jsonl", "queries.jsonl.gz")
    if _suffix(path) == ".txt":
        return (Query(str(n), text) for (_, n), text in read_lines(path) if text.strip())
    return (Query(d.doc_id, d.content) for _, d in _unique(_located(source)))


def _located(source: str | Path) -> Iterator[tuple[Place, Document]]:
    path = Path(source)
    if str(source) == "-":
        return _from_jsonl(decode_lines("standard input", sys.stdin.buffer))
    if path.is_dir():
        if corpus := _first_existing(path, "corpus.jsonl", "corpus.jsonl.gz", missing_ok=True):
            return _from_jsonl(read_lines(corpus))
        return _from_folder(path)
    readers = {".jsonl": _from_jsonl, ".tsv": _from_tsv, ".csv": _from_csv}
    if _suffix(path) not in readers:
        path.stat()  # a missing file is an OSError, not a wrong name
        raise InvalidInputError(
            f"{path} is of no known kind; want a BEIR folder, .jsonl, .tsv, .csv (or these .gz), "
            f"or a folder of {', '.join(TEXT_SUFFIXES)} files"
        )
    return readers[_suffix(path)](read_lines(path))


def _from_jsonl(lines: Iterator[tuple[Place, str]]) -> Iterator[tuple[Place, Document]]:
    for place, line in lines:
        if not line.strip():
            continue
        yield place, _document(place, json_object(place, line))


def _from_tsv(lines: Iterator[tuple[Place, str]]) -> Iterator[tuple[Place, Document]]:
    for place, line in lines:
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) not in (2, 3):
            raise error_at(place, f"{len(cells)} columns", "id TAB text, or id TAB title TAB text")
        names = ("id", "text") if len(cells) == 2 else ("id", "title", "text")
        yield place, _document(place, dict(zip(names, cells, strict=True)))


def _from_csv(lines: Iterator[tuple[Place, str]]) -> Iterator[tuple[Place, Document]]:
    place: Place = ("", 1)

    def texts() -> Iterator[str]:
        nonlocal place
        for place, line in lines:  # noqa: B007  (place is where the reader has got to)
            yield line + "\n"

    # The limit is all the process's: raised for good, since putting it back could meet a thread.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    rows = csv.reader(texts(), strict=True)
    try:
        header = next(rows, [])
        if not set(header) & set(_ID_KEYS) or not set(header) & {"title", *_TEXT_KEYS}:
            raise error_at(
                place, f"the columns {', '.join(header) or 'none'}", "a header with id, text"
            )
        if twice := [name for name in header if header.count(name) > 1]:
            raise error_at(place, f"the column {twice[0]!r} twice", "each column once")
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise error_at(place, f"{len(row)} columns", f"{len(header)}, as in the header")
            yield place, _document(place, dict(zip(header, row, strict=True)))
    except csv.Error as error:
        wanted = f"quotes that close, and cells of at most {_LONGEST_CELL} characters"
        raise error_at(place, f"not CSV ({error})", wanted) from None


def _from_folder(folder: Path) -> Iterator[tuple[Place, Document]]:
    files = _text_files(folder)
    if not files:
        raise InvalidInputError(
            f"{folder} holds no corpus.jsonl and no {', '.join(TEXT_SUFFIXES)} file; want either"
        )
    for path in files:
        text = "\n".join(line for _, line in read_lines(path)).strip()
        title, text = _titled(path, text)
        record = {"id": path.relative_to(folder).as_posix(), "title": title}
        yield (str(path), 1), _document((str(path), 1), {**record, "text": text})


def _text_files(folder: Path) -> list[Path]:
    """Those that are not hidden, by path; links to folders are not followed."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(p for p in found if p.suffix.lower() in TEXT_SUFFIXES and p.is_file())


def _raise(error: OSError) -> None:
    raise error


def _titled(path: Path, text: str) -> tuple[str, str]:
    """(title, text): of Markdown the heading on top and what is under it, else the file's name."""
    first, _, rest = text.partition("\n")
    if path.suffix.lower() == ".md" and first.startswith("#"):
        return first.lstrip("#").strip(), rest.strip()
    return path.stem.replace("_", " ").replace("-", " ") if text else "", text


def _document(place: Place, record: dict[str, Any]) -> Document:
    ids = _telling(record, _ID_KEYS)
    doc_id = record[ids[0]] if ids else next((record[k] for k in _ID_KEYS if k in record), None)
    if isinstance(doc_id, int) and not isinstance(doc_id, bool):
        doc_id = str(doc_id)
    if not isinstance(doc_id, str) or not doc_id.strip():
        raise error_at(place, f"the id {doc_id!r}", "_id or id, a string that is not empty")
    require_characters(place, "the id", doc_id)
    title = _text_of(place, record, ("title",))
    text = _text_of(place, record, _TEXT_KEYS)
    others = [key for key in ids if record[key] != record[ids[0]]]
    return Document(doc_id, text, title, _metadata(place, record, others))


def _text_of(place: Place, record: dict[str, Any], keys: tuple[str, ...]) -> str:
    given = _telling(record, keys)
    for other in given[1:]:
        if record[other] != record[given[0]]:
            raise error_at(place, f"{given[0]!r} and another {other!r}", "one of them")
    text = record[given[0]] if given else ""
    if not isinstance(text, str):
        raise error_at(place, f"{keys[0]} is a {type(text).__name__}", "a string")
    require_characters(place, keys[0], text)
    return text


def _telling(record: dict[str, Any], keys: tuple[str, ...]) -> list[str]:
    """Those of these keys under which something is said."""
    return [key for key in keys if record.get(key) not in (None, "")]


def _metadata(place: Place, record: dict[str, Any], others: list[str]) -> dict[str, Any]:
    """All that is not the id, title or text; ``others`` are keys of ids that are not the id."""
    known = _KNOWN_KEYS.difference(others)
    metadata = {key: value for key, value in record.items() if key not in known}
    nested = metadata.get("metadata")
    if isinstance(nested, dict):
        del metadata["metadata"]
        for key in nested:
            if key in metadata and metadata[key] != nested[key]:
                raise error_at(place, f"{key!r} and another 'metadata.{key}'", "one of them")
        metadata |= nested
    if metadata and (why := not_json(metadata)):
        raise error_at(place, f"metadata that is not JSON ({why})", "plain values")
    return metadata


def require_document(document: Document) -> str:
    """Returns the document's metadata as JSON, if it is what its type says.

    Raises:
        InvalidInputError: it is not; says its doc_id.
    """
    if not isinstance(document, Document):
        raise InvalidInputError(
            f"a {type(document).__name__} came among the documents; want a Document each, as "
            "read_documents(SOURCE) gives them"
        )
    doc_id = document.doc_id
    if not isinstance(doc_id, str) or not doc_id:
        raise InvalidInputError(f"doc_id is {doc_id!r}; want a string that is not empty")
    for name in ("doc_id", "title", "text"):
        _require_text(document, name)
    if not isinstance(document.metadata, Mapping):
        kind = type(document.metadata).__name__
        raise InvalidInputError(f"metadata of {doc_id!r} is a {kind}; want a mapping")
    try:
        return metadata_json(document.metadata)
    except ValueError as error:
        raise InvalidInputError(
            f"metadata of {doc_id!r} is not JSON: {error}; want plain values"
        ) from error


def _require_text(document: Document, name: str) -> None:
    text: Any = getattr(document, name)
    try:
        text.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        what = f"{name} of {document.doc_id!r}"
        if not isinstance(text, str):
            kind = type(text).__name__
            raise InvalidInputError(f"{what} is a {kind}; want a string") from None
        raise InvalidInputError(f"{what} is no text: {error}; want whole characters") from None


def not_json(metadata: Mapping[str, Any]) -> str:
    """Why JSON cannot hold the metadata, such as NaN, or nobody could read it; empty if it can."""
    try:
        metadata_json(metadata)
    except ValueError as error:
        return str(error)
    return ""


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """The metadata as JSON.

    Raises:
        ValueError: JSON cannot hold it as it is, or it is nested more deeply than others read; says
            why.
    """
    if not metadata:  # most documents of large corpora have none
        return "{}"
    try:
        text = _JSON.encode(dict(metadata))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:  # ValueError: half characters too
        raise ValueError(str(error)) from error
    _require_plain(dict(metadata), _MOST_NESTED)
    return text


def _require_plain(value: Any, levels: int) -> None:
    if not isinstance(value, dict | list | tuple):
        return
    if levels == 0:
        raise ValueError(f"more than {_MOST_NESTED} objects and lists inside one another")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):  # it would come back as another one, or two as one
                raise ValueError(f"the key {key!r} is no string")
    for one in value.values() if isinstance(value, dict) else value:
        _require_plain(one, levels - 1)


def _unique(
    documents: Iterator[tuple[Place, Document]],
) -> Iterator[tuple[Place, Document]]:
    with closing(SeenIds()) as seen:
        for place, document in documents:
            seen.add(document.doc_id, shown(place))
            yield place, document


class SeenIds:
    """Ids and where they were read, in bounded memory: what passes it is in a temporary file."""

    def __init__(self) -> None:
        self._table = _seen()

    def add(self, doc_id: str, where: str) -> None:
        """The id is known to have been read here.

        Raises:
            DataFormatError: it was read before; says both places.
            OSError: the disk is full.
        """
        if first := self._first(doc_id, where):
            raise DataFormatError(
                f"{where}: the id {doc_id!r} of {first} again came; want each id once"
            )

    def close(self) -> None:
        """The temporary file is gone."""
        self._table.close()

    def _first(self, doc_id: str, where: str) -> str:
        """Where the id was read before; empty if it was not, and now it was here."""
        try:
            new = self._table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (doc_id, where))
            if new.rowcount:
                return ""
            asked = "SELECT place FROM seen WHERE doc_id = ?"
            ((first,),) = self._table.execute(asked, (doc_id,))
        except sqlite3.OperationalError as error:
            raise OSError(f"the ids read so far are in a temporary file: {error}") from error
        return str(first)


def _seen() -> sqlite3.Connection:
    """A table of ids and where they were read, on disk as far as it passes some memory."""
    seen = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    seen.execute(f"PRAGMA cache_size = -{_SEEN_KIB}")
    seen.execute("PRAGMA journal_mode = OFF")
    seen.execute("CREATE TABLE seen (doc_id TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")
    seen.execute("BEGIN")
    return seen


def _first_existing(folder: Path, *names: str, missing_ok: bool = False) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if missing_ok:
        return None  # type: ignore[return-value]
    raise InvalidInputError(f"{folder} holds no {names[0]}; want a BEIR folder, or name the file")


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
