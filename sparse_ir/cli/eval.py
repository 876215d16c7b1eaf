"""``sparse-ir eval``: retrievers side by side on test collections, or runs of any engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparse_ir.cli.console import print_table, progress, show, stages, tell
from sparse_ir.cli.options import (
    DEFAULT_DENSE_MODEL,
    BatchSizeOption,
    CacheOption,
    DenseModelOption,
    JsonOption,
    ModelOption,
    named,
    require_at_least,
    require_writable,
)
from sparse_ir.cli.plot import plot_tradeoffs, require_plot
from sparse_ir.cli.report import averages, costs, quality
from sparse_ir.errors import InvalidInputError

if TYPE_CHECKING:
    from sparse_ir.evaluation.collection import Collection
    from sparse_ir.retrieval.experiment import Report

_OF_SEARCHES = {  # parameters that say what to search, or how
    *("sources", "split", "corpus", "topics", "retrievers", "model", "dense_model", "language"),
    *("hits", "threads", "batch_size", "cache"),
}


def eval(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="BEIR folders, or irds:ID for a collection of ir_datasets.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Which judgements of BEIR folders: qrels/SPLIT.tsv.", show_default="test"
        ),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="A corpus, as for index but not -, in place of a SOURCE.")
    ] = None,
    topics: Annotated[
        Path | None, typer.Option(help="Its queries: BEIR, .tsv, .txt or TREC topics.")
    ] = None,
    qrels: Annotated[Path | None, typer.Option(help="Its judgements, of TREC or BEIR.")] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Measure this run file; again for more. Needs --qrels."),
    ] = None,
    retrievers: Annotated[
        str,
        typer.Option(
            help="Names with commas between, of: anchored, learned, lexical, bm25, dense, hybrid, "
            "bm25+dense."
        ),
    ] = "anchored,learned,lexical,bm25",
    baseline: Annotated[
        str | None, typer.Option(help="What the others are tested against.", show_default="last")
    ] = None,
    measures: Annotated[
        str, typer.Option(help="Names of ir-measures, commas between; the first is tested.")
    ] = "nDCG@10,MRR@10,R@100,R@1000,MAP",
    model: ModelOption = "mini",
    dense_model: DenseModelOption = DEFAULT_DENSE_MODEL,
    language: Annotated[str, typer.Option(help="Of the words, as for index.")] = "english",
    hits: Annotated[int, typer.Option("-k", "--hits", help="Hits a query.")] = 1000,
    threads: Annotated[int, typer.Option(help="Queries searched at once.")] = 1,
    batch_size: BatchSizeOption = 32,
    cache: CacheOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Append the reports to this JSONL file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw quality against FLOPS and latency: .png, .svg, .pdf.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure retrievers on test collections, or finished runs.

    Indexes are built once and kept: the same model on the same corpus is not encoded again. FLOPS
    is the expected number of terms that a query shares with a document. p is the paired t-test's /
    the randomisation test's, Holm-corrected over the retrievers.
    """
    from sparse_ir.evaluation.evaluate import require_measures

    wanted = named(measures)
    require_measures(wanted)
    require_at_least(1, k=hits, threads=threads, batch_size=batch_size)
    if output:
        require_writable(output)
    if plot:
        require_plot(plot)
        require_writable(plot)
        if runs:
            raise InvalidInputError("--plot came with --run; FLOPS and times come from systems")
    if runs:
        _require_nothing_to_search(context)
        reports = [_of_runs(runs, qrels, baseline, wanted)]
    else:
        names = named(retrievers)
        _require_retrievers(names, baseline)
        build = {
            "model": model,
            "dense": dense_model,
            "language": language,
            "batch_size": batch_size,
        }
        search = {"baseline": baseline, "measures": wanted, "k": hits, "threads": threads}
        collections = list(_collections(sources or [], split, corpus, topics, qrels))
        reports = [_measure(one, names, cache, build, search) for one in collections]
    about = {} if runs else {"model": model}
    lines = [json.dumps({**about, **report.record()}) for report in reports]
    if as_json:
        print(*lines, sep="\n")
    else:
        _print_tables(reports)
    if output:
        with output.open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
    if plot:
        plot_tradeoffs(reports, plot)
        tell(f"plot in {plot}")


