"""Latency against recall of every engine, a panel a workload and kind of query.

    python -m bench.latency_plot

Of an engine's settings those are drawn that no other one beats in both.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Any

from bench import goals, records

PLOT = records.FOLDER / "latency.svg"
COLUMNS = 4
LEAST_RECALL = 0.95


def main() -> None:
    import matplotlib

    matplotlib.use("svg")
    # The same drawing is the same file, and a small one: text stays text.
    matplotlib.rcParams.update({"svg.hashsalt": "sparse_ir", "svg.fonttype": "none"})
    from matplotlib import pyplot

    results = next(iter(records.latest("latency").values()))
    panels = [(one, kind) for one in results for kind in _kinds(one) if len(one["engines"]) > 3]
    n_columns = min(COLUMNS, len(panels))
    n_rows = -(-len(panels) // n_columns)
    size = (3.2 * n_columns, 2.9 * n_rows + 0.5)
    figure, axes = pyplot.subplots(
        n_rows, n_columns, figsize=size, layout="constrained", squeeze=False
    )
    names = list(dict.fromkeys(row["engine"] for one in results for row in one["rows"]))
    colors = {name: f"C{number}" for number, name in enumerate(names)}
    lines = {}
    for (result, kind), axis in zip(panels, axes.flat, strict=False):
        rows = [row for row in result["rows"] if row["queries"] == kind]
        for name, points in groupby(rows, key=itemgetter("engine")):
            lines[name] = _line(axis, name, list(points), colors[name])
        axis.set(title=f"{result['workload']}, {kind}", yscale="log", xlim=(LEAST_RECALL, 1.002))
        axis.title.set_fontsize(9)
        axis.tick_params(which="both", labelsize=8)
        for which in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            which("{x:.2g}")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel("recall@10")
    figure.supylabel("mean ms a query")
    where = {"loc": "outside upper center", "ncols": n_columns, "fontsize": 8}
    figure.legend(lines.values(), lines.keys(), **where)
    figure.savefig(PLOT, metadata={"Date": None})


def _kinds(result: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["queries"] for row in result["rows"]))


def _line(axis: Any, name: str, rows: list[dict[str, Any]], color: str) -> Any:
    """A curve through the best settings of an engine; ours is thick."""
    points = [(row["recall"], row["mean_ms"]) for row in rows]
    best = sorted(one for one in points if not any(_beats(other, one) for other in points))
    width = 2.2 if name == goals.DEFAULT else 1.0
    (line,) = axis.plot(*zip(*best, strict=True), "o-", ms=3.5, lw=width, color=color)
    return line


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] <= other[1]


if __name__ == "__main__":
    main()
