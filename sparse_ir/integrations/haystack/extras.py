"""What Haystack's documents carry and an index does not hold: embeddings, blobs, absent content.

One SQLite file in the index's folder. A row is written before its document is committed, and names
the content that it belongs to, so that a crash in between leaves no document with another's extras.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from haystack import Document
from haystack.dataclasses import ByteStream, SparseEmbedding

FILE_NAME = "haystack.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS extras (
    doc_id TEXT, content BLOB, embedding BLOB, others TEXT NOT NULL,
    PRIMARY KEY (doc_id, content)) WITHOUT ROWID
"""
_CHUNK = 500  # values in one IN (...)


class Extras:
    """Those of the documents in the index at ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def add(self, documents: Iterable[Document]) -> None:
        """The documents' extras are on the disk."""
        rows = [row for document in documents if (row := _row(document))]
        if rows:
            with self._open() as connection:
                connection.executemany("INSERT OR REPLACE INTO extras VALUES (?, ?, ?, ?)", rows)

    def keep_only(self, documents: Iterable[Document]) -> None:
        """Of these documents, only the extras that they have now are left."""
        if not self._path.exists():
            return
        with self._open() as connection:
            for document in documents:
                has_any = _row(document) is not None
                connection.execute(
                    "DELETE FROM extras WHERE doc_id = ? AND (content != ? OR NOT ?)",
                    (document.id, _digest(document.content or ""), has_any),
                )

    def remove(self, doc_ids: Sequence[str]) -> None:
        """The documents have none."""
        if not self._path.exists():
            return
        with self._open() as connection:
            rows = [(doc_id,) for doc_id in doc_ids]
            connection.executemany("DELETE FROM extras WHERE doc_id = ?", rows)

    def of(self, contents: dict[str, str]) -> dict[str, dict[str, Any]]:
        """doc_id -> arguments of ``Document``, of those of {doc_id: content} that have any."""
        if not self._path.exists():
            return {}
        doc_ids, found = list(contents), {}
        with self._open() as connection:
            for start in range(0, len(doc_ids), _CHUNK):
                chunk = doc_ids[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                for doc_id, content, embedding, others in connection.execute(
                    f"SELECT * FROM extras WHERE doc_id IN ({marks})", chunk
                ):
                    if content == _digest(contents[doc_id]):
                        found[doc_id] = _arguments(embedding, others)
        return found

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=30.0)
        with closing(connection), connection:
            connection.execute(_SCHEMA)
            yield connection


def _row(document: Document) -> tuple[str, bytes, bytes | None, str] | None:
    others: dict[str, Any] = {}
    if document.content is None:
        others["content"] = None
    if document.blob is not None:
        others["blob"] = document.blob.to_dict()
    if document.sparse_embedding is not None:
        others["sparse_embedding"] = document.sparse_embedding.to_dict()
    if document.embedding is None and not others:
        return None
    embedding = document.embedding
    return (
        document.id,
        _digest(document.content or ""),
        None if embedding is None else np.asarray(embedding, np.float64).tobytes(),
        json.dumps(others),
    )


def _arguments(embedding: bytes | None, others: str) -> dict[str, Any]:
    arguments: dict[str, Any] = json.loads(others)
    if embedding is not None:
        arguments["embedding"] = np.frombuffer(embedding, np.float64).tolist()
    if "blob" in arguments:
        arguments["blob"] = ByteStream.from_dict(arguments["blob"])
    if "sparse_embedding" in arguments:
        arguments["sparse_embedding"] = SparseEmbedding.from_dict(arguments["sparse_embedding"])
    return arguments


def _digest(content: str) -> bytes:
    return hashlib.blake2b(content.encode(), digest_size=16).digest()
