"""The BEIR folders that a bench measures, as they are named to it."""

from __future__ import annotations

import argparse
from pathlib import Path

from sparse_ir.evaluation.collection import Collection, read_collection


def arguments(description: str | None) -> argparse.Namespace:
    """``folders``, ``work`` and ``model``, as the command line has them."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folders", nargs="+", metavar="FOLDER[:SPLIT]")
    parser.add_argument("--work", type=Path, required=True, help="where indexes are kept")
    parser.add_argument("--model", default="mini")
    return parser.parse_args()


def read(name: str) -> Collection:
    """The collection of ``FOLDER[:SPLIT]``; the split is ``test`` unless named."""
    folder, _, split = name.partition(":")
    return read_collection(folder, split or "test")
