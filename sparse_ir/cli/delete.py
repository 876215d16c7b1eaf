"""``sparse-ir delete``: documents out of an index."""

from __future__ import annotations

from typing import Annotated

import typer

from sparse_ir.cli.console import tell
from sparse_ir.cli.options import ExistingIndexOption, find_index
from sparse_ir.errors import InvalidInputError


def delete(
    doc_ids: Annotated[list[str], typer.Argument(help="Ids of documents.")],
    folder: ExistingIndexOption = None,
) -> None:
    """Delete documents from an index; all of them or, if one is not there, none."""
    from sparse_ir.index.writer import IndexWriter

    path = find_index(folder)
    with IndexWriter.open(path) as writer:
        known = writer.known(doc_ids)
        if missing := [doc_id for doc_id in doc_ids if doc_id not in known]:
            raise InvalidInputError(f"no document {missing[0]!r} in {path}; want known doc_ids")
        n_deleted = writer.delete(list(known))
        n_left = len(writer)
    tell(f"{n_deleted} deleted, {n_left:,} left; index: {path}")
