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


def latest(bench: str) -> list[Record]:
    """The last record of each workload, the smallest first."""
    path = FOLDER / f"{bench}.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    records = [record for record in map(json.loads, lines) if "workload" in record]
    last = {record["workload"]: record for record in records}
    return sorted(last.values(), key=lambda record: int(record["docs"]))
