"""Latency against recall of every engine, a panel a workload and kind of query."""

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

    results = records.latest("latency")
    panels = [(one, kind) for one in results for kind in _kinds(one) if len(one["engines"]) > 3]
    n_rows = -(-len(panels) // COLUMNS)
    figure, axes = pyplot.subplots(
        n_rows, COLUMNS, figsize=(3.4 * COLUMNS, 3 * n_rows), layout="constrained", squeeze=False
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
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel("recall@10")
    figure.supylabel("mean ms a query, one thread (lower is better)")
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(PLOT, metadata={"Date": None})


def _kinds(result: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["queries"] for row in result["rows"]))


def _line(axis: Any, name: str, points: list[dict[str, Any]], color: str) -> Any:
    """A curve through what an engine offers; ours is thick."""
    points = sorted(points, key=itemgetter("recall", "mean_ms"))
    x, y = [row["recall"] for row in points], [row["mean_ms"] for row in points]
    width = 2.2 if name == goals.DEFAULT else 1.0
    (line,) = axis.plot(x, y, "o-", ms=3.5, lw=width, color=color)
    return line


if __name__ == "__main__":
    main()
