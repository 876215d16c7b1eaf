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
    found = _judgements(folder)
    if split not in found:
        raise InvalidInputError(
            f"{folder} has no judgements qrels/{split}.tsv; want a BEIR folder, or one of its "
            f"splits: {', '.join(sorted(found)) or 'none here'}"
        )
    return from_files(folder, folder, found[split], name=folder.resolve().name, split=split)


def from_files(
    corpus: str | Path, topics: str | Path, qrels: str | Path, *, name: str = "", split: str = ""
) -> Collection:
    """The collection of a corpus, topics and judgements, each in a file of its own.

    Args:
        corpus: As ``read_documents`` takes, but not ``-``: it is read more than once. Documents
            without text belong to it too.
        topics: As ``read_topics`` takes.
        qrels: As ``read_qrels`` takes.
        name: For people; the corpus' name if empty.
        split: For people.

    Raises:
        DataFormatError: a malformed file, or a judged query that is not there.
        InvalidInputError: the corpus is ``-``.
        OSError: a file cannot be read.
    """
    if str(corpus) == "-":
        raise InvalidInputError(
            "the corpus is '-', which can be read only once; want a file or folder: write it to one"
        )
    judged = read_qrels(qrels)
    queries = judged_queries(read_topics(topics), judged, str(topics))
    return Collection(
        name or Path(corpus).name.split(".")[0],
        split,
        queries,
        judged,
        lambda: read_documents(corpus, allow_empty=True),
    )


def _judgements(folder: Path) -> dict[str, Path]:
    """split -> file of a BEIR folder; one that is not packed goes before one that is."""
    return {
        path.name.removesuffix(ending): path
        for ending in (".tsv.gz", ".tsv")
        for path in (folder / "qrels").glob(f"*{ending}")
    }


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
