"""CIFF, the Common Index File Format: one file that Lucene, PISA, JASS and others read and write.

A file is a ``Header``, then its number of ``PostingsList`` messages, then its number of
``DocRecord`` messages, each behind its length. The messages are protocol buffers; they hold whole
numbers, so weights are quantised before they are written.

Source: Lin et al. 2020, "Supporting Interoperability Between Open-Source Search Engines with the
Common Index File Format", arXiv:2003.08276.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.files import whole_file
from sparse_ir.vectors import TermWeights

_VERSION = 1
_LARGEST = 2**31 - 1  # CIFF's numbers are int32
_VARINT_BYTES = 10

# Tags of the fields: field number * 8 + wire type (0 varint, 1 eight bytes, 2 bytes with a length).
_HEADER = {
    "version": 0x08,
    "num_postings_lists": 0x10,
    "num_docs": 0x18,
    "total_postings_lists": 0x20,
    "total_docs": 0x28,
    "total_terms_in_collection": 0x30,
    "average_doclength": 0x39,
    "description": 0x42,
}
_TERM, _DF, _CF, _POSTING = 0x0A, 0x10, 0x18, 0x22
_POSTING_DOC, _POSTING_TF = 0x08, 0x10
_RECORD_DOC, _RECORD_ID, _RECORD_LENGTH = 0x08, 0x12, 0x18


class CiffIndex(NamedTuple):
    """What a CIFF file holds."""

    ids: list[str]
    """doc_ids, by row."""
    weights: TermWeights
    """(documents, terms) float32 csr_array: the file's term frequencies or impacts."""
    terms: list[str]
    """By column."""
    description: str


def write_ciff(
    path: str | Path,
    ids: Sequence[str],
    impacts: Any,
    terms: Sequence[str],
    *,
    description: str = "",
) -> None:
    """The file holds these documents, whole or not at all.

    Args:
        path: The file, by custom ``.ciff``.
        ids: n doc_ids, each once.
        impacts: (n, terms) sparse matrix of whole numbers, 0..2**31-1.
        terms: A name a column, each once. Those of no document are left out.
        description: For people.

    Raises:
        InvalidInputError: the sizes disagree, a name comes twice, a number is not whole, or those
            of a document add up to more than 2**31-1.
    """
    columns = _checked(ids, impacts, terms)
    lengths = np.asarray(columns.sum(axis=1), np.int64).ravel()
    if len(ids) and lengths.max() > _LARGEST:
        raise InvalidInputError(
            f"the impacts of {ids[int(lengths.argmax())]!r} add up to {lengths.max()}, its length; "
            f"want at most {_LARGEST}: quantise by a smaller scale"
        )
    used = np.flatnonzero(np.diff(columns.indptr)).tolist()
    used.sort(key=lambda j: terms[j].encode())
    with whole_file(path) as beside, beside.open("wb") as file:
        header = {
            "version": _VERSION,
            "num_postings_lists": len(used),
            "num_docs": len(ids),
            "total_postings_lists": len(used),
            "total_docs": len(ids),
            "total_terms_in_collection": int(lengths.sum()),
        }
        message = b"".join(bytes([_HEADER[name]]) + _varint(n) for name, n in header.items())
        average = float(lengths.mean()) if len(ids) else 0.0
        message += bytes([_HEADER["average_doclength"]]) + struct.pack("<d", average)
        _write(file, message + _text(_HEADER["description"], description))
        for j in used:
            at = slice(columns.indptr[j], columns.indptr[j + 1])
            _write(file, _postings_list(terms[j], columns.indices[at], columns.data[at]))
        for doc, (doc_id, length) in enumerate(zip(ids, lengths.tolist(), strict=True)):
            record = bytes([_RECORD_DOC]) + _varint(doc) + _text(_RECORD_ID, doc_id)
            _write(file, record + bytes([_RECORD_LENGTH]) + _varint(length))