def _collections(
    sources: list[str],
    split: str | None,
    corpus: str | None,
    topics: Path | None,
    qrels: Path | None,
) -> Iterator[Collection]:
    from sparse_ir.evaluation.collection import IR_DATASETS, from_files, read_collection

    given = {"--corpus": corpus, "--topics": topics, "--qrels": qrels}
    missing = [name for name, value in given.items() if value is None]
    if bool(sources) == (len(missing) < 3) or len(missing) in (1, 2):
        raise InvalidInputError(
            f"{len(sources)} sources came, and {3 - len(missing)} of --corpus, --topics, --qrels; "
            "want sources, or all three, or --run with --qrels"
        )
    if corpus is not None and topics is not None and qrels is not None:
        yield from_files(corpus, topics, qrels)
    folders = [source for source in sources if not source.startswith(IR_DATASETS)]
    if split is not None and len(folders) != len(sources or [corpus]):
        raise InvalidInputError(
            "--split came with something else than BEIR folders; it names a file of their qrels"
        )
    for source in sources:
        yield read_collection(source, split or "test")


def _measure(
    collection: Collection,
    names: list[str],
    cache: Path | None,
    build: dict[str, Any],
    search: dict[str, Any],
) -> Report:
    from sparse_ir.retrieval.cached import CachedIndexes, default_cache
    from sparse_ir.retrieval.experiment import compare_systems
    from sparse_ir.retrieval.systems import SYSTEMS

    cache = cache or default_cache()
    with stages(f"{collection.name}: ") as advance:
        indexes = CachedIndexes(collection.documents, cache, **build, on_progress=advance)
        systems = {name: SYSTEMS[name](indexes) for name in names}
    n_searches = len(names) * len(collection.queries)
    with indexes, progress(f"{collection.name}: searching", total=n_searches) as advance:
        return compare_systems(
            collection, systems, n_documents=indexes.corpus[1], **search, on_progress=advance
        )


def _require_nothing_to_search(context: typer.Context) -> None:
    """Returns if nothing came beside runs that says what to search, or how."""
    given = [
        param.opts[-1] if param.param_type_name == "option" else "a source"
        for param in context.command.params
        if param.name in _OF_SEARCHES and _came(context, param.name)
    ]
    if given:
        raise InvalidInputError(
            f"{', '.join(given)} came with --run; runs are measured by --qrels alone"
        )


def _came(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _of_runs(
    runs: list[Path], qrels: Path | None, baseline: str | None, measures: list[str]
) -> Report:
    from sparse_ir.evaluation.trec import read_qrels, read_run
    from sparse_ir.retrieval.experiment import compare_runs

    if qrels is None:
        raise InvalidInputError("--run came without --qrels; want the judgements to measure it by")
    names = [path.name for path in runs]
    if len(set(names)) != len(names):
        names = [str(path) for path in runs]
    if baseline is not None and baseline not in names:
        raise InvalidInputError(f"baseline is {baseline!r}; want one of {', '.join(names)}")
    read = {name: read_run(path) for name, path in zip(names, runs, strict=True)}
    return compare_runs(
        read, read_qrels(qrels), name=qrels.name, baseline=baseline, measures=measures
    )


def _require_retrievers(names: list[str], baseline: str | None) -> None:
    from sparse_ir.retrieval.systems import require_known

    require_known(names)
    if baseline is not None and baseline not in names:
        raise InvalidInputError(f"baseline is {baseline!r}; want one of {', '.join(names)}")


def _print_tables(reports: list[Report]) -> None:
    for report in reports:
        facts = [f"{report.n_queries} queries"]
        if report.n_documents is not None:
            facts.insert(0, f"{report.n_documents:,} documents")
        split = f" ({report.split})" if report.split else ""
        show((f"{report.collection}{split}", "bold"), f": {', '.join(facts)}")
        print_table(quality(report))
        print_table(costs(report))
    if len(reports) > 1:
        show((f"average of {len(reports)} collections", "bold"))
        print_table(averages(reports))
