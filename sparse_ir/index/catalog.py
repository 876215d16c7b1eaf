"""The catalog: one SQLite file with all that is not postings, and the moment of every commit.

A commit is one SQLite transaction, ended after the segment files that it names are on the disk.
Doc numbers grow for ever and are never given twice, so merging renumbers nothing. Readers hold a
read transaction (write-ahead log): what they opened stays what they see.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import IndexFormatError, IndexLockedError, InvalidInputError
from sparse_ir.index.filters import add_sql_functions
from sparse_ir.index.passages import Row as PassageRow

FILE_NAME = "catalog.sqlite"
FORMAT_VERSION = 3

_SCHEMA = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (
    name TEXT PRIMARY KEY, n_docs INTEGER NOT NULL, n_postings INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    doc INTEGER PRIMARY KEY, doc_id TEXT NOT NULL UNIQUE, n_words INTEGER NOT NULL,
    fingerprint BLOB, metadata TEXT NOT NULL);
CREATE TABLE texts (doc INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE passages (
    doc INTEGER PRIMARY KEY, places BLOB NOT NULL, terms BLOB NOT NULL, weights BLOB NOT NULL);
CREATE TABLE deletions (doc INTEGER PRIMARY KEY);
CREATE TABLE fields (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE terms (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE lexicon (word TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE) WITHOUT ROWID;
"""
_CHUNK = 500  # values in one IN (...): SQLite allows 999 on its oldest builds
_SCANNED = 2**20  # doc numbers between two results of a scan: bounds its memory, lets Ctrl-C in
_CACHE_KIB = 32 * 1024  # of a writer: doc_ids come in any order, and a small cache would thrash
_KEPT_LOG_BYTES = 2**20  # of the write-ahead log when it is begun anew; SQLite would keep all

_MAPPED_BYTES = 2**40  # of a snapshot, as much as SQLite allows: passages are read without copies

Lookup = Callable[[list[int]], Mapping[int, str]]
"""Gives the doc_ids of documents by their numbers."""


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What the catalog keeps of a document, its text apart."""

    doc: int
    doc_id: str
    n_words: int
    fingerprint: bytes | None
    metadata: str


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment that belongs to the index."""

    name: str
    n_docs: int
    n_postings: int


