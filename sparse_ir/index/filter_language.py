"""Filters as people write them: ``year >= 2020 and tags contains 'news'``.

Comparisons: ``= == != < <= > >=``, ``FIELD in (VALUE, ...)``, ``not in``, ``contains`` (a member of
a list, or a part of a string), ``not contains``; joined by ``and``, ``or``, ``not`` and
parentheses. Values are numbers, quoted strings, ``true``, ``false``, ``null`` (a missing field) and
dates: ``2024-06-01``, ``2024-06-01T12:30:00+02:00``, unquoted. What they mean: ``conditions``.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.conditions import And, Comparison, Condition, Not, Operator, Or
from sparse_ir.index.dates import parse_date

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}
          (?:T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})?)?(?![\w.:]))
      | (?P<number>-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<operator>==|!=|<=|>=|=|<|>|\(|\)|,)
      | (?P<word>[^\W\d][\w.\-]*)
    )""",
    re.VERBOSE | re.DOTALL,
)
# A longer one is infinite as a float, and refused as such: Python reads none of 4,300 digits.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{,400})")
_COMPARISONS = {"=", "==", "!=", "<", "<=", ">", ">="}
_CONSTANTS = {"true": True, "false": False, "null": None}
_KEYWORDS = {"and", "or", "not", "in", "contains", *_CONSTANTS}
_MOST_NESTED = 100  # of parentheses and nots: far below what the stack holds


def parse_filter(text: str) -> Condition:
    """The condition that the text says.

    Raises:
        InvalidInputError: it says none.
    """
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over the tokens: or, and, not, comparison."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def parse(self) -> Condition:
        condition = self._either()
        if self._peek() is not None:
            raise self._error("and, or, or the end")
        return condition

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self) -> Condition:
        parts = [self._negation()]
        while self._take_word("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negation(self) -> Condition:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise self._error(f"at most {_MOST_NESTED} parentheses and nots inside one another")
        condition = self._inner()
        self._depth -= 1
        return condition

    def _inner(self) -> Condition:
        if self._take_word("not"):
            return Not(self._negation())
        if self._take_operator("("):
            condition = self._either()
            if not self._take_operator(")"):
                raise self._error(")")
            return condition
        return self._comparison()

    def _comparison(self) -> Condition:
        field = self._field()
        if self._take_word("not"):
            return Not(self._membership(field, "in or contains"))
        kind, text = self._peek() or ("", "")
        if kind != "operator" or text not in _COMPARISONS:
            return self._membership(field, "one of = != < <= > >=, in, not in, contains")
        self._at += 1
        return Comparison(field, cast(Operator, "==" if text == "=" else text), self._value())

    def _membership(self, field: str, wanted: str) -> Condition:
        if self._take_word("in"):
            return Comparison(field, "in", self._list())
        if self._take_word("contains"):
            return Comparison(field, "contains", self._value())
        raise self._error(wanted)

    def _field(self) -> str:
        kind, text = self._peek() or ("", "")
        if kind != "word" or text.lower() in _KEYWORDS:
            raise self._error("a field name")
        self._at += 1
        return text

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
            return json.loads(text) if _INTEGER.fullmatch(text) else float(text)
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        if kind == "date" and (moment := parse_date(text)):
            return moment
        if kind == "word" and text.lower() in _CONSTANTS:
            return _CONSTANTS[text.lower()]
        self._at -= 1
        raise self._error("a number, a 'quoted string', a date (2024-06-01), true, false or null")

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