def read_ciff(path: str | Path) -> CiffIndex:
    """All of a CIFF file, in memory.

    Raises:
        DataFormatError: not a CIFF file, or cut short; says at which byte.
        OSError: it cannot be read.
    """
    reader = _Reader(Path(path))
    header = dict.fromkeys(_HEADER.values(), 0) | dict(reader.fields(reader.message()))
    n_terms, n_docs = header[_HEADER["num_postings_lists"]], header[_HEADER["num_docs"]]
    reader.require(header[_HEADER["version"]] == _VERSION, "another version of CIFF", "version 1")
    reader.require(n_terms + n_docs <= len(reader.data), "more messages than bytes", "a header")
    terms, docs, values = [], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for _ in range(n_terms):
        term, list_docs, list_values = _read_postings_list(reader)
        terms.append(term)
        docs.append(list_docs)
        values.append(list_values)
    ids = _read_documents(reader, n_docs)
    reader.require(reader.at == len(reader.data), "bytes behind the last document", "none")
    rows = np.concatenate(docs)
    reader.require(not len(rows) or rows.max() < n_docs, "a posting of no document", "one of them")
    reader.require(len(set(terms)) == len(terms), "two lists of one term", "one list a term")
    columns = np.repeat(np.arange(n_terms), [len(one) for one in docs[1:]])
    weights = np.concatenate(values).astype(np.float32)
    matrix = sp.coo_array((weights, (rows, columns)), shape=(n_docs, n_terms)).tocsr()
    description = header[_HEADER["description"]]
    return CiffIndex(ids, matrix, terms, reader.text(description or b""))


# writing


def _checked(ids: Sequence[str], impacts: Any, terms: Sequence[str]) -> Any:
    columns = sp.csc_array(impacts)
    if columns.shape != (len(ids), len(terms)):
        raise InvalidInputError(
            f"impacts are {columns.shape}; want {len(ids)} documents x {len(terms)} terms"
        )
    for what, names in (("doc_id", ids), ("term", terms)):
        if len(set(names)) != len(names):
            raise InvalidInputError(f"a {what} comes twice; want each once")
    data = columns.data
    if not ((data >= 0) & (data <= _LARGEST) & (data == np.floor(data))).all():
        raise InvalidInputError(f"an impact is no whole number in 0..{_LARGEST}; quantise first")
    columns = columns.astype(np.int64)
    columns.eliminate_zeros()
    columns.sort_indices()
    return columns


def _postings_list(term: str, docs: NDArray[Any], values: NDArray[np.int64]) -> bytes:
    head = _text(_TERM, term) + bytes([_DF]) + _varint(len(docs))
    head += bytes([_CF]) + _varint(int(values.sum()))
    gaps = np.ediff1d(docs.astype(np.int64), to_begin=docs[:1])
    gap_bytes, gap_sizes = _varints(gaps)
    value_bytes, value_sizes = _varints(values)
    n = len(docs)
    sizes = (2 + gap_sizes + value_sizes).astype(np.uint8)
    tags = np.tile(np.array([_POSTING, 0, _POSTING_DOC], np.uint8), (n, 1))
    tags[:, 1] = sizes
    table = np.hstack([tags, gap_bytes, np.full((n, 1), _POSTING_TF, np.uint8), value_bytes])
    place = np.arange(5)
    used = np.ones(table.shape, np.bool_)
    used[:, 3:8] = place < gap_sizes[:, None]
    used[:, 9:14] = place < value_sizes[:, None]
    return head + table[used].tobytes()


def _varints(numbers: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(n, 5) bytes of (n,) int31 varints, low group first, and how many of them count."""
    shifted = numbers[:, None] >> (7 * np.arange(5))
    sizes = np.maximum((shifted > 0).sum(axis=1), 1)
    is_followed = np.arange(5) < sizes[:, None] - 1
    return ((shifted & 0x7F) | (is_followed << 7)).astype(np.uint8), sizes


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _text(tag: int, text: str) -> bytes:
    data = text.encode()
    return bytes([tag]) + _varint(len(data)) + data


def _write(file: BinaryIO, message: bytes) -> None:
    file.write(_varint(len(message)) + message)


# reading


class _Reader:
    """Walks through a file; every length is checked before it is used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.data = path.read_bytes()
        self.at = 0

    def message(self) -> int:
        """The end of the message that starts here, behind its length."""
        size = self.varint(len(self.data))
        self.require(size <= len(self.data) - self.at, "a message cut short", f"{size} bytes")
        return self.at + size

    def fields(self, end: int) -> list[tuple[int, Any]]:
        """(tag, value) of each field up to ``end``."""
        found = []
        while self.at < end:
            tag = self.varint(end)
            found.append((tag, self.value(tag, end)))
        return found

    def value(self, tag: int, end: int) -> Any:
        kind = tag & 7
        if kind == 0:
            return self.varint(end)
        size = {1: 8, 5: 4}.get(kind) or (self.varint(end) if kind == 2 else end - self.at + 1)
        self.require(size <= end - self.at, f"a field with tag {tag}", "one of CIFF's, whole")
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self, end: int) -> int:
        number = 0
        for place in range(_VARINT_BYTES):
            self.require(self.at < end, "the end", "a number")
            byte = self.data[self.at]
            self.at += 1
            number |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return number
        self.require(False, "a number of more than ten bytes", "a varint")
        raise AssertionError("unreachable")

    def text(self, value: Any) -> str:
        try:
            return bytes(value).decode()
        except (UnicodeDecodeError, TypeError):
            self.require(False, "a name that is not UTF-8", "text")
            raise AssertionError("unreachable") from None

    def require(self, holds: Any, came: str, wanted: str) -> None:
        if not holds:
            raise DataFormatError(f"{self._path}: at byte {self.at} {came} came; want {wanted}")


