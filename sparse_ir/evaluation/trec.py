"""Runs, judgements and topics, in the file formats of TREC, MS MARCO and BEIR.

A run is ranked by score, highest first, ties by doc_id, ascending, as Anserini and Pyserini do.
(trec_eval itself ignores ranks and breaks ties by descending doc_id.)
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TextIO, get_args

import numpy as np

from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.files import whole_file
from sparse_ir.lines import Place, error_at, json_object, read_lines, require_characters

Run = dict[str, dict[str, float]]
"""query_id -> doc_id -> score."""
Qrels = dict[str, dict[str, int]]
"""query_id -> doc_id -> grade; 0 is judged and not relevant."""
RunFormat = Literal["trec", "msmarco", "jsonl"]
_GREATEST_GRADE = 10**6  # trec_eval reserves 8 bytes for each grade up to the greatest


def ranked(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    """(doc_id, score), best first, ties by ascending doc_id."""
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def read_qrels(path: str | Path) -> Qrels:
    """The judgements in a file.

    Args:
        path: TREC's four columns (query, iteration, document, grade), or BEIR's three (query,
            document, grade) with or without its header; ``.gz`` or not.

    Raises:
        DataFormatError: a malformed line, a grade beyond a million, a pair with two grades, no
            judgement at all.
        OSError: the file cannot be read.
    """
    qrels: Qrels = {}
    n_columns = 0
    for place, columns in _rows(path):
        if not n_columns and columns[0] in ("query-id", "query_id", "qid"):
            n_columns = len(columns)
            continue
        n_columns = n_columns or len(columns)
        if n_columns not in (3, 4) or len(columns) != n_columns:
            wanted = "query, document, grade; or query, iteration, document, grade"
            raise error_at(place, f"{len(columns)} columns", wanted)
        query_id, doc_id, grade = columns[0], columns[-2], _grade(place, columns[-1])
        if qrels.setdefault(query_id, {}).setdefault(doc_id, grade) != grade:
            raise error_at(place, f"a second grade for {query_id}, {doc_id}", "one grade a pair")
    if not qrels:
        raise DataFormatError(f"{path}: no judgement came; want a line a judged pair")
    return qrels


def judged_at(path: str | Path, query_id: str, doc_id: str | None = None) -> Place:
    """Where a file of judgements first names the query, with the document if one is given.

    Raises:
        StopIteration: nowhere.
    """
    return next(
        place
        for place, columns in _rows(path)
        if columns[0] == query_id and doc_id in (None, columns[-2])
    )


def read_run(path: str | Path) -> Run:
    """The run in a file.

    Args:
        path: TREC's six columns; MS MARCO's three (query, document, rank from 1; its scores are
            the reciprocal ranks); or JSON lines with query_id, doc_id and score; ``.gz`` or not.

    Raises:
        DataFormatError: a malformed line, or a document twice for one query.
        OSError: the file cannot be read.
    """
    run: Run = {}
    for place, query_id, doc_id, score in _scored(path):
        scores = run.setdefault(query_id, {})
        if doc_id in scores:
            raise error_at(place, f"document {doc_id} of query {query_id} again", "each once")
        scores[doc_id] = score
    return run


def write_run(
    path: str | Path,
    run: Iterable[tuple[str, Mapping[str, float]]],
    format: RunFormat = "trec",
    *,
    tag: str = "sparse_ir",
) -> None:
    """The run is in the file, whole or not at all, each query ranked as ``ranked`` says.

    Args:
        path: The file.
        run: (query_id, {doc_id: score}), as ``Run.items()`` gives; read once, written as it comes.
        format: ``trec`` (query Q0 document rank score tag), ``msmarco`` (query TAB document TAB
            rank), or ``jsonl`` (an object a hit). Scores are written so that float32 comes back.
        tag: Last column of ``trec``.

    Raises:
        InvalidInputError: an unknown format, or an id with a space in it where columns are split
            by spaces.
    """
    if format not in get_args(RunFormat):
        raise InvalidInputError(f"format is {format!r}; want {', '.join(get_args(RunFormat))}")
    if format == "trec" and (not tag or any(map(str.isspace, tag))):
        raise InvalidInputError(f"tag is {tag!r}; want a word")
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        for query_id, scores in run:
            if format != "jsonl":
                _require_words(format, (query_id, *scores))
            _WRITERS[format](file, query_id, ranked(scores), tag)


def _write_trec(file: TextIO, query_id: str, hits: list[tuple[str, float]], tag: str) -> None:
    for rank, (doc_id, score) in enumerate(hits, 1):
        file.write(f"{query_id} Q0 {doc_id} {rank} {_shortest(score)} {tag}\n")


def _write_msmarco(file: TextIO, query_id: str, hits: list[tuple[str, float]], tag: str) -> None:
    for rank, (doc_id, _) in enumerate(hits, 1):
        file.write(f"{query_id}\t{doc_id}\t{rank}\n")


def _write_jsonl(file: TextIO, query_id: str, hits: list[tuple[str, float]], tag: str) -> None:
    for rank, (doc_id, score) in enumerate(hits, 1):
        hit = {"query_id": query_id, "doc_id": doc_id, "rank": rank, "score": score}
        file.write(json.dumps(hit, ensure_ascii=False) + "\n")


_WRITERS: dict[str, Callable[[TextIO, str, list[tuple[str, float]], str], None]] = {
    "trec": _write_trec,
    "msmarco": _write_msmarco,
    "jsonl": _write_jsonl,
}


def _shortest(score: float) -> str:
    """The fewest digits that give the same float32, or the same float64 if it is none."""
    single = np.float32(score)
    return str(single) if float(single) == score else repr(float(score))


def _require_words(format: str, ids: Iterable[str]) -> None:
    for one in ids:
        if not one or any(map(str.isspace, one)):
            raise InvalidInputError(
                f"id {one!r} is no word, which {format} needs; write the run as jsonl"
            )


def _scored(path: str | Path) -> Iterator[tuple[Place, str, str, float]]:
    n_columns = 0
    for place, line in read_lines(Path(path)):
        if line.startswith("{"):
            yield place, *_hit(place, line)
            continue
        columns = _split(line)
        n_columns = n_columns or len(columns)
        if not columns:
            continue
        if n_columns not in (3, 6) or len(columns) != n_columns:
            wanted = "query Q0 document rank score tag; query, document, rank; or JSON"
            raise error_at(place, f"{len(columns)} columns", wanted)
        if n_columns == 6:
            yield place, columns[0], columns[2], _score(place, columns[4])
        else:
            yield place, columns[0], columns[1], 1 / _rank(place, columns[2])


def _hit(place: Place, line: str) -> tuple[str, str, float]:
    record = json_object(place, line)
    query_id, doc_id = record.get("query_id"), record.get("doc_id")
    if not isinstance(query_id, str) or not isinstance(doc_id, str):
        raise error_at(place, f"query_id {query_id!r}, doc_id {doc_id!r}", "two strings")
    require_characters(place, "query_id", query_id)
    require_characters(place, "doc_id", doc_id)
    return query_id, doc_id, _score(place, record.get("score"))


def _rows(path: str | Path) -> Iterator[tuple[Place, list[str]]]:
    for place, line in read_lines(Path(path)):
        if columns := _split(line):
            yield place, columns


def _split(line: str) -> list[str]:
    """Columns end at tabs if there is one (BEIR's ids may hold spaces), else at white space."""
    return [cell.strip() for cell in line.split("\t")] if "\t" in line.strip() else line.split()


def _grade(place: Place, text: str) -> int:
    grade = _whole(place, text)
    if abs(grade) > _GREATEST_GRADE:
        wanted = f"one from -{_GREATEST_GRADE:,} to {_GREATEST_GRADE:,}"
        raise error_at(place, f"the grade {reprlib.repr(grade)}", wanted)
    return grade


def _rank(place: Place, text: str) -> int:
    rank = _whole(place, text)
    if rank < 1:
        raise error_at(place, f"the rank {reprlib.repr(rank)}", "ranks that begin at 1")
    return rank


def _whole(place: Place, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise error_at(place, reprlib.repr(text), "a whole number") from None


def _score(place: Place, value: object) -> float:
    try:
        score = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise error_at(place, f"the score {reprlib.repr(value)}", "a number") from None
    if not math.isfinite(score):
        raise error_at(place, f"the score {score}", "a finite number")
    return score
