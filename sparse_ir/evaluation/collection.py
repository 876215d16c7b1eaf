"""A test collection: documents, queries, and who judged what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sparse_ir.corpus import Document, Query, read_documents
from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.evaluation.topics import read_topics
from sparse_ir.evaluation.trec import Qrels, read_qrels

IR_DATASETS = "irds:"  # before the id of a collection that the package ir_datasets knows


@dataclass(frozen=True)
class Collection:
    """A test collection; its queries are the judged ones.

    Args:
        name: For people.
        split: Which of its judgements.
        queries: Each with a judgement.
        qrels: query_id -> doc_id -> grade.
        documents: Streams the corpus, anew at each call.
    """

    name: str
    split: str
    queries: list[Query]
    qrels: Qrels
    documents: Callable[[], Iterator[Document]] = field(repr=False)


def read_collection(source: str, split: str = "test") -> Collection:
    """The collection of a BEIR folder (corpus, queries, qrels/SPLIT.tsv), or ``irds:ID``.

    Raises:
        DataFormatError: a malformed file, or a judged query that is not there.
        InvalidInputError: no such split, or no such collection.
        MissingDependencyError: ``irds:`` without the package.
        OSError: a file cannot be read.
    """
    if source.startswith(IR_DATASETS):
        from sparse_ir.evaluation.ir_datasets import read_ir_dataset

        return read_ir_dataset(source.removeprefix(IR_DATASETS))
    folder = Path(source)
    folder.stat()
    judgements = folder / "qrels"
    found = sorted(path.name.split(".")[0] for path in judgements.glob("*.tsv*"))
    if split not in found:
        raise InvalidInputError(
            f"{folder} has no judgements qrels/{split}.tsv; want a BEIR folder, or one of its "
            f"splits: {', '.join(found) or 'none here'}"
        )
    qrels_file = next(judgements.glob(f"{split}.tsv*"))
    return from_files(folder, folder, qrels_file, name=folder.resolve().name, split=split)


def from_files(
    corpus: str | Path, topics: str | Path, qrels: str | Path, *, name: str = "", split: str = ""
) -> Collection:
    """The collection of a corpus, topics and judgements, each in a file of its own.

    Args:
        corpus: As ``read_documents`` takes; documents without text belong to it too.
        topics: As ``read_topics`` takes.
        qrels: As ``read_qrels`` takes.
        name: For people; the corpus' name if empty.
        split: For people.

    Raises:
        DataFormatError: a malformed file, or a judged query that is not there.
        OSError: a file cannot be read.
    """
    judged = read_qrels(qrels)
    queries = judged_queries(read_topics(topics), judged, str(topics))
    return Collection(
        name or Path(corpus).name.split(".")[0],
        split,
        queries,
        judged,
        lambda: read_documents(corpus, allow_empty=True),
    )


def judged_queries(queries: list[Query], qrels: Qrels, source: str) -> list[Query]:
    """Those of the queries that are judged, in their order.

    Raises:
        DataFormatError: one that is judged is not among them.
    """
    missing = qrels.keys() - {query.query_id for query in queries}
    if missing:
        raise DataFormatError(
            f"{source}: {len(missing)} judged queries are missing, {min(missing)!r} for one; "
            "want the topics that belong to these judgements"
        )
    return [query for query in queries if query.query_id in qrels]
