"""``sparse-ir encode``: texts into term weights, for whoever wants the vectors alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparse_ir.cli.console import err, progress
from sparse_ir.cli.options import BatchSizeOption, MaxLengthOption, ModelOption
from sparse_ir.errors import InvalidInputError
from sparse_ir.files import whole_file

if TYPE_CHECKING:
    from sparse_ir.encoders.encoder import Encoder

_BUFFER = 1024  # texts encoded between writes: sorted by length within


def encode(
    source: Annotated[str, typer.Argument(help="As for index; with --queries a query file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="vectors.npz or vectors.jsonl.")],
    queries: Annotated[bool, typer.Option("--queries", help="Encode as queries.")] = False,
    model: ModelOption = "mini",
    max_length: MaxLengthOption = None,
    batch_size: BatchSizeOption = 32,
) -> None:
    """Encode texts as sparse vectors.

    .npz: the arrays data, indices, indptr, shape of a SciPy CSR matrix (scipy.sparse.load_npz reads
    it), and ids. .jsonl: Anserini's JsonVectorCollection, an object {"id", "contents", "vector":
    {term: weight}} a line.
    """
    from sparse_ir.encoders.encoder import load_encoder

    if output.suffix not in (".npz", ".jsonl"):
        raise InvalidInputError(f"output is {output}; want a name that ends in .npz or .jsonl")
    encoder = load_encoder(model, "query" if queries else "document", max_length=max_length)
    write = _write_npz if output.suffix == ".npz" else _write_jsonl
    with whole_file(output) as beside, progress("encoding") as advance:
        batches = _encoded(encoder, _texts(source, queries), batch_size, advance)
        n = write(beside, encoder, batches)
    err.print(f"{n} vectors in {output}")


Batch = tuple[list[str], list[str], Any]  # ids, texts, term weights


def _texts(source: str, queries: bool) -> Iterator[tuple[str, str]]:
    from sparse_ir.corpus import read_documents, read_queries

    if queries:
        return ((query.query_id, query.text) for query in read_queries(source))
    return ((document.doc_id, document.content) for document in read_documents(source))


def _encoded(
    encoder: Encoder, texts: Iterator[tuple[str, str]], batch_size: int, advance: Any
) -> Iterator[Batch]:
    while chunk := list(islice(texts, _BUFFER)):
        ids = [text_id for text_id, _ in chunk]
        contents = [text for _, text in chunk]
        yield ids, contents, encoder.encode(contents, batch_size=batch_size, on_progress=advance)


def _write_npz(path: Path, encoder: Encoder, batches: Iterator[Batch]) -> int:
    from sparse_ir.export.npz import write_npz

    rows = ((ids, weights) for ids, _, weights in batches)
    return write_npz(path, rows, len(encoder.vocabulary))


def _write_jsonl(path: Path, encoder: Encoder, batches: Iterator[Batch]) -> int:
    from sparse_ir.vectors import to_mappings

    n = 0
    with path.open("w", encoding="utf-8") as file:
        for ids, texts, weights in batches:
            for text_id, text, row in zip(ids, texts, to_mappings(weights), strict=True):
                vector = {encoder.vocabulary[t]: round(w, 6) for t, w in row.items()}
                record = {"id": text_id, "contents": text, "vector": vector}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            n += len(ids)
    return n
