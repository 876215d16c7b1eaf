"""Puts the latest results into the README: no number there that no command has written.

    python -m bench.report

The latency of every engine in every setting goes to results/latency.md, all comparisons of training
to results/claims.md, models on dev splits to results/dev_splits.md, what adapting gains to
results/adapt.md, what titles gain to results/titles.md, what serving, changing and training cost to
results/costs.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import (
    adapt,
    claims,
    dev_splits,
    effectiveness,
    encode,
    goals,
    granularity,
    hybrid,
    latency,
    query_table,
    records,
    text_latency,
    titles,
)

README = Path(__file__).parent.parent / "README.md"
TABLES: dict[str, Callable[[records.Record], str]] = {
    "effectiveness": effectiveness.table,
    "encode": encode.table,
    "hybrid": hybrid.table,
    "granularity": granularity.table,
    "query_table": query_table.table,
    "goals": goals.table,
}

COSTS = {
    "server": "Serving",
    "adapters": "Adapters for RAG frameworks",
    "updates": "Changing an index",
    "train_step": "A training step beside sentence-transformers",
}


def main() -> None:
    text = README.read_text()
    for name, table in TABLES.items():
        if not (measured := records.read(name)):
            continue
        result = measured[-1]
        body = f"<!-- {name} -->\n{table(result)}\n\n{_source(result)}\n<!-- end -->"
        text = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _, b=body: b, text, flags=re.S)
    README.write_text(text)
    (records.FOLDER / "latency.md").write_text("\n".join(_latency()))
    (records.FOLDER / "claims.md").write_text("\n".join(_claims()))
    (records.FOLDER / "dev_splits.md").write_text("\n".join(_dev_splits()))
    (records.FOLDER / "adapt.md").write_text("\n".join(_adapt()))
    (records.FOLDER / "titles.md").write_text("\n".join(_titles()))
    (records.FOLDER / "costs.md").write_text("\n".join(_costs()))


def _latency() -> Iterator[str]:
    """Everything that the latency benches measured, with what it was measured on."""
    yield "# Latency of every engine in every setting\n"
    for module, name in ((latency, "latency"), (text_latency, "text_latency")):
        for kernel, result in _by_kernel(name):
            yield f"## {result['workload']}, {result['docs']:,} documents, {kernel}\n"
            yield f"{module.table(result)}\n\n{_source(result)}\n"


def _by_kernel(name: str) -> Iterator[tuple[str, records.Record]]:
    for kernel, results in records.latest(name).items():
        yield from ((kernel, result) for result in results)


def _claims() -> Iterator[str]:
    rows = records.read("claims")
    yield "# What helps in training, by how much\n"
    yield "Short runs that differ from `base` in one setting; nDCG@10: mean of three dev sets, +-"
    yield "half the range of seeds; `terms` is learned terms a document. How: `bench/claims.py`."
    yield "`base`: dense, BM25 and siamese sparse teachers, weighed by how well they find each"
    yield "set's labels together; queries are looked up; half of the ranking loss is residual."
    share = claims.PLAIN_FLOPS_SHARE
    yield f"`flops` has a {share}th of the lambda that is named: its weights, multiplied by the"
    yield "query's, are some seven times greater, and so both keep about as many terms."
    yield "A seed draws other batches of the same data.\n"
    yield f"![nDCG@10 against FLOPS](claims.svg)\n\n{claims.table(rows)}\n"
    yield "Differences of the means; starred where all seeds of one are above all of the other.\n"
    yield f"{claims.differences(rows)}\n"
    yield f"{_source(rows[-1])}\n"
    for _, result in _by_kernel("text_latency"):
        if result["workload"] == "arxiv_titles":
            yield "## Beside BM25: what it finds, and in what time\n"
            yield f"Titles ask for abstracts, {result['docs']:,} documents, from text to hits; as"
            yield "an earlier model encoded them.\n"
            yield f"{text_latency.table(result)}\n"
            yield f"{_source(result)}\n"


def _dev_splits() -> Iterator[str]:
    """Every model's last record."""
    measured = records.read("dev_splits")
    last = {one["model"]: one for one in measured}
    yield "# Models on dev splits\n"
    yield "nDCG@10 of learned / anchored search; how: `bench/dev_splits.py`.\n"
    yield f"{dev_splits.table(list(last.values()))}\n\n{_source(measured[-1])}\n"


def _adapt() -> Iterator[str]:
    """Every collection's last row; records of variants that were tried are left out."""
    measured = [one for one in records.read("adapt") if "variant" not in one]
    last = {row["collection"]: row for one in measured for row in one["rows"]}
    yield "# What adapting to a corpus gains on its real questions\n"
    yield "nDCG@10 of learned / anchored search, the defaults of `sparse-ir adapt`, which sees no"
    yield "question; p of a paired randomisation test, Holm-corrected for the two modes; `kept` is"
    yield "what it chose by questions of its own. How: `bench/adapt.py`.\n"
    yield f"{adapt.table(list(last.values()))}\n\n{_source(measured[-1])}\n"


def _titles() -> Iterator[str]:
    """Every split's last row."""
    measured = records.read("titles")
    last = {(row["collection"], row["split"]): row for one in measured for row in one["rows"]}
    yield "# What it gains that titles count\n"
    yield "nDCG@10 of the three modes with `index --title-weight 1` -> 2, learned terms a document;"
    yield "p of a paired randomisation test, Holm-corrected. How: `bench/titles.py`. (Encoded by"
    yield "transformers' BERT in bfloat16: up to .004 from the README's, which are by our own.)\n"
    yield f"{titles.table(list(last.values()))}\n\n{_source(measured[-1])}\n"


def _costs() -> Iterator[str]:
    """A section a bench, its last record of each kind."""
    for name, title in COSTS.items():
        last = {one.get("what"): one for one in records.read(name)}
        for one in last.values():
            yield f"## {title}\n\n`python -m bench.{name}`\n"
            yield f"{_facts(one)}\n\n{_source(one)}\n"


def _facts(result: dict[str, Any]) -> str:
    """Plain values, then rows, as Markdown tables."""
    plain = {k: v for k, v in result.items() if k not in ("machine", "bench", "rows")}
    lines = ["| | |", "|---|---|", *(f"| {k} | {_short(v)} |" for k, v in plain.items())]
    if rows := result.get("rows"):
        lines += ["", f"| {' | '.join(rows[0])} |", "|---" * len(rows[0]) + "|"]
        lines += [f"| {' | '.join(map(_short, row.values()))} |" for row in rows]
    return "\n".join(lines)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_short(v)}" for k, v in value.items())
    if isinstance(value, list):
        return " ".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _source(result: records.Record) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"<sub>{machine['date'][:10]}, {machine['processor']}, {machine['cores']} cores, kernel "
        f"{machine['kernel']}, Python {machine['python']}, {versions}; "
        f"`bench/results/{result['bench']}.jsonl`.</sub>"
    )


if __name__ == "__main__":
    main()
