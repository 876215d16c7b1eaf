"""The command line: one file a command; here the parser, and errors become exit codes.

Data goes to the standard output, progress and messages to the standard error. Exit codes: 0 done,
1 an error of ours, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sparse_ir import __version__
from sparse_ir.cli import (
    adapt,
    compare,
    convert,
    delete,
    distil_queries,
    encode,
    eval,
    explain,
    export,
    import_,
    index,
    info,
    init_head,
    mcp,
    mine,
    optimize,
    quickstart,
    run,
    search,
    serve,
    train,
    train_dense,
    tune,
    tune_recall,
    verify,
)
from sparse_ir.errors import SparseIRError


class _Commands(TyperGroup):
    """The commands, whose errors are ours to tell: typer would end the process without a word."""

    def invoke(self, ctx: Any) -> Any:
        with _errors_as_exit_codes():
            return super().invoke(ctx)


@contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    try:
        yield
    except (SparseIRError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output has had enough
            sys.stderr.close()
            sys.exit(0)
        print(f"sparse-ir: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("sparse-ir: interrupted; what was committed stays", file=sys.stderr)
        sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    name="sparse-ir",
    help="Learned sparse retrieval: index text, search it, see why a document was found.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(quickstart.quickstart)
app.command()(index.index)
app.command()(delete.delete)
app.command()(search.search)
app.command()(serve.serve)
app.command()(encode.encode)
app.command()(run.run)
app.command()(eval.eval)
app.command()(compare.compare)
app.command("import")(import_.import_)
app.command()(export.export)
app.command()(explain.explain)
app.command()(mcp.mcp)
app.command()(info.info)
app.command()(verify.verify)
app.command()(optimize.optimize)
app.command()(tune_recall.tune_recall)
app.command()(init_head.init_head)
app.command()(convert.convert)
app.command()(train.train)
app.command()(mine.mine)
app.command()(train_dense.train_dense)
app.command()(adapt.adapt)
app.command()(tune.tune)
app.command()(distil_queries.distil_queries)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and stop.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None: ...


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    app()