def _read_postings_list(reader: _Reader) -> tuple[str, NDArray[np.int64], NDArray[np.int64]]:
    end = reader.message()
    term, df = "", 0
    while reader.at < end and reader.data[reader.at] != _POSTING:
        tag = reader.varint(end)
        value = reader.value(tag, end)
        if tag == _TERM:
            term = reader.text(value)
        elif tag == _DF:
            df = value
    postings = np.frombuffer(reader.data, np.uint8, end - reader.at, reader.at)
    gaps, values = _decode_regular(postings) or _decode_postings(reader, end)
    reader.require(len(gaps) == df, f"{len(gaps)} postings of {term!r}", f"{df}, as its df says")
    reader.require((gaps[1:] > 0).all(), f"a document of {term!r} again", "each once, ascending")
    reader.require((values > 0).all() and (values <= _LARGEST).all(), "a frequency", "1..2**31-1")
    reader.at = end
    return term, np.cumsum(gaps), values


def _decode_regular(data: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """(gaps, frequencies) of postings that hold both fields in order, as nearly all do."""
    ends = np.flatnonzero(data < 0x80) + 1
    if len(ends) % 6 or (len(data) and (not len(ends) or ends[-1] != len(data))):
        return None
    sizes = np.diff(ends, prepend=0)
    if len(ends) and sizes.max() > 5:
        return None
    numbers = np.zeros(len(ends), np.int64)
    for place in range(5):
        has = sizes > place
        numbers[has] |= (data[(ends - sizes)[has] + place].astype(np.int64) & 0x7F) << (7 * place)
    table, widths = numbers.reshape(-1, 6), sizes.reshape(-1, 6)
    tags = table[:, [0, 2, 4]] == [_POSTING, _POSTING_DOC, _POSTING_TF]
    if not tags.all() or not (table[:, 1] == widths[:, 2:].sum(axis=1)).all():
        return None
    return table[:, 3], table[:, 5]


def _decode_postings(reader: _Reader, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As above, field by field: writers may leave out a 0, or know more fields."""
    pairs = []
    while reader.at < end:
        tag = reader.varint(end)
        if tag != _POSTING:
            reader.value(tag, end)
            continue
        size = reader.varint(end)
        reader.require(size <= end - reader.at, "a posting cut short", f"{size} bytes")
        fields = dict(reader.fields(reader.at + size))
        pairs.append((fields.get(_POSTING_DOC, 0), fields.get(_POSTING_TF, 0)))
    reader.require(all(max(pair) <= _LARGEST for pair in pairs), "a number past int32", "a posting")
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _read_documents(reader: _Reader, n: int) -> list[str]:
    ids: list[str | None] = [None] * n
    for _ in range(n):
        fields = dict(reader.fields(reader.message()))
        doc = fields.get(_RECORD_DOC, 0)
        reader.require(doc < n and ids[doc] is None, f"document {doc}", f"each of 0..{n - 1} once")
        ids[doc] = reader.text(fields.get(_RECORD_ID, b""))
    found = [doc_id for doc_id in ids if doc_id]
    reader.require(len(set(found)) == n, "an empty or repeated doc_id", "each document's own")
    return found
