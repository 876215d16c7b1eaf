"""JSON files of models: what is not JSON, or not the kind wanted, is said with its path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sparse_ir.errors import InvalidInputError


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InvalidInputError: not JSON.
        OSError: no such file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: not JSON ({error})") from error


def read_object(path: Path) -> dict[str, Any]:
    """As ``read_json``, of a file that holds an object.

    Raises:
        InvalidInputError: not JSON, or no object.
        OSError: no such file.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path}: a {type(content).__name__} came; want a JSON object")
    return content


def read_optional(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no file, or no object in it."""
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}
