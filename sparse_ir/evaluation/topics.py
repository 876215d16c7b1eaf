"""Topics: queries in TREC's own markup, or in any form that ``corpus.read_queries`` takes."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from sparse_ir.corpus import Query, read_queries
from sparse_ir.errors import DataFormatError
from sparse_ir.lines import Place, error_at, read_lines

_NAMES = (  # of the tags of TREC's topics; "p<a and b>c" is text
    "topics?|top|num|number|title|query|desc|description|narr|narrative|question|subtopic|summary|"
    "head|dom|smry|con|fac|def|nat|time|querytime|querytweettime"
)
_TAG = re.compile(rf"<(/?)({_NAMES})\b([^>]*)>", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>")
_NUMBER = re.compile(r"^(?:Number|Topic)(?:\s*:\s*|\s+)", re.IGNORECASE)
_LABEL = re.compile(r"^Topic\s*:\s*", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(?:number|id)\s*=\s*["']([^"']+)["']""")
_TOPIC_TAGS, _TEXT_TAGS = ("top", "topic"), ("title", "query")


def read_topics(path: str | Path) -> list[Query]:
    """The queries of a file, in its order.

    Args:
        path: TREC topics (``<top> <num> <title>``, or ``<topic number="1"> <query>``), of which
            the title or query is taken; else a BEIR folder, ``.jsonl``, ``.tsv`` or ``.txt``.

    Raises:
        DataFormatError: a malformed line or topic, a repeated id, no query at all.
        OSError: the file cannot be read.
    """
    file = Path(path)
    if str(path) != "-" and file.is_file() and _is_markup(file):
        queries = list(_unique(_topics(file)))
    else:
        queries = list(read_queries(path))
    if not queries:
        raise DataFormatError(f"{path}: no query came; want at least one")
    return queries


def _is_markup(path: Path) -> bool:
    first = next((line for _, line in read_lines(path) if line.strip()), "")
    return bool(re.match(r"\s*<(\?xml|!|top\b|topic)", first))


def _topics(path: Path) -> Iterator[tuple[Place, Query]]:
    """Of each topic the parts behind its tags; old topics close none but ``</top>``."""
    place: Place = (str(path), 1)
    parts: dict[str, list[str]] = {}
    inside, tag = False, ""
    for place, line in read_lines(path):
        at = 0
        for match in _TAG.finditer(line):
            _append(parts, tag, line[at : match.start()])
            at, closes, name = match.end(), bool(match[1]), match[2].lower()
            if name in _TOPIC_TAGS and not closes:
                if inside:
                    raise error_at(place, f"<{name}> inside a topic", "the end of the last one")
                inside, tag, parts = True, "", {}
                if attribute := _ATTRIBUTE.search(match[3]):
                    parts["id"] = [attribute[1]]
            elif name in _TOPIC_TAGS:
                yield place, _query(place, parts)
                inside, tag = False, ""
            else:
                tag = "" if closes or not inside else name
        _append(parts, tag, line[at:])
    if inside:
        raise error_at(place, "the end of the file inside a topic", "</top>")


def _append(parts: dict[str, list[str]], tag: str, text: str) -> None:
    if tag and text.strip():
        parts.setdefault(tag, []).append(text.strip())


def _query(place: Place, parts: dict[str, list[str]]) -> Query:
    number = " ".join(parts.get("id", [])) or _NUMBER.sub("", " ".join(parts.get("num", [])))
    text = next((" ".join(parts[tag]) for tag in _TEXT_TAGS if tag in parts), "")
    text = _CDATA.sub(lambda found: html.escape(found[1]), text)  # which is undone with the others
    text = html.unescape(_LABEL.sub("", text)).strip()
    number = number.strip()
    if not number or any(map(str.isspace, number)):
        raise error_at(place, f"a topic with number {number!r}", "<num> and a word behind it")
    if not text:
        raise error_at(place, f"topic {number} without text", "<title> and words behind it")
    return Query(number, text)


def _unique(located: Iterator[tuple[Place, Query]]) -> Iterator[Query]:
    seen: set[str] = set()
    for place, query in located:
        if query.query_id in seen:
            raise error_at(place, f"topic {query.query_id} again", "each once")
        seen.add(query.query_id)
        yield query
