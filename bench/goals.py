"""What the engine is to reach beside others, as ratios, from the latest results of the bench.

    python -m bench.goals

Each number is one of ours over one of theirs, the best peer at equal or better recall. Ratios with
the numbers that they are made of go to results/goals.jsonl.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import records
from bench.records import Record as Result

DEFAULT, SAME = "sparse_ir float16", "sparse_ir float32"  # SAME stores what the peers store
VSAG, NUMBA, SEISMIC = "VSAG SINDI", "numba scan", "Seismic"
GOOD = 0.99  # recall of approximate search
LONG, SHORT = ("splade",), ("inference-free", "anchored", "learned")  # kinds of queries

Ratio = tuple[float, float]  # ours, theirs


@dataclass(frozen=True)
class Goal:
    """A ratio that is to be at most so much, if there is a goal for it."""

    what: str
    most: float | None
    measure: Callable[[Result], Ratio | None]  # None where a result does not say


def main() -> None:
    texts = records.latest("text_latency")
    kernels = [
        {
            "machine": results[-1]["machine"],
            "rows": [*_rows(results), *_growth(results), *_text(texts.get(kernel, []))],
        }
        for kernel, results in records.latest("latency").items()
    ]
    result = {"bench": "goals", "machine": kernels[0]["machine"], "kernels": kernels}
    records.add(result)
    print(table(result))


def table(result: Result) -> str:
    """Goals and ratios as Markdown tables, one a kernel; what is missed is bold."""
    first, *others = result["kernels"]
    parts = [_table(first)]
    for one in others:
        machine = one["machine"]
        parts += [f"Kernel {machine['kernel']}, {machine['processor']}:", _table(one)]
    return "\n\n".join(parts)


def _table(result: Result) -> str:
    workloads = list(dict.fromkeys(name for row in result["rows"] for name in row["ratios"]))
    lines = [f"| ratio | goal | {' | '.join(workloads)} |", "|---" * (2 + len(workloads)) + "|"]
    for row in result["rows"]:
        cells = [_cell(row["ratios"].get(name), row["most"]) for name in workloads]
        most = "" if row["most"] is None else f"{row['most']:.2f}"
        lines.append(f"| {row['what']} | {most} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: Result | None, most: float | None) -> str:
    if found is None:
        return ""
    text = f"{found['ratio']:.2f}"
    return text if most is None or found["ratio"] <= most else f"**{text}**"


def _rows(results: list[Result]) -> Iterator[Result]:
    for goal in GOALS:
        measured = {one["workload"]: goal.measure(one) for one in results}
        found = {name: ratio for name, ratio in measured.items() if ratio}
        if found:
            yield _row(goal.what, goal.most, found)


def _growth(results: list[Result]) -> Iterator[Result]:
    """Time at each size over the time at half a million documents."""
    sizes = {one["workload"]: one for one in results if one["workload"].startswith("synthetic")}
    if (base := sizes.get("synthetic-500k")) is None:
        return
    for name, kinds in (("SPLADE-like", LONG), ("inference-free", SHORT)):
        start = _fastest(base, kinds, (DEFAULT,), GOOD)
        found = {
            size: (_fastest(one, kinds, (DEFAULT,), GOOD), start) for size, one in sizes.items()
        }
        yield _row(f"growth from 500k, {name}", 3.0, {k: v for k, v in found.items() if all(v)})


def _text(results: list[Result]) -> Iterator[Result]:
    for peer, most in (("tantivy BM25", 1.0), ("Lucene BM25", 0.5)):
        found = {}
        for one in results:
            means = {row["engine"]: row["mean_ms"] for row in one["rows"]}
            found[f"{one['workload']}-anchored"] = (means["sparse_ir anchored"], means[peer])
            found[f"{one['workload']}-learned"] = (means["sparse_ir learned"], means[peer])
        if found:
            yield _row(f"text to hits / {peer}", most, found)


def _row(what: str, most: float | None, ratios: dict[str, Ratio]) -> Result:
    return {
        "what": what,
        "most": most,
        "ratios": {
            name: {"ours": ours, "theirs": theirs, "ratio": ours / theirs}
            for name, (ours, theirs) in ratios.items()
        },
    }


# what is compared


def _exact(kinds: tuple[str, ...], peer: str) -> Callable[[Result], Ratio | None]:
    return lambda result: _pair(
        _fastest(result, kinds, (SAME,), setting="exact"),
        _fastest(result, kinds, (peer,), setting="exact"),
    )


def _approximate(kinds: tuple[str, ...]) -> Callable[[Result], Ratio | None]:
    peers = (VSAG, f"{VSAG}, pruned + reorder", SEISMIC)
    return lambda result: _pair(
        _fastest(result, kinds, (DEFAULT,), GOOD), _fastest(result, kinds, peers, GOOD)
    )


def _tail(kinds: tuple[str, ...]) -> Callable[[Result], Ratio | None]:
    def measure(result: Result) -> Ratio | None:
        for row in result["rows"]:
            if (row["engine"], row["setting"]) == (DEFAULT, "exact") and row["queries"] in kinds:
                return row["p99_ms"], row["mean_ms"]
        return None

    return measure


def _fact(name: str, peer: str) -> Callable[[Result], Ratio | None]:
    def measure(result: Result) -> Ratio | None:
        facts = {one["engine"]: one[name] for one in result["engines"]}
        return _pair(facts.get(DEFAULT), facts.get(peer))

    return measure


def _bytes(result: Result) -> Ratio | None:
    (n_bytes,) = [one["n_bytes"] for one in result["engines"] if one["engine"] == DEFAULT]
    return n_bytes, result["postings"]


def _opening(result: Result) -> Ratio | None:
    (ms,) = [one["open_ms"] for one in result["engines"] if one["engine"] == DEFAULT]
    return ms, 20.0


def _limit(result: Result) -> Ratio | None:
    found = [one["ms"] for one in result["limits"] if one["queries"] in LONG]
    return _pair(_fastest(result, LONG, (DEFAULT,), setting="exact"), *found) if found else None


def _pair(ours: float | None, theirs: float | None) -> Ratio | None:
    return None if ours is None or theirs is None else (ours, theirs)


def _fastest(
    result: Result,
    kinds: tuple[str, ...],
    engines: tuple[str, ...],
    least_recall: float = 0.0,
    setting: str = "",
) -> float | None:
    """Milliseconds of the fastest row that qualifies."""
    found = [
        row["mean_ms"]
        for row in result["rows"]
        if row["queries"] in kinds
        and row["engine"] in engines
        and row["recall"] >= least_recall
        and row["setting"].startswith(setting)
    ]
    return min(found, default=None)


GOALS = (
    Goal("exact SPLADE-like / VSAG exact", 0.35, _exact(LONG, VSAG)),
    Goal("exact SPLADE-like / numba scan", 0.6, _exact(LONG, NUMBA)),
    Goal("exact inference-free / VSAG exact", 0.7, _exact(SHORT, VSAG)),
    Goal("recall .99, SPLADE-like / fastest peer", 0.7, _approximate(LONG)),
    Goal("recall .99, inference-free / fastest peer", 0.7, _approximate(SHORT)),
    Goal("p99 / mean, SPLADE-like", 2.5, _tail(LONG)),
    Goal("p99 / mean, inference-free", 2.5, _tail(SHORT)),
    Goal("exact SPLADE-like / reading all its postings once", None, _limit),
    Goal("build CPU / VSAG", 1.5, _fact("cpu_seconds", VSAG)),
    Goal("build CPU / Seismic", 0.05, _fact("cpu_seconds", SEISMIC)),
    Goal("bytes on disk / non-zero", 6.0, _bytes),
    Goal("opening / 20 ms", 1.0, _opening),
)

if __name__ == "__main__":
    main()
