"""What a metadata filter says, whatever it was written in: comparisons joined by and, or, not.

A filter means what the same Python would: ``!=`` and ``not in`` are the negations of ``==`` and
``in``, so they hold for documents without the field; a missing field equals ``None``. Values of
different types are never equal, and no value is less or greater than one of another type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from sparse_ir.errors import InvalidInputError

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains"]
ORDERS = ("<", "<=", ">", ">=")
_GREATEST = 1e300  # of numbers compared with: below what a float holds


@dataclass(frozen=True)
class Comparison:
    """A metadata field compared with a value.

    Args:
        field: Its name; ``a.b`` is the member ``b`` of the object ``a`` where no field has the
            whole name. ``doc_id`` is a field of every document.
        operator: ``contains`` looks for a member of a list, or a part of a string.
        value: A number, string, bool, date or datetime; a list of them for ``in`` and ``not in``;
            None, a list or a mapping too for ``==`` and ``!=``. A date is compared with fields that
            hold an ISO 8601 string; if only one of the two names its zone, both are in that zone.

    Raises:
        InvalidInputError: no name, no such operator, or a value that it does not take.
    """

    field: str
    operator: Operator
    value: Any

    def __post_init__(self) -> None:
        if not isinstance(self.field, str) or not _is_scalar(self.field):
            raise InvalidInputError(f"filter names the field {self.field!r}; want a string")
        if self.operator not in get_args(Operator):
            raise InvalidInputError(
                f"operator is {self.operator!r}; want {', '.join(get_args(Operator))}"
            )
        wanted = _refusal(self.operator, self.value)
        if wanted:
            raise InvalidInputError(
                f"filter compares {self.field!r} with {_shown(self.value)} by {self.operator}; "
                f"want {wanted}"
            )


@dataclass(frozen=True)
class And:
    """All of the conditions hold; of none, always."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    """One of the conditions holds at least; of none, never."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """The condition does not hold."""

    condition: Condition


Condition = Comparison | And | Or | Not


def condition_of(mapping: Mapping[str, Any]) -> Condition:
    """Every named field has the given value, or one of the given list of values."""
    return And(
        tuple(
            Comparison(name, "in", list(value))
            if isinstance(value, list | tuple | set | frozenset)
            else Comparison(name, "==", value)
            for name, value in mapping.items()
        )
    )


def _refusal(operator: Operator, value: Any) -> str:
    """What was wanted instead of this value; empty if it will do."""
    if operator in ("in", "not in"):
        if isinstance(value, list) and all(one is None or _is_scalar(one) for one in value):
            return ""
        return "a list of numbers, strings, dates, true, false or null"
    if operator in ("==", "!=") and isinstance(value, list | dict):
        return "" if _is_json(value) else "lists and mappings of plain JSON values"
    if value is None:
        return "" if operator != "contains" else "a number, a string, a date, true or false"
    return "" if _is_scalar(value) else "a number, a string, a date, true, false or null"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python spells out no integer of more than 4,300 digits
        return "a number too long to be shown"


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, int | float):
        return -_GREATEST < value < _GREATEST
    return isinstance(value, date)
