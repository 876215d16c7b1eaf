"""Reports of ``eval`` as rows of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparse_ir.evaluation.significance import Difference
    from sparse_ir.retrieval.experiment import Report

Row = dict[str, str]


def quality(report: Report) -> list[Row]:
    """A row a system: measures, and the comparison with the baseline."""
    return [
        {
            "retriever": name,
            **{measure: f"{mean:.4f}" for measure, mean in outcome.evaluation.means.items()},
            **_comparison(report.differences.get(name), report.baseline),
        }
        for name, outcome in report.outcomes.items()
    ]


def costs(report: Report) -> list[Row]:
    """A row a system; none for runs that were made elsewhere."""
    return [
        {
            "retriever": name,
            "terms/document": f"{outcome.cost.terms_a_document:.0f}",
            "terms/query": f"{outcome.cost.terms_a_query:.1f}",
            "FLOPS": f"{outcome.cost.flops:.2f}",
            "index MiB": f"{outcome.cost.index_bytes / 2**20:.1f}",
            "ms/query": f"{outcome.latency.mean_ms:.2f}",
            "median": f"{outcome.latency.median_ms:.2f}",
            "p99": f"{outcome.latency.p99_ms:.2f}",
        }
        for name, outcome in report.outcomes.items()
        if outcome.cost is not None and outcome.latency is not None
    ]


def averages(reports: Sequence[Report]) -> list[Row]:
    """A row a system: means over the collections, each counting the same."""
    n = len(reports)
    result = []
    for name in reports[0].outcomes:
        means = [report.outcomes[name].evaluation.means for report in reports]
        row = {measure: f"{sum(one[measure] for one in means) / n:.4f}" for measure in means[0]}
        costs = [report.outcomes[name].cost for report in reports]
        flops = [cost.flops for cost in costs if cost is not None]
        cost_cells = {"FLOPS": f"{sum(flops) / n:.2f}"} if flops else {}
        result.append({"retriever": name, **row, **cost_cells})
    return result


def _comparison(one: Difference | None, baseline: str) -> Row:
    header = f"p vs {baseline}"
    if one is None:
        return {"wins/losses": "", header: ""}
    return {
        "wins/losses": f"{one.wins}/{one.losses}",
        header: f"{_p(one.p_t_test)} / {_p(one.p_randomisation)}",
    }


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}".lstrip("0")
