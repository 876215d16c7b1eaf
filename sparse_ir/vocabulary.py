"""The learned block's terms, and the fingerprint by which index and encoder know each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from sparse_ir.errors import InvalidInputError, VocabularyMismatchError


@dataclass(frozen=True)
class Vocabulary:
    """Terms 0..n_terms-1 of a model, by number.

    Args:
        terms: The terms in the order of their numbers, each once.

    Raises:
        InvalidInputError: a term occurs twice.
    """

    terms: tuple[str, ...]
    fingerprint: str = field(init=False)
    """sha256 over the terms in order, 64 hexadecimal digits."""

    def __post_init__(self) -> None:
        if len(set(self.terms)) != len(self.terms):
            raise InvalidInputError("the vocabulary holds a term twice; want each term once")
        digest = hashlib.sha256("\n".join(self.terms).encode()).hexdigest()
        object.__setattr__(self, "fingerprint", digest)

    @classmethod
    def of(cls, terms: Iterable[str]) -> Vocabulary:
        """The vocabulary of these terms, in this order."""
        return cls(tuple(terms))

    def __len__(self) -> int:
        return len(self.terms)

    def __getitem__(self, number: int) -> str:
        return self.terms[number]


def require_same_vocabulary(encoder: str, index: str) -> None:
    """Returns if the two fingerprints agree.

    Raises:
        VocabularyMismatchError: they differ.
    """
    if encoder != index:
        raise VocabularyMismatchError(
            f"the encoder's vocabulary ({encoder[:12]}) is not the index's ({index[:12]}); "
            "use the model that the index was built with, or build the index anew"
        )
