"""A metadata filter becomes one SQL condition over the table ``documents``.

Values and field names reach SQLite as parameters only. No part of a condition is ever NULL, so
that ``NOT`` means what it says.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.conditions import (
    ORDERS,
    And,
    Comparison,
    Condition,
    Not,
    Or,
    condition_of,
)
from sparse_ir.index.dates import as_moment, moment_of
from sparse_ir.index.filter_language import parse_filter

Filter = str | Mapping[str, Any] | Condition
"""``"year >= 2020"`` (``filter_language``), ``{"year": 2020}``, or a ``Condition``."""

Sql = tuple[str, list[Any]]
"""An SQL expression that is 0 or 1, and the values of its parameters."""

_MOST_VALUES = 30_000  # in one filter: SQLite takes 32,766 parameters
# SQLite before 3.46 parses nothing deeper than 100 places, of which each NOT takes two.
_MOST_NESTED = 30
_JSON_TYPES = {bool: "'true', 'false'", int: "'integer', 'real'", str: "'text'"}


def compile_filter(filter: Filter, fields: Collection[str]) -> Sql:
    """The filter as an SQL condition.

    Args:
        filter: In any of its forms. A field that ``fields`` lacks is refused where a person may
            have mistyped it; in a ``Condition``, which a program made, it is a missing one.
        fields: Metadata fields of the index.

    Raises:
        InvalidInputError: not a filter, an unknown field, too many values, or nested too deeply.
    """
    if isinstance(filter, str | Mapping):
        condition = parse_filter(filter) if isinstance(filter, str) else condition_of(filter)
        for name in _fields_in(condition):
            _require_known(name, fields)
    else:
        condition = filter
    sql, values = _compile(condition, fields, _MOST_NESTED)
    if len(values) > _MOST_VALUES:
        raise InvalidInputError(
            f"filter compares with {len(values)} values; want at most {_MOST_VALUES}, "
            "or one list: FIELD in (...)"
        )
    return sql, values


def add_sql_functions(connection: sqlite3.Connection) -> None:
    """The connection knows the functions that conditions call."""
    connection.create_function("moment_of", 2, moment_of, deterministic=True)
    connection.create_function("same_json", 2, _same_json, deterministic=True)


def _compile(condition: Condition, fields: Collection[str], levels: int) -> Sql:
    if isinstance(condition, Comparison):
        return _compare(_place_of(condition.field, fields), condition.operator, condition.value)
    if not isinstance(condition, And | Or | Not):
        raise _no_filter(condition)
    if levels == 0:
        raise InvalidInputError(
            f"filter has more than {_MOST_NESTED} of and, or and not inside one another; "
            "want fewer: what the same and joins can stand in one, side by side"
        )
    if isinstance(condition, Not):
        return _negated(_compile(condition.condition, fields, levels - 1))
    parts = [_compile(one, fields, levels - 1) for one in condition.conditions]
    return _join("AND" if isinstance(condition, And) else "OR", parts)


@dataclass(frozen=True)
class _Place:
    """Where a value is: SQL of the value and of its JSON type, and the parameters of each."""

    value: str
    json_type: str
    parameters: tuple[str, ...] = ()


_DOC_ID = _Place("doc_id", "'text'")
_MEMBER = _Place("value", "type")  # of a list, in json_each


def _place_of(field: str, fields: Collection[str]) -> _Place:
    if field == "doc_id":
        return _DOC_ID
    if '"' in field:
        raise InvalidInputError(
            f"filter names the field {field!r}; want one without double quotes, which SQLite "
            "cannot look up"
        )
    names = [field] if field in fields else field.split(".")
    path = "$" + "".join("." + json.dumps(name, ensure_ascii=False) for name in names)
    return _Place("json_extract(metadata, ?)", "coalesce(json_type(metadata, ?), 'null')", (path,))


def _compare(place: _Place, operator: str, value: Any) -> Sql:
    if operator in ("!=", "not in"):
        return _negated(_compare(place, "==" if operator == "!=" else "in", value))
    if operator == "in":
        return _one_of(place, value)
    if operator == "contains":
        return _contains(place, value)
    if value is None:
        return ("0", []) if operator in ORDERS else _has_type(place, "'null'")
    return _compare_present(place, operator, value)


def _compare_present(place: _Place, operator: str, value: Any) -> Sql:
    if isinstance(value, date):
        moment, zone = as_moment(value)
        sql = f"coalesce(moment_of({place.value}, ?) {operator} ?, 0)"
        return sql, [*place.parameters, zone, moment]
    if isinstance(value, list | dict):
        sql = f"same_json({place.value}, ?)"
        same = sql, [*place.parameters, json.dumps(value)]
        return _join("AND", [_has_type(place, "'array', 'object'"), same])
    # The comparison first: most documents fail it, and a look at the type costs as much again.
    compared = f"coalesce({place.value} {operator} ?, 0)", [*place.parameters, _number(value)]
    return _join("AND", [compared, _has_type_of(place, [value])])


def _one_of(place: _Place, values: Sequence[Any]) -> Sql:
    """Strings and numbers are looked up in one list, however long."""
    strings = [one for one in values if isinstance(one, str)]
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    others = [one for one in values if one is None or isinstance(one, bool | date)]
    parts = [_compare(place, "==", one) for one in others]
    for listed in (strings, [_number(one) for one in numbers]):
        if listed:
            sql = f"coalesce({place.value} IN (SELECT value FROM json_each(?)), 0)"
            found = sql, [*place.parameters, json.dumps(listed, ensure_ascii=False)]
            parts.append(_join("AND", [found, _has_type_of(place, listed)]))
    return _join("OR", parts)


def _contains(place: _Place, value: Any) -> Sql:
    member, values = _compare(_MEMBER, "==", value)
    parts = []
    if place != _DOC_ID:
        sql = f"EXISTS (SELECT 1 FROM json_each(metadata, ?) WHERE {member})"
        found = sql, [*place.parameters, *values]
        parts.append(_join("AND", [_has_type(place, "'array'"), found]))
    if isinstance(value, str):
        sql = f"coalesce(instr({place.value}, ?) > 0, 0)"
        found = sql, [*place.parameters, value]
        parts.append(_join("AND", [_has_type(place, "'text'"), found]))
    return _join("OR", parts)


def _has_type_of(place: _Place, values: Sequence[Any]) -> Sql:
    kind = next((kind for kind in (bool, int, str) if isinstance(values[0], kind)), int)
    return _has_type(place, _JSON_TYPES[kind])


def _has_type(place: _Place, types: str) -> Sql:
    return f"{place.json_type} IN ({types})", list(place.parameters)


def _number(value: Any) -> Any:
    """An integer that SQLite has no room for as the float that SQLite reads in its place."""
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _negated(condition: Sql) -> Sql:
    sql, values = condition
    return f"NOT ({sql})", values


def _join(operator: str, conditions: Sequence[Sql]) -> Sql:
    """A balanced tree: SQLite refuses expressions that are nested deeply."""
    if not conditions:
        return ("1" if operator == "AND" else "0"), []
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    left, left_values = _join(operator, conditions[:middle])
    right, right_values = _join(operator, conditions[middle:])
    return f"({left} {operator} {right})", [*left_values, *right_values]


def _same_json(left: Any, right: str) -> bool:
    try:
        return bool(json.loads(left) == json.loads(right))
    except (TypeError, ValueError):  # SQLite may ask before it looks at the type
        return False


def _no_filter(came: Any) -> InvalidInputError:
    return InvalidInputError(
        f"filter is {came!r}; want a string, a mapping or a Condition; example: year >= 2020"
    )


def _fields_in(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Comparison):
        yield condition.field
    elif isinstance(condition, Not):
        yield from _fields_in(condition.condition)
    else:
        for one in condition.conditions:
            yield from _fields_in(one)


def _require_known(name: str, fields: Collection[str]) -> None:
    if name != "doc_id" and name not in fields and name.partition(".")[0] not in fields:
        known = ", ".join(sorted(fields)) or "none but doc_id"
        raise InvalidInputError(f"filter names the unknown field {name!r}; known: {known}")
