"""Options that several commands share, and where the index is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.errors import InvalidInputError

DEFAULT_INDEX = Path(".sparse-ir")

ModelOption = Annotated[
    str, typer.Option(help="A model that ships with the package, a model folder, or a hub name.")
]
BatchSizeOption = Annotated[int, typer.Option(help="Texts encoded at once.")]
MaxLengthOption = Annotated[
    int | None, typer.Option(help="Tokens of a text that are read.", show_default="the model's")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ExistingIndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index", help="Folder of the index.", show_default=".sparse-ir here or in a folder above"
    ),
]

CacheOption = Annotated[
    Path | None,
    typer.Option(help="Where built indexes are kept.", show_default="the platform's cache"),
]


def named(text: str) -> list[str]:
    """The names in a list with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def find_index(given: Path | None) -> Path:
    """The folder given, else ``.sparse-ir`` here or in the nearest folder above, as git does.

    Raises:
        InvalidInputError: there is none.
    """
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / DEFAULT_INDEX).is_dir():
            return folder / DEFAULT_INDEX
    raise InvalidInputError(
        f"no {DEFAULT_INDEX} in {here} or above; make one with: sparse-ir index SOURCE, "
        "or name one with --index"
    )
