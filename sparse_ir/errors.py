"""Every error that sparse_ir raises on purpose.

A message says what came, what was wanted, and what to do. ``OSError`` is never wrapped.
"""

from __future__ import annotations


class SparseIRError(Exception):
    """Base of all errors below, so that one ``except`` catches what the engine refuses."""


class InvalidInputError(SparseIRError, ValueError):
    """An argument is wrong."""


class VocabularyMismatchError(SparseIRError, ValueError):
    """Encoder and index speak different vocabularies."""


class IndexFormatError(SparseIRError, ValueError):
    """A file of an index is corrupt, truncated, or from an unknown version."""


class IndexLockedError(SparseIRError, RuntimeError):
    """Another writer holds the index."""


class DataFormatError(SparseIRError, ValueError):
    """A line of an input file is malformed; the message starts with ``file:line``."""


class MissingDependencyError(SparseIRError, ImportError):
    """An optional package is not installed; the message gives the command that installs it."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"run: pip install 'sparse-ir-engine[{extra}]'"
        )
