"""``sparse-ir info``: what is in an index."""

from __future__ import annotations

import json
from typing import Any

from sparse_ir.cli.console import show
from sparse_ir.cli.options import ExistingIndexOption, JsonOption, find_index

_SECTIONS = 6  # of the segment files that are listed by name


def info(folder: ExistingIndexOption = None, as_json: JsonOption = False) -> None:
    """Show what is in an index: documents, terms, sizes, segments, model."""
    from sparse_ir.index.reader import Index
    from sparse_ir.index.recall import SETTING

    with Index.open(find_index(folder)) as opened:
        facts = opened.info()
    if as_json:
        print(json.dumps(facts))
        return
    settings = facts["settings"]
    rows = {
        "index": facts["path"],
        "documents": f"{facts['documents']:,} ({facts['deleted']:,} deleted, not yet merged away)",
        "postings": f"{facts['postings']:,}, {facts['bytes_per_posting']} bytes each",
        "bytes of each": _shares(facts["section_bytes"], facts["postings"]),
        "terms": f"{facts['learned_terms']:,} learned, {facts['words']:,} words",
        "documents a term": _distribution(facts["document_frequencies"]),
        "segments": f"{len(facts['segments'])}, {facts['segment_bytes'] / 2**20:.1f} MiB",
        "catalog": f"{facts['catalog_bytes'] / 2**20:.1f} MiB",
        "dense": _dense(facts["dense"], settings.get("dense")),
        "model": settings.get("model", "none: raw vectors"),
        "language": settings.get("language", "none"),
        "anchor weight": _anchor_weight(settings),
        "neighbour weight": settings.get("neighbour_weight", "none"),
        "title weight": settings.get("title_weight", 1) if "model" in settings else "none",
        "precision": settings["params"]["precision"],
        "recall": _recall(settings.get(SETTING)),
        "metadata fields": ", ".join(facts["fields"]) or "none",
        "kernel": facts["kernel"],
    }
    for name, value in rows.items():
        show((f"{name:<16}", "bold"), f" {value}")
    for segment in facts["segments"]:
        line = (
            f"{segment['file']:<20} {segment['documents']:>12,} documents "
            f"{segment['postings']:>14,} postings {segment['bytes'] / 2**20:>9.1f} MiB"
        )
        show((line, "dim"))


def _anchor_weight(settings: dict[str, Any]) -> str:
    from sparse_ir.retrieval.query_vectors import anchor_weight

    if "anchor_weight" not in settings:
        return "none"
    of_model = settings["anchor_weight"]
    return f"{anchor_weight(settings):.2f} at this length; the model's is {of_model:g}"


def _shares(sections: dict[str, int], n_postings: int) -> str:
    """The sections that count, the greatest first, in bytes a posting."""
    each = {name: n / max(n_postings, 1) for name, n in sections.items()}
    greatest = sorted(each, key=lambda name: -each[name])[:_SECTIONS]
    rest = sum(each.values()) - sum(each[name] for name in greatest)
    return ", ".join(f"{name} {each[name]:.2f}" for name in greatest) + f", the rest {rest:.2f}"


def _recall(measured: dict[str, Any] | None) -> str:
    """The shares by which .99 is reached."""
    from sparse_ir.index.recall import RecallCurves

    if measured is None:
        return "not tuned (sparse-ir tune-recall)"
    found = RecallCurves.from_setting(measured)
    most = max(curve.k for curve in found.curves)
    shares = ", ".join(
        f"{curve.share_for(0.99):g} from {curve.n_terms}"
        for curve in found.curves
        if curve.k == most
    )
    return (
        f"tuned on {found.n_docs:,} documents, {found.queries} queries, up to {most} hits; "
        f".99 by shares of bounds by terms: {shares}"
    )


def _dense(facts: dict[str, int] | None, part: dict[str, Any] | None) -> str:
    if facts is None or part is None:
        return "none"
    return (
        f"{facts['vectors']:,} vectors of {facts['dimension']} dimensions by {part['model']}, "
        f"{facts['vector_bytes'] / 2**20:.1f} MiB on disk; codes {part['codes']}, "
        f"{facts['code_bytes'] / 2**20:.1f} MiB in memory"
    )


def _distribution(frequencies: dict[str, int]) -> str:
    if not frequencies["terms"]:
        return "none"
    return (
        f"median {frequencies['median']:,}, 90 % up to {frequencies['p90']:,}, 99 % up to "
        f"{frequencies['p99']:,}, at most {frequencies['greatest']:,}; of {frequencies['terms']:,} "
        f"terms {frequencies['in_one_document']:,} in one document"
    )
