"""The claims of the recipe, each a comparison of short runs: what helps, by how much, at what cost.

    sparse-ir train siamese.toml
    python -m bench.claims claims.toml --seeds 0 1 2

Both files are copied from bench/ beside a folder ``data`` of BEIR folders and a model
``closed-form`` (the model card of ``mini`` has the line that makes it); the first makes the sparse
teacher, ``siamese``. Every run starts from the same model and data and differs in one setting from
``base``; it is judged by real search on the configuration's validation sets. Rows go to
results/claims.jsonl; ``--plot`` draws nDCG@10 against FLOPS from all rows there are.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import machine, records

LAMBDAS = (3e-4, 3e-3, 3e-2)
PLAIN_FLOPS_SHARE = 50
ALONE = ("dense", "BM25", "siamese sparse")
Change = dict[str, dict[str, Any]]


def main() -> None:
    arguments = _arguments()
    if arguments.config:
        done = {(row["claim"], row["variant"], row["seed"]) for row in records.read("claims")}
        for seed in arguments.seeds:
            for claim in arguments.claims:
                for variant, change in VARIANTS[claim]():
                    if (claim, variant, seed) not in done:
                        _run(arguments, claim, variant, change, seed)
    rows = records.read("claims")
    print(table(rows))
    if arguments.plot:
        _plot(rows, arguments.plot)


def _base() -> Iterator[tuple[str, Change]]:
    """Three teachers, weighed by the labels; queries looked up; half of the loss residual."""
    yield "base", {}


def _idf() -> Iterator[tuple[str, Change]]:
    """(a) IDF-aware against plain FLOPS, over a sweep of lambda."""
    for regularizer in ("idf_flops", "flops"):
        for weight in LAMBDAS:
            # plain FLOPS are of weights some 7 times greater: so both keep about as many terms
            scaled = weight if regularizer == "idf_flops" else weight / PLAIN_FLOPS_SHARE
            settings = {"regularizer": regularizer, "weight": scaled, "target_terms": 0}
            yield f"{regularizer} {weight:g}", {"sparsity": settings}


def _teachers() -> Iterator[tuple[str, Change]]:
    """(b) Teachers alone and in pairs; hard negatives are those of all three."""
    shares = {
        "dense": (1.0, 0.0, 0.0),
        "BM25": (0.0, 1.0, 0.0),
        "siamese sparse": (0.0, 0.0, 1.0),
        "dense + BM25": (0.5, 0.5, 0.0),
        "dense + siamese sparse": (0.5, 0.0, 0.5),
    }
    for name, weights in shares.items():
        yield name, {"data": {"weights": weights}}


def _sides() -> Iterator[tuple[str, Change]]:
    """(c) Queries encoded, not looked up."""
    yield "network queries", {"model": {"queries": "network"}, "sparsity": {"query_l1": 1e-3}}


def _residual() -> Iterator[tuple[str, Change]]:
    """(e) What the ranking loss sees: learned scores alone, or anchored scores alone."""
    for name, share in {"plain": 0.0, "residual": 1.0}.items():
        yield name, {"loss": {"residual": share}}


VARIANTS = {
    "base": _base,
    "idf": _idf,
    "teachers": _teachers,
    "sides": _sides,
    "residual": _residual,
}
COMPARED = (
    *((f"idf_flops {weight:g}", f"flops {weight:g}") for weight in LAMBDAS),
    *(("base", one) for one in ALONE),
    *(("dense + siamese sparse", one) for one in ("dense", "siamese sparse")),
    ("dense + BM25", "dense"),
    ("network queries", "base"),
    ("base", "plain"),
    ("residual", "plain"),
)


def _run(
    arguments: argparse.Namespace, claim: str, variant: str, change: Change, seed: int
) -> None:
    from sparse_ir.training.config import TrainConfig, read_config
    from sparse_ir.training.trainer import make_trainer

    content = read_config(arguments.config).model_dump()
    for name, settings in change.items():
        if name == "data":
            content["data"] = [{**one, **settings} for one in content["data"]]
        else:
            content[name] |= settings
    content["vectors"] = Path(content["work"]) / "vectors"  # of the teachers, for all runs
    content["selection"]["every"] = content["optimizer"]["steps"]
    with tempfile.TemporaryDirectory() as folder:
        content["work"] = folder
        content["batch"]["seed"] = seed
        trainer = make_trainer(TrainConfig.model_validate(content))
        trainer.prepare()
        trainer.train()
        measured = trainer.validate()
    row = {
        "bench": "claims",
        "claim": claim,
        "variant": variant,
        "seed": seed,
        "steps": content["optimizer"]["steps"],
        "machine": machine.describe("torch", "transformers"),
        **{name: round(value, 4) for name, value in measured.items()},
    }
    records.add(row)


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and range over seeds, in Markdown."""
    lines = [
        "| claim | variant | seeds | anchored | learned | terms | FLOPS |",
        "|---|---|---|---|---|---|---|",
    ]
    if bm25 := _bm25(rows):
        lines.append(f"| | BM25 | | {bm25:.4f} | | | |")
    for claim, variant in dict.fromkeys((row["claim"], row["variant"]) for row in rows):
        same = _seeds(rows, variant)
        cells = [_spread([row[name] for row in same], 4) for name in ("anchored", "learned")]
        cells += [_spread([row["terms"] for row in same], 0)]
        cells += [_spread([row["flops"] for row in same], 2)]
        lines.append(f"| {claim} | {variant} | {len(same)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(rows: list[dict[str, Any]]) -> str:
    """What each claim comes to, in Markdown; starred where the seeds of both are wholly apart."""
    lines = ["| claim | anchored | learned | FLOPS |", "|---|---|---|---|"]
    for variant, other in COMPARED:
        one, two = (_seeds(rows, name) for name in (variant, other))
        cells = [
            _difference([row[name] for row in one], [row[name] for row in two], digits)
            for name, digits in (("anchored", 4), ("learned", 4), ("flops", 2))
        ]
        lines.append(f"| {variant}, not {other} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _difference(values: list[float], others: list[float], digits: int) -> str:
    mean = sum(values) / len(values) - sum(others) / len(others)
    apart = min(values) > max(others) or max(values) < min(others)
    return f"{mean:+.{digits}f}" + ("*" if apart else "")


def _seeds(rows: list[dict[str, Any]], variant: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["variant"] == variant]


def _bm25(rows: list[dict[str, Any]]) -> float | None:
    """On the same dev sets; None while there are no rows."""
    return next((row["lexical"] for row in rows), None)


def _spread(values: list[float], digits: int) -> str:
    mean, half = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if len(values) > 1 else "")


def _plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    for axis, mode in zip(axes, ("learned", "anchored"), strict=True):
        for kind, points in _curves(rows, mode).items():
            x, y, half = zip(*sorted(points), strict=True)
            style = "o-" if len(points) > 1 else "s"
            axis.errorbar(x, y, half, fmt=style, ms=4, capsize=2, label=kind, alpha=0.8)
        if bm25 := _bm25(rows):
            axis.axhline(bm25, color="grey", ls="--", lw=1, label="BM25")
        axis.set(xlabel="FLOPS", ylabel="nDCG@10, mean of dev sets", title=mode)
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)


def _curves(rows: list[dict[str, Any]], mode: str) -> dict[str, list[tuple[float, float, float]]]:
    """(FLOPS, mean nDCG@10, half the range over seeds) of each variant; a sweep is one curve."""
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for claim, variant in dict.fromkeys((row["claim"], row["variant"]) for row in rows):
        same = _seeds(rows, variant)
        values = [row[mode] for row in same]
        flops = sum(row["flops"] for row in same) / len(same)
        point = (flops, sum(values) / len(values), (max(values) - min(values)) / 2)
        kind = variant.split()[0] if claim == "idf" else variant
        curves.setdefault(kind, []).append(point)
    return curves


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, nargs="?", help="without it only the table is shown")
    parser.add_argument("--claims", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
