"""Haystack's metadata filters as our conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack.errors import FilterError

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.conditions import ORDERS, And, Comparison, Condition, Not, Or
from sparse_ir.index.dates import parse_date

_DOCUMENT_FIELDS = ("content", "blob", "score", "embedding", "sparse_embedding")
_SYNTAX = "see https://docs.haystack.deepset.ai/docs/metadata-filtering"


def condition_of(filters: Mapping[str, Any] | None) -> Condition | None:
    """The condition that the filters say; None without any.

    Strings that are ISO 8601 dates are compared as dates; other strings have no order.

    Raises:
        haystack.errors.FilterError: not a filter, or one by another field than ``id`` and those of
            ``meta``.
    """
    return _condition(filters) if filters else None


def _condition(filters: Any) -> Condition:
    if not isinstance(filters, Mapping):
        raise FilterError(f"a filter is {filters!r}; want a dictionary; {_SYNTAX}")
    if "field" in filters:
        return _comparison(filters)
    operator, conditions = _required(filters, "operator"), _required(filters, "conditions")
    if operator not in ("AND", "OR", "NOT"):
        raise FilterError(f"logical operator is {operator!r}; want AND, OR, NOT; {_SYNTAX}")
    if not isinstance(conditions, Sequence):
        raise FilterError(f"conditions are {conditions!r}; want a list of filters; {_SYNTAX}")
    parts = tuple(_condition(one) for one in conditions)
    if operator == "OR":
        return Or(parts)
    return And(parts) if operator == "AND" else Not(And(parts))


def _comparison(filters: Mapping[str, Any]) -> Condition:
    operator, value = _required(filters, "operator"), _required(filters, "value")
    field = _field(filters["field"])
    if operator in ORDERS and isinstance(value, str):
        date = parse_date(value)
        if date is None:
            raise FilterError(
                f"{operator} compares {field!r} with {value!r}; want a number or an ISO 8601 date"
            )
        value = date
    try:
        if operator in ("==", "!=") and isinstance(value, str):
            operator, value = ("in" if operator == "==" else "not in"), [value]
        if operator in ("in", "not in") and isinstance(value, list):
            value = [*value, *_dates_in(value)]
        return Comparison(field, operator, value)
    except InvalidInputError as error:
        raise FilterError(f"{error}; {_SYNTAX}") from error


def _field(name: Any) -> str:
    if name == "id":
        return "doc_id"
    if not isinstance(name, str) or '"' in name:
        raise FilterError(
            f"a filter names the field {name!r}; want a string without double quotes; {_SYNTAX}"
        )
    field = name.removeprefix("meta.")
    if name in _DOCUMENT_FIELDS or field == "doc_id":
        raise FilterError(f"a filter names the field {name!r}; want id or a field of meta")
    return field


def _dates_in(values: list[Any]) -> list[Any]:
    parsed = [parse_date(value) for value in values if isinstance(value, str)]
    return [date for date in parsed if date is not None]


def _required(filters: Mapping[str, Any], key: str) -> Any:
    if key not in filters:
        raise FilterError(f"{key!r} is missing in the filter {dict(filters)}; {_SYNTAX}")
    return filters[key]
