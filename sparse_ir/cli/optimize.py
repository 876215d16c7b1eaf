"""``sparse-ir optimize``: deleted documents out, segments joined."""

from __future__ import annotations

from pathlib import Path

from sparse_ir.cli.console import progress, tell
from sparse_ir.cli.options import ExistingIndexOption, find_index


def optimize(folder: ExistingIndexOption = None) -> None:
    """Join the segments of an index, drop what was deleted, bring BM25 up to date.

    Others may search the index meanwhile. Needs room on the disk for a second copy.
    """
    from sparse_ir.index.writer import IndexWriter

    path = find_index(folder)
    before = _facts(path)
    with progress("optimizing"), IndexWriter.open(path) as writer:
        writer.optimize()
    after = _facts(path)
    tell(
        f"{before[0]} segments of {before[1] / 2**20:.1f} MiB became {after[0]} of "
        f"{after[1] / 2**20:.1f} MiB; {before[2]:,} deleted documents dropped"
    )


def _facts(path: Path) -> tuple[int, int, int]:
    """Segments, their bytes, and deleted documents that they hold."""
    from sparse_ir.index.reader import Index

    with Index.open(path) as opened:
        facts = opened.info()
    return len(facts["segments"]), facts["segment_bytes"], facts["deleted"]
