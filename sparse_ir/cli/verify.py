"""``sparse-ir verify``: is every byte of an index good?"""

from __future__ import annotations

from sparse_ir.cli.console import progress, tell
from sparse_ir.cli.options import ExistingIndexOption, find_index


def verify(folder: ExistingIndexOption = None) -> None:
    """Read all of an index: checksums, every invariant of the format, the catalog.

    Exit code 0 if all is good, else 2 with the file and what is wrong with it.
    """
    from sparse_ir.index.reader import Index

    with Index.open(find_index(folder)) as opened:
        facts = opened.info()
        with progress("verifying", total=facts["segment_bytes"]) as advance:
            opened.verify(on_segment=advance)
    tell(
        f"good: {facts['documents']:,} documents, {facts['postings']:,} postings in "
        f"{len(facts['segments'])} segments, {facts['segment_bytes'] / 2**20:.1f} MiB, and the "
        f"catalog, {facts['catalog_bytes'] / 2**20:.1f} MiB"
    )
