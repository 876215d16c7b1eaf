"""What a student learns from: documents, queries, and which document answers which query.

Two sources: a BEIR folder with ``qrels/SPLIT.tsv``, or JSONL with a record a line,
``{"query": text, "positives": [text], "negatives": [text], "scores": [number]}``, of which
negatives and scores (the positives' first) may be missing. All errors come before the first step.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sparse_ir.corpus import Document, read_documents, read_queries
from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.evaluation.trec import Qrels, judged_at, read_qrels, read_run
from sparse_ir.lines import error_at, json_object, read_lines, shown

_Told = TypeVar("_Told", str, float)


@dataclass(slots=True)
class TrainingSet:
    """Documents and the queries about them; numbers are rows of the lists.

    Args:
        name: For people.
        documents: Titles and texts.
        queries: Texts; the pseudo-queries come last.
        positives: Of each query, the documents that answer it.
        negatives: Of each query, documents that seem to.
        scores: Of each query, {document: score} from the file; empty where it gave none.
        n_labelled: The first so many queries were asked by people.
    """

    name: str
    documents: list[Document]
    queries: list[str] = field(default_factory=list)
    positives: list[tuple[int, ...]] = field(default_factory=list)
    negatives: list[tuple[int, ...]] = field(default_factory=list)
    scores: list[dict[int, float]] = field(default_factory=list)
    n_labelled: int = 0

    def add_query(
        self,
        text: str,
        positives: tuple[int, ...],
        *,
        negatives: tuple[int, ...] = (),
        scores: dict[int, float] | None = None,
    ) -> None:
        """The query is the set's last."""
        self.queries.append(text)
        self.positives.append(positives)
        self.negatives.append(negatives)
        self.scores.append(scores or {})

    def queries_of_documents(self) -> list[list[int]]:
        """Of each document, the queries that it answers."""
        asked: list[list[int]] = [[] for _ in self.documents]
        for query, positives in enumerate(self.positives):
            for document in positives:
                asked[document].append(query)
        return asked


