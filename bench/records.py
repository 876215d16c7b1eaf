"""Results files: a line a measurement, only ever added to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
Record = dict[str, Any]


def path(bench: str) -> Path:
    """The file of a bench."""
    return FOLDER / f"{bench}.jsonl"


def add(record: Record) -> None:
    """The record is in the file of its bench."""
    with path(record["bench"]).open("a") as file:
        file.write(json.dumps(record) + "\n")


def read(bench: str) -> list[Record]:
    """All records of a bench, the oldest first."""
    lines = path(bench).read_text().splitlines() if path(bench).is_file() else []
    return [json.loads(line) for line in lines]


def latest(bench: str) -> dict[str, list[Record]]:
    """By kernel, the one with most workloads first: the last record of each, the smallest first."""
    records = [record for record in read(bench) if "workload" in record]
    last = {(record["machine"]["kernel"], record["workload"]): record for record in records}
    by_kernel: dict[str, list[Record]] = {}
    for (kernel, _), record in sorted(last.items(), key=lambda item: int(item[1]["docs"])):
        by_kernel.setdefault(kernel, []).append(record)
    return dict(sorted(by_kernel.items(), key=lambda item: -len(item[1])))
