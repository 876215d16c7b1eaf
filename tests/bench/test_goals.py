"""Ratios and their table, compared with what is computed by hand."""

from __future__ import annotations

import pytest

from bench import goals


def row(engine, setting, queries, recall, mean_ms, p99_ms=1.0):
    return {
        "engine": engine,
        "setting": setting,
        "queries": queries,
        "recall": recall,
        "mean_ms": mean_ms,
        "p99_ms": p99_ms,
    }


RESULT = {
    "workload": "synthetic-500k",
    "postings": 1000,
    "engines": [
        {"engine": "sparse_ir float16", "cpu_seconds": 6.0, "n_bytes": 5500, "open_ms": 5.0},
        {"engine": "VSAG SINDI", "cpu_seconds": 3.0, "n_bytes": 8000, "open_ms": 900.0},
    ],
    "limits": [{"queries": "splade", "ms": 0.1}],
    "rows": [
        row("sparse_ir float16", "exact", "splade", 0.9995, 0.5, p99_ms=1.0),
        row("sparse_ir float16", "bound_share 0.9", "splade", 0.991, 0.2),
        row("sparse_ir float16", "bound_share 0.5", "splade", 0.9, 0.01),
        row("sparse_ir float32", "exact", "splade", 1.0, 0.6),
        row("VSAG SINDI", "exact", "splade", 1.0, 2.0),
        row("VSAG SINDI", "query prune 0.2", "splade", 0.98, 0.1),
        row("VSAG SINDI, pruned + reorder", "query prune 0.5", "splade", 0.995, 0.4),
        row("numba scan", "exact", "splade", 1.0, 1.2),
    ],
}


def ratios(rows):
    return {one["what"]: one["ratios"]["synthetic-500k"]["ratio"] for one in rows}


def test_ratios():
    found = ratios(goals._rows([RESULT]))
    assert found == {
        "exact SPLADE-like / VSAG exact": pytest.approx(0.6 / 2.0),
        "exact SPLADE-like / numba scan": pytest.approx(0.6 / 1.2),
        "recall .99, SPLADE-like / fastest peer": pytest.approx(0.2 / 0.4),
        "p99 / mean, SPLADE-like": pytest.approx(1.0 / 0.5),
        "exact SPLADE-like / reading all its postings once": pytest.approx(0.5 / 0.1),
        "build CPU / VSAG": pytest.approx(2.0),
        "bytes on disk / non-zero": pytest.approx(5.5),
        "opening / 20 ms": pytest.approx(0.25),
    }


def test_growth_is_over_half_a_million():
    large = {
        "workload": "synthetic-4M",
        "rows": [row("sparse_ir float16", "bound_share 0.9", "splade", 0.995, 0.5)],
    }
    (found,) = [one for one in goals._growth([RESULT, large]) if one["ratios"]]
    assert found["ratios"]["synthetic-4M"]["ratio"] == pytest.approx(0.5 / 0.2)
    assert found["ratios"]["synthetic-500k"]["ratio"] == 1


def test_text():
    engines = {"sparse_ir anchored": 0.9, "sparse_ir learned": 0.6, "tantivy BM25": 1.0}
    rows = [{"engine": name, "mean_ms": ms} for name, ms in (engines | {"Lucene BM25": 3}).items()]
    tantivy, lucene = goals._text([{"workload": "titles", "rows": rows}])
    assert tantivy["ratios"]["titles-anchored"]["ratio"] == pytest.approx(0.9)
    assert lucene["ratios"]["titles-learned"]["ratio"] == pytest.approx(0.2)


def test_what_is_missed_is_bold():
    first = {"rows": list(goals._rows([RESULT]))}
    machine = {"kernel": "avx2", "processor": "A B"}
    table = goals.table({"kernels": [first, {**first, "machine": machine}]})
    one, other = table.split("\n\nKernel avx2, A B:\n\n")
    assert one == other
    assert "| build CPU / VSAG | 1.50 | **2.00** |" in table
    assert "| bytes on disk / non-zero | 6.00 | 5.50 |" in table
    assert "| exact SPLADE-like / reading all its postings once |  | 5.00 |" in table
