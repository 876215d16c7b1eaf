"""What documents have in their metadata: values, types, extremes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sparse_ir.corpus import Document

_TYPE_NAMES = {bool: "boolean", int: "int", float: "float"}


def bare_name(field: str) -> str:
    """The field's name without the ``meta.`` that Haystack may put before it."""
    return field.removeprefix("meta.")


def different_values(documents: Iterable[Document], field: str) -> list[Any]:
    """The field's values, each once, but null; 1, 1.0, true and '1' are four."""
    found = {}
    for document in documents:
        value = document.metadata.get(field)
        if value is not None:
            found[json.dumps(value, sort_keys=True)] = value
    return list(found.values())


def types_of_fields(documents: Iterable[Document]) -> dict[str, dict[str, str]]:
    """Field -> its type: boolean, int, float or keyword."""
    kinds: dict[str, dict[str, str]] = {}
    for document in documents:
        for name, value in document.metadata.items():
            if value is not None:
                kinds[name] = {"type": _TYPE_NAMES.get(type(value), "keyword")}
    return kinds


def extremes(values: Sequence[Any]) -> dict[str, Any]:
    """The least and the greatest of numbers, or of strings; None of both kinds, and of nothing."""
    known = [value for value in values if isinstance(value, int | float | str)]
    if not known or len({isinstance(value, str) for value in known}) > 1:
        return {"min": None, "max": None}
    return {"min": min(known), "max": max(known)}
