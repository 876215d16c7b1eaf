"""JsonVectorCollection and impact topics, line by line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.errors import InvalidInputError
from sparse_ir.export.impacts import Impacts
from sparse_ir.export.jsonl import write_impact_topics, write_json_vectors

NAMES = ["fox", "##s", "Ä"]
BATCHES = [
    Impacts(["a", "b"], sp.csr_array(np.array([[2, 0, 1], [0, 0, 0]]))),
    Impacts(["c"], sp.csr_array(np.array([[0, 3, 0]]))),
]


def names(terms):
    return {term: NAMES[term] for term in terms.tolist()}


def test_documents(tmp_path):
    told = []
    n = write_json_vectors(
        tmp_path / "v.jsonl",
        BATCHES,
        names,
        lambda ids: {"a": "text of a"},
        on_progress=told.append,
    )
    assert n == 3
    assert told == [2, 1]
    lines = (tmp_path / "v.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "a", "contents": "text of a", "vector": {"fox": 2, "Ä": 1}},
        {"id": "b", "contents": "", "vector": {}},
        {"id": "c", "contents": "", "vector": {"##s": 3}},
    ]


def test_queries(tmp_path):
    write_impact_topics(tmp_path / "t.tsv", BATCHES[0], names)
    assert (tmp_path / "t.tsv").read_text(encoding="utf-8") == "a\tfox fox Ä\nb\t\n"
    with pytest.raises(InvalidInputError, match="query id 'x y' holds white space"):
        write_impact_topics(tmp_path / "u.tsv", Impacts(["x y"], BATCHES[1].matrix), names)
    assert not (tmp_path / "u.tsv").exists()
