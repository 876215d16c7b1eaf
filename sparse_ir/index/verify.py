"""Reads all of an index and checks what must hold: every byte of the segments, and the catalog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sparse_ir import _native
from sparse_ir.errors import IndexFormatError
from sparse_ir.files import folder_digest
from sparse_ir.index.catalog import Catalog

_CATALOG_RULES = {
    "documents that are deleted too": (
        "SELECT count(*) FROM documents WHERE doc IN (SELECT doc FROM deletions)"
    ),
    "texts of no document": (
        "SELECT count(*) FROM texts WHERE doc NOT IN (SELECT doc FROM documents)"
    ),
    "passages of no document": (
        "SELECT count(*) FROM passages WHERE doc NOT IN (SELECT doc FROM documents)"
    ),
    "passages without as many weights as terms": (
        "SELECT count(*) FROM passages WHERE length(places) = 0 OR length(places) % 12 != 0"
        " OR length(terms) % 4 != 0 OR length(terms) != length(weights)"
    ),
    "documents with metadata that are no JSON object": (
        "SELECT count(*) FROM documents WHERE NOT json_valid(metadata)"
        " OR json_type(metadata) != 'object'"
    ),
    "words numbered past the lexicon's size": (
        "SELECT count(*) FROM lexicon WHERE number NOT BETWEEN 0"
        " AND (SELECT count(*) FROM lexicon) - 1"
    ),
}
_COUNTS = {
    "n_docs": "SELECT count(*) FROM documents",
    "n_words": "SELECT coalesce(sum(n_words), 0) FROM documents",
    "lexicon_size": "SELECT count(*) FROM lexicon",
}


def verify(
    path: Path,
    catalog: Catalog,
    segments: Sequence[_native.Segment],
    on_segment: Callable[[int], object],
) -> None:
    """Segments and catalog were read whole and found good, each and with one another.

    Args:
        path: Folder of the index.
        on_segment: Told the bytes of each segment when it is done.

    Raises:
        IndexFormatError: says what is wrong, and in which file.
    """
    catalog.check_integrity()
    for segment in segments:
        segment.verify()
        on_segment(segment.n_bytes)
    for what, query in _CATALOG_RULES.items():
        _require(path, catalog.count(query) == 0, f"the catalog holds {what}")
    settings = catalog.settings()
    for name, query in _COUNTS.items():
        came = catalog.count(query)
        _require(path, came == settings[name], f"{name} is {settings[name]}, counted were {came}")
    for name, digest in settings.get("folders", {}).items():
        _require(path, folder_digest(path / name) == digest, f"{name} is not what it was")
    _verify_numbers(path, catalog, segments, settings["next_doc"])
    n_terms = settings["n_terms"] + settings["lexicon_size"]
    for segment in segments:
        most = int(segment.terms[-1]) if segment.n_terms else -1
        _require(path, most < n_terms, f"{segment.path} holds term {most} of {n_terms}")


def _verify_numbers(
    path: Path, catalog: Catalog, segments: Sequence[_native.Segment], next_doc: int
) -> None:
    """Segments hold just the documents of the catalog and the deleted ones, each once."""
    held = np.concatenate([np.empty(0, np.uint64), *(s.doc_numbers for s in segments)])
    held, times = np.unique(held, return_counts=True)
    _require(path, not (times > 1).any(), "two rows of the segments have one doc number")
    known = catalog.matching("1", [])
    _require(path, bool((known < next_doc).all()), "a doc number is past the next to be given")
    lost = np.setdiff1d(known, held, assume_unique=True)
    _require(path, not len(lost), f"no segment holds {len(lost)} documents of the catalog")
    deleted = np.array(catalog.deletions(), np.uint64)
    strange = np.setdiff1d(held, np.union1d(known, deleted), assume_unique=True)
    _require(path, not len(strange), f"segments hold {len(strange)} documents of no catalog entry")


def _require(path: Path, holds: bool, problem: str) -> None:
    if not holds:
        raise IndexFormatError(f"{path}: {problem}; restore the index or build it anew")
