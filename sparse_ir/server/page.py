"""The search page: one file, whose own style and script alone may run."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parent / "page.html"


@cache
def page() -> str:
    """The page, as it is sent."""
    return _FILE.read_text(encoding="utf-8")


def page_policy() -> str:
    """A Content-Security-Policy: nothing from elsewhere, no script or style but the page's own."""
    script, style = _digest("script"), _digest("style")
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(tag: str) -> str:
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page(), re.DOTALL)
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
