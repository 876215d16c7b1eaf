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
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import InvalidInputError
from sparse_ir.export.impacts import Impacts, rows_of
from sparse_ir.files import whole_file

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
