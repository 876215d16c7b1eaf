"""Workloads and engines, compared with scores computed by NumPy from the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from bench import synthetic, workloads
from bench.builds import _build
from bench.engines import OURS, PEERS

ENGINES = {engine.name: engine for engine in (*OURS, *PEERS)}
PACKAGES = {"VSAG": "pyvsag", "Seismic": "seismic"}
N_DOCS = 3000


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    name, size = "synthetic-tiny", workloads.SIZES
    size["tiny"] = N_DOCS
    yield workloads.synthetic_workload(name, tmp_path_factory.mktemp("cache"))
    del size["tiny"]


def dense_scores(workload, kind):
    return workload.queries(kind).toarray() @ workload.documents.toarray().T


def test_documents_are_the_generated_ones(workload):
    matrix, _ = synthetic.documents(N_DOCS)
    assert (workload.documents != sp.csr_array(matrix)).nnz == 0


@pytest.mark.parametrize("kind", ["splade", "inference-free"])
def test_recall(workload, kind):
    scores = dense_scores(workload, kind)
    best = np.argsort(-scores, axis=1)[:, : workloads.K]
    assert workload.recall(kind, list(best)) == 1
    worst = np.argsort(scores, axis=1)[:, : workloads.K]
    assert workload.recall(kind, list(worst)) == 0
    half = np.where(np.arange(workloads.K) < workloads.K // 2, best, worst)
    assert workload.recall(kind, list(half)) == pytest.approx(0.5, abs=0.03)  # ties count as good


def test_what_an_engine_fills_up_with_does_not_count(workload):
    nothing = np.array([-1, 10**15] * (workloads.K // 2))
    assert workload.recall("splade", [nothing] * workloads.N_QUERIES) == 0


@pytest.mark.parametrize("name", ENGINES)
def test_exact_settings_find_the_best(workload, tmp_path, name):
    for prefix, package in PACKAGES.items():
        if name.startswith(prefix):
            pytest.importorskip(package, reason=f"{package} is not installed")
    engine, kind = ENGINES[name], "splade"
    cost = _build(engine, workload, tmp_path)
    assert cost.n_bytes > 3 * workload.documents.nnz
    search = engine.open(tmp_path)
    queries = workload.queries(kind)
    for label, setting in engine.settings.items():
        found = []
        for row in range(queries.shape[0]):
            part = slice(*queries.indptr[row : row + 2])
            query = engine.prepare(queries.indices[part].astype(np.uint32), queries.data[part])
            found.append(np.asarray(search(query, workloads.K, setting), np.int64))
        is_exact = label == "exact" and name not in ("sparse_ir float16", "sparse_ir uint8")
        assert workload.recall(kind, found) >= (1 if is_exact else 0.9)
