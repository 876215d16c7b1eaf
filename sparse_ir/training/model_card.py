"""A model's README: what it was trained on, how, and what it was measured to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sparse_ir.training.config import TeacherTable, TrainConfig
from sparse_ir.training.mixture import TaughtSet

_TABLES = (
    "loss",
    "sparsity",
    "batch",
    "pretraining",
    "optimizer",
    "distillation",
    "query_fit",
    "selection",
)
_HEAD = """---
{licence}library_name: sparse-ir
pipeline_tag: feature-extraction
tags: [sparse-ir, learned-sparse-retrieval, splade]
---
# {name}

A learned sparse retriever: documents are encoded by a network, queries {queries}.
It was trained from `{start}`. {origin}

    sparse-ir index docs.jsonl --model FOLDER
    sparse-ir search "your question"
"""


@dataclass(frozen=True, slots=True)
class DataReport:
    """What a card says of one training set."""

    name: str
    documents: int
    labelled_queries: int
    pseudo_queries: int
    weights: Sequence[float]
    licence: str


def data_reports(sets: Sequence[TaughtSet], config: TrainConfig) -> list[DataReport]:
    """One report a training set, in the order of the configuration."""
    return [
        DataReport(
            taught.examples.name,
            len(taught.examples.documents),
            taught.examples.n_labelled,
            len(taught.examples.queries) - taught.examples.n_labelled,
            taught.weights,
            table.licence,
        )
        for taught, table in zip(sets, config.data, strict=True)
    ]


def model_card(
    config: TrainConfig,
    data: Sequence[DataReport],
    measured: Mapping[str, float],
    *,
    name: str,
    anchor_weight: float,
    origin: str,
) -> str:
    """The card in Markdown.

    Args:
        config: Of the run.
        data: What was learned from.
        measured: As ``StudentTrainer.validate`` gives it; may be empty.
        name: Of the model.
        anchor_weight: g of anchored search.
        origin: A sentence: which checkpoints it is.
    """
    table = config.model
    head = _HEAD.format(
        name=name,
        licence=f"license: {table.licence}\n" if table.licence else "",
        queries="by a table of term weights" if table.queries == "lookup" else "likewise",
        start=table.start,
        origin=origin,
    )
    teachers = ", ".join(_teacher(one) for one in config.teachers)
    lines = [head, "## Data", "", f"Teachers: {teachers}.", ""]
    lines += [
        "| set | documents | labelled queries | pseudo-queries | teacher weights | licence |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.documents} | {one.labelled_queries} | {one.pseudo_queries} "
        f"| {', '.join(f'{w:.2f}' for w in one.weights)} | {one.licence or 'not given'} |"
        for one in data
    ]
    lines += ["", "## Settings", "", f"- anchor weight g = {anchor_weight:.3f}"]
    lines += [f"- {key} = {value}" for key, value in _settings(config)]
    if measured:
        lines += ["", "## Measured on dev sets, by search in a real index", ""]
        lines += ["| what | value |", "|---|---|"]
        lines += [f"| {name} | {value:.4f} |" for name, value in measured.items()]
    return "\n".join(lines) + "\n"


def _teacher(table: TeacherTable) -> str:
    return table.kind if table.kind in ("bm25", "file") else f"{table.kind} `{table.model}`"


def _settings(config: TrainConfig) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = [
        (f"model.{key}", getattr(config.model, key))
        for key in ("queries", "max_length", "prune_ratio", "chunk", "lora_rank")
    ]
    found += [("language", config.language), ("title_weight", config.title_weight)]
    return found + [
        (f"{table}.{key}", value)
        for table in _TABLES
        for key, value in getattr(config, table).model_dump().items()
    ]
