"""``eval --plot``: quality against what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from sparse_ir.retrieval.experiment import Outcome, Report

_KINDS = (".png", ".svg", ".pdf")
_MARKERS = "osD^vP*Xh<>"


def require_plot(path: Path) -> None:
    """Returns if a plot can be drawn to this file.

    Raises:
        InvalidInputError: the name has another ending.
        MissingDependencyError: ``matplotlib`` is not installed.
    """
    if path.suffix not in _KINDS:
        raise InvalidInputError(f"plot is {path}; want a name that ends in {', '.join(_KINDS)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingDependencyError("matplotlib", extra="eval", purpose="--plot") from None


def plot_tradeoffs(reports: Sequence[Report], path: Path) -> None:
    """The file shows each system's first measure against FLOPS, and against latency.

    One colour a collection, one marker a system.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _scatter(left, reports, lambda outcome: outcome.cost.flops if outcome.cost else 0.0)
    _scatter(right, reports, lambda outcome: outcome.latency.mean_ms if outcome.latency else 0.0)
    left.set_xlabel("FLOPS: expected common terms of query and document")
    right.set_xlabel("ms a query, one thread")
    measure = next(iter(next(iter(reports[0].outcomes.values())).evaluation.by_query))
    left.set_ylabel(measure)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=150)


def _scatter(axes: object, reports: Sequence[Report], cost: Callable[[Outcome], float]) -> None:
    for i, report in enumerate(reports):
        for j, (name, outcome) in enumerate(report.outcomes.items()):
            quality = next(iter(outcome.evaluation.means.values()))
            axes.plot(  # type: ignore[attr-defined]
                [cost(outcome)],
                [quality],
                linestyle="none",
                color=f"C{i % 10}",
                marker=_MARKERS[j % len(_MARKERS)],
                label=f"{report.collection}: {name}",
            )
