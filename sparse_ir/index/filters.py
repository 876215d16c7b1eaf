"""Metadata filters: ``year >= 2020 and tags contains 'news'`` as one SQL condition.

Comparisons: ``= == != < <= > >=``, ``FIELD in (VALUE, ...)``, ``FIELD contains VALUE`` (a member of
a list, or a part of a string); joined by ``and``, ``or``, ``not`` and parentheses. Values are
numbers, quoted strings, ``true`` and ``false``. A comparison with a missing field, or with a value
of another type, is false (``!=`` with another type is true). ``doc_id`` is a field too. Values and
field names reach SQLite as parameters only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from sparse_ir.errors import InvalidInputError

Condition = tuple[str, list[Any]]
"""SQL over the table ``documents``, and the values of its parameters."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<operator>==|!=|<=|>=|=|<|>|\(|\)|,)
      | (?P<word>[^\W\d][\w.\-]*)
    )""",
    re.VERBOSE,
)
_COMPARISONS = {"=", "==", "!=", "<", "<=", ">", ">="}
_KEYWORDS = {"and", "or", "not", "in", "contains", "true", "false"}


def compile_filter(expression: str | Mapping[str, Any], fields: Collection[str]) -> Condition:
    """The filter as an SQL condition.

    Args:
        expression: A filter as described above, or a mapping: every named field has the given
            value, or one of the given list of values.
        fields: Metadata fields of the index; other names are refused.

    Raises:
        InvalidInputError: not a filter, or an unknown field.
    """
    if isinstance(expression, str):
        return _Parser(expression, fields).parse()
    conditions = [_equals_any(_known(name, fields), value) for name, value in expression.items()]
    return _join("AND", conditions) if conditions else ("1", [])


class _Parser:
    """Recursive descent over the tokens: or, and, not, comparison."""

    def __init__(self, text: str, fields: Collection[str]) -> None:
        self._text = text
        self._fields = fields
        self._tokens = _tokens(text)
        self._at = 0

    def parse(self) -> Condition:
        condition = self._either()
        if self._peek() is not None:
            raise self._error("and, or, or the end")
        return condition

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        return _join("OR", parts)

    def _both(self) -> Condition:
        parts = [self._negation()]
        while self._take_word("and"):
            parts.append(self._negation())
        return _join("AND", parts)

    def _negation(self) -> Condition:
        if self._take_word("not"):
            sql, values = self._negation()
            return f"NOT {sql}", values
        if self._take_operator("("):
            condition = self._either()
            if not self._take_operator(")"):
                raise self._error(")")
            return condition
        return self._comparison()

    def _comparison(self) -> Condition:
        field = self._field()
        if self._take_word("in"):
            return _equals_any(field, self._list())
        if self._take_word("contains"):
            return _contains(field, self._value())
        kind, text = self._peek() or ("", "")
        if kind != "operator" or text not in _COMPARISONS:
            raise self._error("one of = != < <= > >=, in, contains")
        self._at += 1
        return _compare(field, text, self._value())

    def _field(self) -> str:
        kind, text = self._peek() or ("", "")
        if kind != "word" or text.lower() in _KEYWORDS:
            raise self._error("a field name")
        self._at += 1
        return _known(text, self._fields)

    def _list(self) -> list[Any]:
        if not self._take_operator("("):
            raise self._error("(")
        values = [self._value()]
        while self._take_operator(","):
            values.append(self._value())
        if not self._take_operator(")"):
            raise self._error(", or )")
        return values

    def _value(self) -> Any:
        kind, text = self._peek() or ("", "")
        self._at += 1
        if kind == "number":
            return json.loads(text) if re.fullmatch(r"-?(0|[1-9]\d*)", text) else float(text)
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "word" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        self._at -= 1
        raise self._error("a number, a 'quoted string', true or false")

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take_word(self, word: str) -> bool:
        return self._take("word", word)

    def _take_operator(self, operator: str) -> bool:
        return self._take("operator", operator)

    def _take(self, kind: str, text: str) -> bool:
        token = self._peek()
        found = token is not None and token[0] == kind and token[1].lower() == text
        self._at += found
        return found

    def _error(self, wanted: str) -> InvalidInputError:
        token = self._peek()
        came = repr(token[1]) if token else "its end"
        return InvalidInputError(
            f"filter {self._text!r}: {came} came; want {wanted}; example: year >= 2020"
        )


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise InvalidInputError(
                f"filter {text!r}: cannot read {text[at:].strip()[:20]!r}; "
                "want FIELD OPERATOR VALUE, strings quoted; example: lang = 'en'"
            )
        tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
        at = match.end()
    return tokens


def _known(name: str, fields: Collection[str]) -> str:
    if name != "doc_id" and name not in fields:
        known = ", ".join(sorted(fields)) or "none but doc_id"
        raise InvalidInputError(f"filter names the unknown field {name!r}; known: {known}")
    return name


def _join(operator: str, conditions: list[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    sql = "(" + f" {operator} ".join(sql for sql, _ in conditions) + ")"
    return sql, [value for _, values in conditions for value in values]


def _equals_any(field: str, value: Any) -> Condition:
    values = value if isinstance(value, list | tuple | set | frozenset) else [value]
    if not values:
        return "0", []
    return _join("OR", [_compare(field, "=", one) for one in values])


def _compare(field: str, operator: str, value: Any) -> Condition:
    found, parameters = _column(field)
    if operator == "!=":
        sql, values = _compare(field, "=", value)
        return f"({found} IS NOT NULL AND NOT {sql})", [*parameters, *values]
    same_type, of_type = _has_type_of(field, value)
    operator = "=" if operator == "==" else operator
    # The comparison first: most documents fail it, and a look at the type costs as much again.
    sql = f"(coalesce({found} {operator} ?, 0) AND {same_type})"
    return sql, [*parameters, value, *of_type]


def _contains(field: str, value: Any) -> Condition:
    found, parameters = _column(field)
    if field == "doc_id":
        return f"(instr({found}, ?) > 0)", [*parameters, str(value)]
    path = _path(field)
    member = "EXISTS (SELECT 1 FROM json_each(metadata, ?) WHERE value = ?)"
    is_list = "coalesce(json_type(metadata, ?), '') = 'array'"
    part = "coalesce(json_type(metadata, ?), '') = 'text' AND instr(json_extract(metadata, ?), ?)"
    sql = f"(({is_list} AND {member}) OR ({part}))"
    return sql, [path, path, value, path, path, str(value)]


def _column(field: str) -> Condition:
    return ("doc_id", []) if field == "doc_id" else ("json_extract(metadata, ?)", [_path(field)])


def _has_type_of(field: str, value: Any) -> Condition:
    if field == "doc_id":
        return ("1" if isinstance(value, str) else "0"), []
    if isinstance(value, bool):
        types = "('true', 'false')"
    elif isinstance(value, int | float):
        types = "('integer', 'real')"
    elif isinstance(value, str):
        types = "('text')"
    else:
        raise InvalidInputError(
            f"filter compares {field!r} with {value!r}; want a number, a string, true or false"
        )
    return f"coalesce(json_type(metadata, ?), '') IN {types}", [_path(field)]


def _path(field: str) -> str:
    return "$." + json.dumps(field)