class Catalog:
    """An open catalog; made by ``create``, ``open_for_writing`` or ``open_snapshot``.

    An error that ends a write transaction (a full disk does), or leaves half a batch in it, makes
    every later call raise ``OSError``, until ``roll_back``: no part of it is ever committed.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = threading.Lock()
        self._is_writing = False  # between ``begin`` and the end of its transaction
        self._failure = ""  # what SQLite said when it broke that
        self.is_closed = False
        self.n_changes = 0
        """Grows when documents go or their metadata change: what was read before may be stale."""

    @classmethod
    def create(
        cls, folder: Path, settings: Mapping[str, Any], term_names: Iterable[str] | None = None
    ) -> Catalog:
        """A new catalog in ``folder``, committed, and inside the next write transaction.

        Args:
            folder: Of the index.
            settings: To be kept.
            term_names: Those of terms 0, 1, ..., where no model knows them.

        Raises:
            InvalidInputError: there is one already. A file that a crash left without a committed
                catalog in it does not count.
        """
        require_no_index(folder)
        catalog = cls(_connect(folder / FILE_NAME), folder / FILE_NAME)
        try:
            catalog._run("PRAGMA journal_mode = WAL")
            catalog._prepare_for_writing()
            catalog.begin()
            for statement in _SCHEMA.split(";"):
                catalog._run(statement)
            catalog.update_settings({"format_version": FORMAT_VERSION, **settings})
            catalog._run_many("INSERT INTO terms VALUES (?, ?)", enumerate(term_names or ()))
            catalog.commit()
            catalog.begin()
        except BaseException:
            catalog.close()
            raise
        return catalog

    @classmethod
    def open_for_writing(cls, folder: Path) -> Catalog:
        """The catalog of ``folder``, inside a write transaction."""
        catalog = cls(_connect(require_index(folder) / FILE_NAME), folder / FILE_NAME)
        catalog._prepare_for_writing()
        catalog.begin()
        catalog._check_version()
        return catalog

    @classmethod
    def open_snapshot(cls, folder: Path) -> Catalog:
        """The catalog of ``folder`` as last committed; later commits do not show."""
        require_index(folder)
        # SQLite reads a catalog without a log only where it may make one, unless told that nobody
        # writes. Where there is a log somebody may, and "immutable" would not see what is in it.
        catalog = cls._to_read(folder, may_make_log=os.access(folder, os.W_OK))
        catalog._run(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
        catalog._run("BEGIN")
        catalog._check_version()
        return catalog

    @staticmethod
    def files(folder: Path) -> tuple[Path, Path]:
        """The file and its write-ahead log, which may be missing; a commit changes one of them."""
        return folder / FILE_NAME, folder / f"{FILE_NAME}-wal"

    @staticmethod
    def checkpoint(folder: Path) -> None:
        """The write-ahead log is in the file, as far as no open snapshot is older.

        The next writer begins the log anew if all of it is and no snapshot reads it. So where some
        snapshot is always open, the log grows for ever unless, after this, new ones replace all.
        """
        with closing(Catalog(_connect(folder / FILE_NAME), folder / FILE_NAME)) as catalog:
            catalog._run("PRAGMA wal_checkpoint(PASSIVE)")

    def n_bytes(self) -> int:
        """Size of the file."""
        return self._path.stat().st_size

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether ``folder`` holds a committed catalog."""
        if not (folder / FILE_NAME).is_file():
            return False
        with closing(Catalog._to_read(folder, may_make_log=False)) as catalog:
            return catalog._has_tables()

    @classmethod
    def _to_read(cls, folder: Path, *, may_make_log: bool) -> Catalog:
        path, log = cls.files(folder)
        mode = "ro" if may_make_log or log.exists() else "ro&immutable=1"
        return cls(_connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True), path)

    def close(self) -> None:
        """Ends the transaction without committing, and closes the file."""
        self.is_closed, self._is_writing = True, False
        self._connection.close()

    def closed(self) -> InvalidInputError:
        """What is said to whoever uses what is closed."""
        return InvalidInputError(f"{self._path.parent} is closed; open the index again")

    def begin(self) -> None:
        """A write transaction is open afterwards."""
        self._is_writing = True
        self._run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """All since ``begin`` is on the disk, or nothing."""
        self._run("COMMIT")
        self._is_writing = False

    @property
    def has_failed(self) -> bool:
        """Whether nothing but ``roll_back`` and ``close`` will do."""
        return bool(self._failure)

    def roll_back(self) -> None:
        """All since ``begin`` is forgotten, an error too."""
        self._is_writing, self._failure = False, ""
        if self._connection.in_transaction:
            self._run("ROLLBACK")
        self.n_changes += 1

    # settings

    def settings(self) -> dict[str, Any]:
        """Every setting, by name."""
        return {key: json.loads(value) for key, value in self._run("SELECT * FROM settings")}

    def update_settings(self, settings: Mapping[str, Any]) -> None:
        """These settings have these values."""
        rows = [(key, json.dumps(value)) for key, value in settings.items()]
        self._run_many("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)

    # segments

    def segments(self) -> list[SegmentRow]:
        """Every segment, oldest first."""
        rows = self._run(
            "SELECT name, n_docs, n_postings FROM segments ORDER BY length(name), name"
        )
        return [SegmentRow(*row) for row in rows]

    def add_segment(self, row: SegmentRow) -> None:
        """The segment belongs to the index."""
        values = (row.name, row.n_docs, row.n_postings)
        self._run_many("INSERT INTO segments VALUES (?, ?, ?)", [values])

    def remove_segments(self, names: Iterable[str]) -> None:
        """The segments do not belong to the index."""
        self._run_many("DELETE FROM segments WHERE name = ?", [(name,) for name in names])

    # documents

    def add_documents(
        self,
        first: int,
        doc_ids: Sequence[str],
        n_words: Iterable[int],
        fingerprints: Iterable[bytes | None],
        metadata: Iterable[str],
    ) -> bool:
        """The documents are known, numbered from ``first``, if none of the doc_ids was before.

        Args:
            first: A number above all others.
            metadata: JSON objects.

        Returns:
            Whether they are; else nothing has changed.
        """
        docs = range(first, first + len(doc_ids))
        rows = zip(docs, doc_ids, n_words, fingerprints, metadata, strict=False)
        insert = "INSERT INTO documents VALUES (?, ?, ?, ?, ?) ON CONFLICT (doc_id) DO NOTHING"
        if self._run_many(insert, rows) == len(doc_ids):
            return True
        self._run_many("DELETE FROM documents WHERE doc >= ?", [(first,)])
        return False

    def add_texts(self, first: int, texts: Iterable[tuple[str, str]]) -> None:
        """The documents numbered from ``first`` have these (title, text)."""
        rows = ((doc, title, text) for doc, (title, text) in enumerate(texts, first))
        self._run_many("INSERT INTO texts VALUES (?, ?, ?)", rows)

    def delete_documents(self, docs: Sequence[int]) -> None:
        """The documents are gone, and their numbers are marked in the segments that hold them."""
        rows = [(doc,) for doc in docs]
        self._run_many("DELETE FROM documents WHERE doc = ?", rows)
        self._run_many("DELETE FROM texts WHERE doc = ?", rows)
        self._run_many("DELETE FROM passages WHERE doc = ?", rows)
        self._run_many("INSERT INTO deletions VALUES (?)", rows)
        self.n_changes += len(rows) > 0

    def add_passages(self, rows: Iterable[PassageRow]) -> None:
        """The documents have these passages, a row of several each."""
        self._run_many("INSERT INTO passages VALUES (?, ?, ?, ?)", rows)

    def replace_passages(self, rows: Iterable[PassageRow]) -> None:
        """Documents that have several passages have these."""
        self._run_many("REPLACE INTO passages VALUES (?, ?, ?, ?)", rows)

    def passages(self, docs: Sequence[int]) -> list[PassageRow]:
        """The rows of those of these documents that have several passages, in any order."""
        return self._select_in(
            "SELECT doc, places, terms, weights FROM passages WHERE doc IN", docs
        )

    def passage_places(self, docs: Sequence[int]) -> list[tuple[int, bytes]]:
        """As ``passages``, without terms and weights."""
        return self._select_in("SELECT doc, places FROM passages WHERE doc IN", docs)

    def has_passages(self) -> bool:
        """Whether any document has several."""
        return bool(self._run("SELECT 1 FROM passages LIMIT 1"))

    def passage_counts(self) -> list[tuple[int, int]]:
        """(doc, passages) of those documents that have several."""
        return self._run("SELECT doc, length(places) / 12 FROM passages")

    def documents(self, doc_ids: Sequence[str]) -> dict[str, DocumentRow]:
        """The known ones of these documents, by doc_id."""
        found = self._select_in(
            "SELECT doc, doc_id, n_words, fingerprint, metadata FROM documents WHERE doc_id IN",
            [doc_id for doc_id in doc_ids if _is_text(doc_id)],
        )
        return {row[1]: DocumentRow(*row) for row in found}

    def replace_metadata(self, doc: int, metadata: str) -> None:
        """The document has this metadata (a JSON object)."""
        self._run_many("UPDATE documents SET metadata = ? WHERE doc = ?", [(metadata, doc)])
        self.n_changes += 1

    def doc_ids(self, docs: Sequence[int]) -> dict[int, str]:
        """doc number -> doc_id."""
        return dict(self._select_in("SELECT doc, doc_id FROM documents WHERE doc IN", docs))

    def looked_up(self, docs: NDArray[np.int64]) -> Lookup | None:
        """The doc_ids of these documents as of now; None if a writer deleted some meanwhile.

        Args:
            docs: Doc numbers of any shape, -1 for none.
        """
        wanted = np.unique(docs[docs >= 0]).tolist()
        doc_ids = self.doc_ids(wanted)
        return (lambda _: doc_ids) if len(doc_ids) == len(wanted) else None

    def contents(self, docs: Sequence[int]) -> dict[int, tuple[str, str, dict[str, Any]]]:
        """doc number -> (title, text, metadata)."""
        found = self._select_in(
            "SELECT doc, coalesce(title, ''), coalesce(text, ''), metadata"
            " FROM documents LEFT JOIN texts USING (doc) WHERE doc IN",
            docs,
        )
        return {doc: (title, text, json.loads(meta)) for doc, title, text, meta in found}

    def word_counts(self, first: int, last: int) -> list[tuple[int, int]]:
        """(doc, n_words) of the documents numbered first..last, ascending."""
        return self._run(
            "SELECT doc, n_words FROM documents WHERE doc BETWEEN ? AND ? ORDER BY doc",
            (first, last),
        )

    def lengths(self, docs: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(n,) lengths in words of (n,) known documents, ascending."""
        rows = self.word_counts(int(docs[0]), int(docs[-1]))
        known = np.array(rows, np.int64).reshape(-1, 2)
        found: NDArray[np.int64] = known[np.searchsorted(known[:, 0], docs.astype(np.int64)), 1]
        return found

    def matching(self, condition: str, values: Sequence[Any]) -> NDArray[np.uint64]:
        """Numbers of the documents for which the SQL condition holds, ascending."""
        # One string of many numbers: a Python object each would take as long as the scan itself.
        query = f"SELECT group_concat(doc) FROM documents WHERE doc BETWEEN ? AND ? AND {condition}"
        ((last,),) = self._run("SELECT coalesce(max(doc), -1) FROM documents")
        parts = [np.empty(0, np.uint64)]
        for start in range(0, last + 1, _SCANNED):
            ((numbers,),) = self._run(query, [start, start + _SCANNED - 1, *values])
            parts.append(np.fromstring(numbers or "", np.uint64, sep=","))
        return np.sort(np.concatenate(parts))

    # deletions

    def deletions(self, first: int = 0, last: int = 2**63 - 1) -> list[int]:
        """Numbers in first..last of deleted documents that a segment may still hold, ascending."""
        query = "SELECT doc FROM deletions WHERE doc BETWEEN ? AND ? ORDER BY doc"
        return [row[0] for row in self._run(query, (first, last))]

    def forget_deletions(self, docs: Iterable[int]) -> None:
        """No segment holds these documents any more."""
        self._run_many("DELETE FROM deletions WHERE doc = ?", [(doc,) for doc in docs])

    # metadata fields and words

    def fields(self) -> list[str]:
        """Names of the metadata fields that any document ever had."""
        return [row[0] for row in self._run("SELECT name FROM fields")]

    def add_fields(self, names: Iterable[str]) -> None:
        """The fields are known."""
        self._run_many("INSERT OR IGNORE INTO fields VALUES (?)", [(name,) for name in names])

    def word_numbers(self, words: Sequence[str]) -> dict[str, int]:
        """The known ones of these words, with their numbers."""
        return dict(self._select_in("SELECT word, number FROM lexicon WHERE word IN", words))

    def words(self, numbers: Sequence[int]) -> dict[int, str]:
        """word number -> word."""
        return dict(self._select_in("SELECT number, word FROM lexicon WHERE number IN", numbers))

    def add_words(self, numbered: Mapping[str, int]) -> None:
        """The words have these numbers for ever."""
        self._run_many("INSERT INTO lexicon VALUES (?, ?)", list(numbered.items()))

    # names of the learned block's terms, where no model knows them

    def term_names(self) -> list[str]:
        """Names of the learned terms by number; empty if they are not kept here."""
        return [row[0] for row in self._run("SELECT name FROM terms ORDER BY number")]

    # checks

    def check_integrity(self) -> None:
        """SQLite has read the whole file and found it sound.

        Raises:
            IndexFormatError: it is not.
        """
        ((found,), *_) = self._run("PRAGMA integrity_check")
        if found != "ok":
            raise IndexFormatError(f"{self._path}: {found}; restore the file or build it anew")

    def count(self, query: str) -> int:
        """The single number that the query gives."""
        ((n,),) = self._run(query)
        return int(n)

    # the one place that talks to SQLite

    def _run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            self._require_whole()
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.DatabaseError as error:
                if self._is_writing and not self._connection.in_transaction:
                    self._failure = str(error)
                raise self._translated(error) from error

    def _run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """As ``_run``, for all that changes tables. Returns how many rows changed."""
        with self._lock:
            self._require_whole()
            try:
                return self._connection.executemany(sql, rows).rowcount
            except BaseException as error:
                if self._is_writing:  # some of the rows may be in, an interrupted batch's too
                    self._failure = str(error) or type(error).__name__
                if isinstance(error, sqlite3.DatabaseError):
                    raise self._translated(error) from error
                raise

    def _require_whole(self) -> None:
        if self._failure:
            raise OSError(
                f"{self._path}: {self._failure}; what came since the last commit is lost: close "
                "the writer, open it again and add that anew"
            )

    def _select_in(self, sql: str, values: Sequence[Any]) -> list[Any]:
        found = []
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            found += self._run(f"{sql} ({marks})", chunk)
        return found

    def _prepare_for_writing(self) -> None:
        self._run("PRAGMA synchronous = FULL")
        self._run(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._run(f"PRAGMA journal_size_limit = {_KEPT_LOG_BYTES}")

    def _translated(self, error: sqlite3.DatabaseError) -> Exception:
        text = str(error)
        if "closed database" in text:
            return self.closed()
        if "locked" in text:
            return IndexLockedError(f"{self._path}: {text}; another writer has it open")
        if any(word in text for word in ("disk I/O", "full", "unable to open", "readonly")):
            return OSError(f"{self._path}: {text}")
        if any(word in text for word in ("parser stack", "Expression tree")):
            return InvalidInputError(
                f"filter is nested too deeply for SQLite ({text}); want fewer conditions inside "
                "one another"
            )
        return IndexFormatError(
            f"{self._path}: {text}; want the catalog of a sparse_ir index, whole"
        )

    def _check_version(self) -> None:
        if not self._has_tables():
            raise _no_index(self._path.parent)
        version = self.settings().get("format_version")
        if version != FORMAT_VERSION:
            raise IndexFormatError(
                f"{self._path}: format version is {version}; this release reads {FORMAT_VERSION}, "
                "so build the index anew"
            )

    def _has_tables(self) -> bool:
        return bool(self._run("SELECT 1 FROM sqlite_master WHERE name = 'settings'"))


def require_index(folder: Path) -> Path:
    """Returns the folder if a catalog is in it.

    Raises:
        InvalidInputError: there is none.
    """
    if not (folder / FILE_NAME).is_file():
        raise _no_index(folder)
    return folder


def require_no_index(folder: Path) -> None:
    """Returns if no committed catalog is in the folder.

    Raises:
        InvalidInputError: there is one.
    """
    if Catalog.exists(folder):
        raise InvalidInputError(
            f"{folder} holds an index already; open it with IndexWriter.open, or remove it"
        )


def remove_catalog(folder: Path) -> None:
    """No index is in the folder any more. The writer's lock must be held."""
    for suffix in ("", "-wal", "-shm"):
        (folder / (FILE_NAME + suffix)).unlink(missing_ok=True)


def _no_index(folder: Path) -> InvalidInputError:
    return InvalidInputError(f"no index at {folder}; make one with: sparse-ir index SOURCE")


def _is_text(doc_id: object) -> bool:
    """Whether a document can have this id: none has half a surrogate pair in it."""
    if not isinstance(doc_id, str):
        raise InvalidInputError(f"doc_id is {doc_id!r}; want a string")
    try:
        doc_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def _connect(path: str | Path, *, uri: bool = False) -> sqlite3.Connection:
    # isolation_level None: transactions begin and end where this file says, nowhere else.
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, uri=uri, timeout=30.0
    )
    add_sql_functions(connection)
    return connection
