"""Results files: a line a measurement, only ever added to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
Record = dict[str, Any]


def add(record: Record) -> None:
    """The record is in the file of its bench."""
    with (FOLDER / f"{record['bench']}.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")


def latest(bench: str) -> dict[str, list[Record]]:
    """By kernel, the one with most workloads first: the last record of each, the smallest first."""
    path = FOLDER / f"{bench}.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    records = [record for record in map(json.loads, lines) if "workload" in record]
    last = {(record["machine"]["kernel"], record["workload"]): record for record in records}
    by_kernel: dict[str, list[Record]] = {}
    for (kernel, _), record in sorted(last.items(), key=lambda item: int(item[1]["docs"])):
        by_kernel.setdefault(kernel, []).append(record)
    return dict(sorted(by_kernel.items(), key=lambda item: -len(item[1])))
