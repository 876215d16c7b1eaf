"""What people see: progress on the standard error, hits and matched terms on the output."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from sparse_ir.hits import Hit
    from sparse_ir.retrieval.highlights import Snippet, TermMatch

out = Console(highlight=False, soft_wrap=True, emoji=False)  # ":car:" may stand in an id
err = Console(stderr=True, highlight=False, emoji=False)

_UNLIMITED = 1000  # characters, a width that no table reaches
_BAR = 40  # characters of the longest bar
_INDENT = "     "
_LINE_SECONDS = 60  # between two lines of a log


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, n: int, /) -> None:
        """``n`` more are done."""
        ...


def tell(line: str) -> None:
    """The line is on the standard error as it is, unbroken: it may have a command to copy."""
    err.print(line, markup=False, soft_wrap=True)


def show(*parts: str | tuple[str, str] | Text) -> None:
    """The parts, each as it is or with a style, are a line of the output; none is markup."""
    out.print(Text.assemble(*parts))


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """A bar with speed and, where the total is known, time left; for a log, a line a minute."""
    with _bars() as bars:
        task, lines = bars.add_task(what, total=total), _Lines()

        def advance(n: int, /) -> None:
            bars.advance(task, n)
            lines.show(bars.tasks[task])

        yield advance


@contextmanager
def stages(prefix: str = "", /, **totals: int) -> Iterator[Callable[[str, int], None]]:
    """As ``progress``, for work of several stages: told of one, its bar appears.

    Args:
        prefix: Before the name of each.
        totals: Of stages by their names, where they are known.
    """
    with _bars() as bars:
        tasks: dict[str, TaskID] = {}
        lines = _Lines()

        def advance(what: str, n: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(prefix + what, total=totals.get(what))
            bars.advance(tasks[what], n)
            lines.show(bars.tasks[tasks[what]])

        yield advance


def _bars() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    )


class _Lines:
    """What a log sees of bars: a line now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, task: Task) -> None:
        now = time.monotonic()
        if err.is_terminal or now - self._last < _LINE_SECONDS:
            return
        self._last = now
        of = f" of {task.total:,.0f}" if task.total else ""
        tell(f"{task.description}: {task.completed:,.0f}{of}")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def print_hit(rank: int, hit: Hit, snippet: Snippet) -> None:
    """One hit with the part of its text that matches best."""
    title = ("  ", (hit.title, "bold")) if hit.title else ()
    show((f"{rank:>3}", "green"), f"  {hit.score:7.3f}  ", (hit.doc_id, "cyan"), *title)
    if hit.passage:
        span = f"characters {hit.passage.start}-{hit.passage.end}"
        show(_INDENT, (f"passage {hit.passage.number + 1}, {span}", "dim"))
    if hit.text:
        show(_INDENT, _marked(snippet, hit.text))
    if hit.metadata:
        pairs = "  ".join(f"{key}={value}" for key, value in hit.metadata.items())
        show(_INDENT, (pairs, "dim"))


def print_legs(hit: Hit) -> None:
    """What each leg of a fused ranking says of the hit."""
    for name, leg in hit.legs.items():
        show(_INDENT, (f"{name:<8}", "dim"), f" rank {leg.rank:>4}  score {leg.score:8.3f}")


def print_matches(matches: Sequence[TermMatch], most: int = 12) -> None:
    """The matched terms, most important first; expansions are marked with a plus."""
    for match in matches[:most]:
        sign = "+" if match.is_expansion else " "
        style = "magenta" if match.is_expansion else "default"
        weights = f"{match.query_weight:8.3f} x {match.document_weight:6.3f}"
        show(
            *(_INDENT, (f"{sign} {match.term:<18}", style), " "),
            *((f"{match.block:<8}{weights}", "dim"), f" = {match.product:7.3f}"),
        )
    if len(matches) > most:
        rest = sum(match.product for match in matches[most:])
        more = f"{len(matches) - most} more"
        show(_INDENT, (f"  {more}{'':>32} = {rest:7.3f}", "dim"))


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """The rows under their keys, never narrowed: a number cut short is worse than a long line."""
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    Console(highlight=False, markup=False, emoji=False, width=_UNLIMITED).print(table)


def print_bars(terms: Sequence[tuple[str, float, bool]]) -> None:
    """(term, weight, whether it is an expansion) as bars, the longest for the greatest weight."""
    greatest = max((weight for _, weight, _ in terms), default=1)
    for term, weight, is_expansion in terms:
        sign, style = ("+", "magenta") if is_expansion else (" ", "green")
        bar = "█" * max(1, round(_BAR * weight / greatest))
        show(f"{sign} {term:<18} {weight:6.3f}  ", (bar, style))


def _marked(snippet: Snippet, whole: str) -> Text:
    """The snippet in one line, in which what matched stands out."""
    text = Text(snippet.text)
    for highlight in snippet.highlights:
        text.stylize("yellow", highlight.start, highlight.end)
    words = [text[found.start() : found.end()] for found in re.finditer(r"\S+", snippet.text)]
    before = "... " if snippet.start else ""
    after = " ..." if snippet.start + len(snippet.text) < len(whole) else ""
    return Text.assemble(before, Text(" ").join(words), after)
