"""``sparse-ir encode``: texts into term weights, for whoever wants the vectors alone."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparse_ir.cli.console import progress, tell
from sparse_ir.cli.options import (
    BatchSizeOption,
    DeviceOption,
    MaxLengthOption,
    ModelOption,
    PrecisionChoice,
    PrecisionOption,
    PruneRatioOption,
    ThreadsOption,
    TopTermsOption,
    use_threads,
)
from sparse_ir.errors import InvalidInputError
from sparse_ir.lines import GZIP_ERRORS

if TYPE_CHECKING:
    from sparse_ir.encoders.encoder import Encoder

_LINE_FILES = (".jsonl", ".tsv", ".txt")


def encode(
    source: Annotated[str, typer.Argument(help="As for index; with --queries a query file.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="NAME.npz, .parquet or .jsonl, or a folder.")
    ],
    queries: Annotated[bool, typer.Option("--queries", help="Encode as queries.")] = False,
    model: ModelOption = "mini",
    max_length: MaxLengthOption = None,
    top_terms: TopTermsOption = None,
    prune_ratio: PruneRatioOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionChoice.auto,
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = 32,
    buffer_size: Annotated[
        int, typer.Option("--buffer", help="Texts read at once; what a stop costs at most.")
    ] = 4096,
    shard_id: Annotated[int, typer.Option(help="Which shard to encode, from 0.")] = 0,
    shard_num: Annotated[
        int, typer.Option(help="Shards in all: every so-manieth text is one's.")
    ] = 1,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Encode documents without text, as no terms.")
    ] = False,
) -> None:
    """Encode texts as sparse vectors, in bounded memory; run again after a stop, it goes on.

    .npz: the arrays data, indices, indptr, shape of a SciPy CSR matrix (scipy.sparse.load_npz reads
    it), and ids. .parquet: the columns id, indices, values. .jsonl: Anserini's
    JsonVectorCollection, an object {"id", "contents", "vector": {term: weight}} a line. A folder:
    an index of the vectors, for Index.search; of texts that it has, those that changed are encoded
    anew. Of several shards each gets its own output: NAME-00001-of-00004.parquet.
    """
    from sparse_ir.encoders.checkpoint import model_settings
    from sparse_ir.encoders.encoder import load_encoder
    from sparse_ir.retrieval.encode import encode_corpus
    from sparse_ir.retrieval.vector_files import format_of

    if not 0 <= shard_id < shard_num:
        raise InvalidInputError(
            f"shard_id is {shard_id} of shard_num {shard_num}; want 0 <= shard_id < shard_num"
        )
    format_of(output)  # a wrong name is said before a model is loaded
    texts = _texts(source, queries, allow_empty)
    use_threads(threads)
    encoder = load_encoder(
        model,
        "query" if queries else "document",
        max_length=max_length,
        top_terms=top_terms,
        prune_ratio=prune_ratio,
        device=device,
        precision=precision.value,
    )
    path = _shard_of(output, shard_id, shard_num)
    settings = {
        "model": model_settings(model).fingerprint,
        "role": "query" if queries else "document",
        "max_length": getattr(encoder, "max_length", None),
        "top_terms": top_terms,
        "prune_ratio": prune_ratio,
        "precision": getattr(encoder, "precision", "float32"),
        "shard": [shard_id, shard_num],
    }
    total = _count(source)
    mine = None if total is None else len(range(shard_id, total, shard_num))
    with progress("encoding", total=mine) as advance:
        report = encode_corpus(
            (text for n, text in enumerate(texts) if n % shard_num == shard_id),
            encoder,
            path,
            settings=settings,
            batch_size=batch_size,
            buffer_size=buffer_size,
            on_progress=advance,
        )
    kept = f" ({report.kept} of them from before)" if report.kept else ""
    tell(f"{len(report)} vectors{kept} in {path}")
    _tell_of_cut_texts(encoder)


def _texts(source: str, queries: bool, allow_empty: bool) -> Iterator[tuple[str, str]]:
    from sparse_ir.corpus import read_documents, read_queries

    if queries:
        return ((query.query_id, query.text) for query in read_queries(source))
    documents = read_documents(source, allow_empty=allow_empty)
    return ((document.doc_id, document.content) for document in documents)


def _shard_of(output: Path, shard_id: int, shard_num: int) -> Path:
    if shard_num == 1:
        return output
    return output.with_name(f"{output.stem}-{shard_id:05d}-of-{shard_num:05d}{output.suffix}")


def _count(source: str) -> int | None:
    """Lines of the source, for the time left; None where lines are not texts."""
    path = Path(source)
    if path.is_dir():
        path = next((p for p in path.glob("corpus.jsonl*") if p.is_file()), path)
    name = path.with_suffix("") if path.suffix == ".gz" else path
    if source == "-" or name.suffix.lower() not in _LINE_FILES or not path.is_file():
        return None
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
        except GZIP_ERRORS:
            return None  # the reader of the texts says what is wrong


def _tell_of_cut_texts(encoder: Encoder) -> None:
    if n_cut := getattr(encoder, "n_cut", 0):
        limit = getattr(encoder, "max_length", 0)
        tell(f"{n_cut} texts are longer than {limit} tokens: their ends were not read")
