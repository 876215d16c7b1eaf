"""Indexes of all engines: each built in a process of its own, measured, and kept."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.engines.engine import Engine
from bench.workloads import Workload

_FACTS = "built.json"
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class Built:
    """What building took on one thread, and what it made."""

    version: str
    cpu_seconds: float
    n_bytes: int


def built(engine: Engine, workload: Workload) -> tuple[Path, Built]:
    """The folder of the engine's index, made unless one of its present version is there."""
    folder = workload.folder / "indexes" / engine.name.replace(" ", "-").replace(",", "")
    facts = folder / _FACTS
    if facts.is_file():
        known = Built(**json.loads(facts.read_text()))
        if known.version == engine.version():
            return folder / "index", known
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "index").mkdir(parents=True)
    result = _in_another_process(engine, workload, folder / "index")
    facts.write_text(json.dumps(asdict(result)))
    return folder / "index", result


def _in_another_process(engine: Engine, workload: Workload, folder: Path) -> Built:
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_build, engine, workload, folder).result()


def _build(engine: Engine, workload: Workload, folder: Path) -> Built:
    documents = workload.documents
    start = time.process_time()
    engine.build(documents, folder)
    seconds = time.process_time() - start
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Built(engine.version(), seconds, n_bytes)