def read_training_set(
    source: str | Path,
    *,
    split: str = "train",
    scores: Path | None = None,
    judged_only: bool = True,
    max_documents: int | None = None,
    seed: int = 0,
) -> TrainingSet:
    """The training set of a BEIR folder or a JSONL file.

    Lines of a JSONL file with the same query are one query, in the place of the first, with the
    positives, negatives and scores of all; white space around texts does not count.

    Args:
        source: Folder or ``.jsonl[.gz]`` file.
        split: Of a BEIR folder: which ``qrels``. ``none`` takes all documents and no query.
        scores: Of a BEIR folder: a run, as ``read_run``, with a teacher's scores. What it found for
            the split's queries is read too, and what is no answer is a negative; what it says of
            other queries, and of documents that the folder does not hold, does not count.
        judged_only: Of a BEIR folder: only the split's judged documents are read, so that no
            document of another split is learned from.
        max_documents: Documents kept, drawn at random; None keeps all.
        seed: Of the draw.

    Raises:
        DataFormatError: a malformed line, one that makes a text both positive and negative of a
            query, or gives a pair a second grade or score; with its file and number. Or a query or
            an answer without text; with the file.
        InvalidInputError: the source is neither, nothing is in it, or the scores are about nothing
            of it.
        OSError: it cannot be read.
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(2, "no such training data", str(path))
    if scores and (path.is_file() or split == "none"):
        raise InvalidInputError(
            f"scores of {scores} came with {path}; want a BEIR folder and a split of its queries: "
            "records of a JSONL file hold their own"
        )
    whole = _from_beir(path, split, scores, judged_only) if path.is_dir() else _from_jsonl(path)
    if not whole.documents:
        raise InvalidInputError(f"{path} holds no document for split {split!r}; want some")
    if max_documents is None or len(whole.documents) <= max_documents:
        return whole
    draw = np.random.default_rng(seed).choice(len(whole.documents), max_documents, replace=False)
    return _only(whole, np.sort(draw).tolist())


def _from_beir(folder: Path, split: str, scores: Path | None, judged_only: bool) -> TrainingSet:
    if split == "none":
        return TrainingSet(folder.name, list(read_documents(folder)))
    path = folder / "qrels" / f"{split}.tsv"
    answers, run = read_answers(path), read_run(scores) if scores else {}
    wanted = {doc_id for grades in answers.values() for doc_id in grades}
    wanted |= {doc_id for query_id in answers for doc_id in run.get(query_id, ())}
    # Empty documents are only refused where they are answers: no other document is learned from.
    stored = read_documents(folder, allow_empty=True)
    documents = [d for d in stored if d.content and (d.doc_id in wanted or not judged_only)]
    number = {document.doc_id: row for row, document in enumerate(documents)}
    text = {query.query_id: query.text for query in read_queries(folder) if query.text}
    require_answers(path, answers, number)
    found = TrainingSet(folder.name, documents)
    for query_id, grades in answers.items():
        if query_id not in text:
            place = judged_at(path, query_id)
            raise error_at(place, f"query {query_id!r}", "one that the folder holds with a text")
        told = {d: score for d, score in run.get(query_id, {}).items() if d in number}
        found.add_query(
            text[query_id],
            tuple(number[doc_id] for doc_id in grades),
            negatives=tuple(number[doc_id] for doc_id in told if doc_id not in grades),
            scores={number[doc_id]: score for doc_id, score in told.items()},
        )
    if scores and not any(found.scores):
        raise InvalidInputError(
            f"{scores} has no score of a query and a document of {path}; want a run of its queries"
        )
    found.n_labelled = len(found.queries)
    return found


def read_answers(path: Path) -> Qrels:
    """The relevant pairs of a file of judgements, as ``read_qrels``; no query has none."""
    relevant = {
        query_id: {doc_id: grade for doc_id, grade in grades.items() if grade > 0}
        for query_id, grades in read_qrels(path).items()
    }
    return {query_id: grades for query_id, grades in relevant.items() if grades}


def require_answers(path: Path, answers: Qrels, held: Container[str]) -> None:
    """Returns if all answers are held: a missing one is what no model finds.

    Raises:
        DataFormatError: one is not.
    """
    for query_id, grades in answers.items():
        if missing := [doc_id for doc_id in grades if doc_id not in held]:
            raise error_at(
                judged_at(path, query_id, missing[0]),
                f"document {missing[0]!r} as an answer of query {query_id!r}",
                "one that the folder holds with a text",
            )


def _from_jsonl(path: Path) -> TrainingSet:
    rows: dict[str, int] = {}
    kinds: dict[str, dict[int, str]] = {}  # of each query, and in it of each document
    scores: dict[str, dict[int, float]] = {}
    for place, line in read_lines(path):
        if line.strip():
            query, good, bad, given = _parts(shown(place), json_object(place, line))
            texts = [(text, rows.setdefault(text, len(rows))) for text in good + bad]
            told = ["positive"] * len(good) + ["negative"] * len(bad)
            clash = _clash("kinds", kinds.setdefault(query, {}), texts, told)
            clash = clash or _clash("scores", scores.setdefault(query, {}), texts, given)
            if clash:
                raise error_at(place, f"{clash} for {query[:60]!r}", "one of them")
    found = TrainingSet(path.name.split(".")[0], [])
    found.documents += [Document(str(number), text) for number, text in enumerate(rows, 1)]
    for query, known in kinds.items():
        positives, negatives = (
            tuple(row for row, kind in known.items() if kind == wanted)
            for wanted in ("positive", "negative")
        )
        found.add_query(query, positives, negatives=negatives, scores=scores[query])
    found.n_labelled = len(found.queries)
    return found


def _clash(
    what: str, known: dict[int, _Told], texts: list[tuple[str, int]], told: list[_Told]
) -> str:
    """What is told of the texts is known; or else the first contradiction, in words."""
    for (text, row), new in zip(texts, told, strict=False):
        if (old := known.setdefault(row, new)) != new:
            return f"the {what} {old} and {new} of {text[:60]!r}"
    return ""


def _parts(place: str, record: dict[str, Any]) -> tuple[str, list[str], list[str], list[float]]:
    query = record.get("query")
    if not isinstance(query, str) or not query.strip():
        raise DataFormatError(f"{place}: query is {query!r}; want a text")
    positives, negatives = _texts(place, record, "positives"), _texts(place, record, "negatives")
    if not positives:
        raise DataFormatError(f"{place}: no positives came; want at least one text")
    scores = record.get("scores", [])
    n = len(positives) + len(negatives)
    if not isinstance(scores, list) or len(scores) not in (0, n):
        raise DataFormatError(f"{place}: scores are {scores!r}; want a list of {n}, one a text")
    if not all(map(_is_finite, scores)):
        raise DataFormatError(f"{place}: scores are {scores!r}; want finite numbers")
    return query.strip(), positives, negatives, [float(score) for score in scores]


def _is_finite(score: Any) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and isfinite(score)


def _texts(place: str, record: dict[str, Any], key: str) -> list[str]:
    texts = record.get(key, [])
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not all(isinstance(t, str) and t.strip() for t in texts):
        raise DataFormatError(f"{place}: {key} is no list of texts that are not empty")
    return [text.strip() for text in texts]  # as Document.content is


def _only(whole: TrainingSet, rows: list[int]) -> TrainingSet:
    """The set with these documents, and the queries that one of them answers."""
    new = {old: row for row, old in enumerate(rows)}
    kept = TrainingSet(whole.name, [whole.documents[row] for row in rows])
    for query, positives in enumerate(whole.positives):
        if left := tuple(new[p] for p in positives if p in new):
            kept.add_query(
                whole.queries[query],
                left,
                negatives=tuple(new[n] for n in whole.negatives[query] if n in new),
                scores={new[d]: s for d, s in whole.scores[query].items() if d in new},
            )
    kept.n_labelled = len(kept.queries)
    return kept
