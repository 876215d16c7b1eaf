"""Anserini's JsonVectorCollection, and queries as Anserini and Pyserini read them.

A document is a line ``{"id", "contents", "vector": {term: whole number}}``; a query is a line of
its id, a tab, and each term as often as its number says. Index and search them with

    io.anserini.index.IndexCollection -collection JsonVectorCollection -input FOLDER -index INDEX
        -generator DefaultLuceneDocumentGenerator -impact -pretokenized
    io.anserini.search.SearchCollection -index INDEX -topics FILE -topicReader TsvString
        -output RUN -impact -pretokenized
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparse_ir.corpus import Document, not_json
from sparse_ir.errors import InvalidInputError
from sparse_ir.export.impacts import Impacts, rows_of
from sparse_ir.files import whole_file
from sparse_ir.lines import Place, error_at, json_object, read_lines, require_characters

_GREATEST = float(np.finfo(np.float32).max)
Names = Callable[[NDArray[np.int64]], Mapping[int, str]]
Texts = Callable[[list[str]], Mapping[str, str]]


def write_json_vectors(
    path: str | Path,
    batches: Iterable[Impacts],
    names: Names,
    texts: Texts | None = None,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """The documents are in the file, whole or not at all; returns how many.

    Args:
        path: A ``.jsonl`` file. Anserini reads a folder of them.
        batches: As ``document_impacts`` gives them.
        names: Term numbers -> names (``term_names``).
        texts: doc_ids -> texts, for ``contents``, which stays empty without.
        on_progress: Told how many more documents were written.
    """
    n = 0
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        for impacts in batches:
            named = names(np.unique(impacts.matrix.indices).astype(np.int64))
            contents = texts(impacts.ids) if texts else {}
            for doc_id, terms, numbers in rows_of(impacts):
                pairs = zip(terms.tolist(), numbers.tolist(), strict=True)
                vector = {named[term]: number for term, number in pairs}
                record = {"id": doc_id, "contents": contents.get(doc_id, ""), "vector": vector}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            n += len(impacts.ids)
            if on_progress:
                on_progress(len(impacts.ids))
    return n


def write_impact_topics(path: str | Path, queries: Impacts, names: Names) -> None:
    """The queries are in the file: id TAB term term term, a term as often as its number.

    Raises:
        InvalidInputError: an id holds white space.
    """
    named = names(np.unique(queries.matrix.indices).astype(np.int64))
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        for query_id, terms, numbers in rows_of(queries):
            if any(map(str.isspace, query_id)):
                raise InvalidInputError(f"query id {query_id!r} holds white space; want a word")
            pairs = zip(terms.tolist(), numbers.tolist(), strict=True)
            words = (word for term, number in pairs for word in [named[term]] * number)
            file.write(f"{query_id}\t{' '.join(words)}\n")


def read_json_vectors(path: str | Path) -> Iterator[tuple[Place, Document, dict[str, float]]]:
    """(place, document, {term: weight}) of each line of a file, or of a folder's files by name.

    A document's text is its ``contents``; other keys but ``id`` and ``vector`` are metadata.
    Weights may be any numbers >= 0 that float32 can hold.

    Raises:
        DataFormatError: a malformed line; says file and line.
        InvalidInputError: a folder without .jsonl or .jsonl.gz files.
        OSError: a file cannot be read.
    """
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.name.endswith((".jsonl", ".jsonl.gz")))
        if not files:
            raise InvalidInputError(f"{path} holds no .jsonl and no .jsonl.gz file; want either")
    for file in files:
        for place, line in read_lines(file):
            if line.strip():
                yield place, *_read_record(place, line)


def _read_record(place: Place, line: str) -> tuple[Document, dict[str, float]]:
    record = json_object(place, line)
    doc_id, vector = record.pop("id", None), record.pop("vector", None)
    contents = record.pop("contents", "")
    if isinstance(doc_id, int) and not isinstance(doc_id, bool):
        doc_id = str(doc_id)
    if not isinstance(doc_id, str) or not doc_id:
        raise error_at(place, f"the id {doc_id!r}", "id, a string that is not empty")
    if not isinstance(contents, str):
        raise error_at(place, f"contents is a {type(contents).__name__}", "a string")
    if not isinstance(vector, dict):
        raise error_at(place, f"the vector is a {type(vector).__name__}", "{term: weight}")
    for what, text in (("the id", doc_id), ("contents", contents), ("a term", "".join(vector))):
        require_characters(place, what, text)
    for term, weight in vector.items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight <= _GREATEST:
            came = f"term {term!r} with weight {weight!r:.40}"
            raise error_at(place, came, f"a number >= 0, at most {_GREATEST:.3g}")
    if record and (why := not_json(record)):
        raise error_at(place, f"metadata that is not JSON ({why})", "plain values")
    return Document(doc_id, contents, metadata=record), vector
