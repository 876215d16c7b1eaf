"""import, export, verify, optimize, info of vectors: each a real process."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir import Index, IndexWriter
from sparse_ir.export.npz import read_npz

N, N_TERMS = 200, 60


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(4)
    matrix = sp.random_array((N, N_TERMS), density=0.1, rng=rng, dtype=np.float32, format="csr")
    matrix.data = np.ceil(matrix.data * 50)  # whole numbers: what every format can hold
    return matrix


@pytest.fixture
def source(tmp_path, matrix):
    """vectors.jsonl: term t is called by its letters."""
    with (tmp_path / "vectors.jsonl").open("w") as file:
        for i in range(N):
            row = matrix[[i]]
            pairs = zip(row.indices.tolist(), row.data.tolist(), strict=True)
            vector = {f"term{t:02d}": int(w) for t, w in pairs}
            file.write(json.dumps({"id": f"d{i}", "contents": "", "vector": vector}) + "\n")
    return tmp_path / "vectors.jsonl"


def stored(path):
    """{doc_id: dense row} of an index."""
    with Index.open(path) as index:
        index.verify()
        return {
            index.doc_ids(docs)[doc]: row
            for docs, weights in index.stored_vectors()
            for doc, row in zip(docs, weights.toarray().tolist(), strict=True)
        }


def test_every_format_comes_back_as_it_went(cli, tmp_path, matrix, source):
    done = cli("import", source, "--index", "first", "--json")
    assert json.loads(done.stdout)["imported"] == N
    expected = {f"d{i}": row for i, row in enumerate(matrix.toarray().tolist())}
    assert stored(tmp_path / "first") == expected
    with Index.open(tmp_path / "first") as index:
        assert index.term_names() == [f"term{t:02d}" for t in range(N_TERMS)]
    files = {"jsonvector": "v.jsonl", "ciff": "v.ciff", "npz": "v.npz", "seismic": "v.bin"}
    for name, file in files.items():
        arguments = ["--format", name, "--index", "first", "-o", file, "--scale", "1"]
        assert f"{N} documents in {file}" in cli("export", *arguments).stderr
        cli("import", file, "--index", name)
        found = stored(tmp_path / name)
        if name == "seismic":  # knows no ids
            found = {f"d{doc_id}": row for doc_id, row in found.items()}
        assert found == expected, name
    ids, again = read_npz(tmp_path / "v.npz")
    assert ids == list(expected)
    assert (again.toarray() == matrix.toarray()).all()


def test_a_second_import_replaces(cli, tmp_path, source):
    cli("import", source, "--index", "i")
    (tmp_path / "more.jsonl").write_text(
        '{"id": "d0", "contents": "kept", "vector": {"term07": 9}, "year": 3}\n'
        '{"id": "new", "vector": {"term08": 1}}\n'
    )
    cli("import", "more.jsonl", "--index", "i")
    with Index.open(tmp_path / "i") as index:
        assert len(index) == N + 1
        assert index.vector("d0").toarray()[0].nonzero()[0].tolist() == [7]
        assert (index.document("d0").text, index.document("d0").metadata) == ("kept", {"year": 3})


def test_tune_recall(cli, tmp_path, source):
    cli("import", source, "--index", "i")
    assert "not tuned" in cli("info", "--index", "i").stdout
    shown = cli("tune-recall", "--index", "i", "-k", "3", "-k", "5", "--documents", "60")
    assert "kept with the index: measured on 200 documents" in shown.stderr
    assert "share" in shown.stdout
    facts = json.loads(cli("info", "--index", "i", "--json").stdout)
    measured = facts["settings"]["recall"]
    assert {curve["k"] for curve in measured["curves"]} == {3, 5}
    about = cli("info", "--index", "i").stdout
    assert "tuned on 200 documents, sampled queries, up to 5 hits" in about
    cli("export", "--format", "npz", "--index", "i", "-o", "v.npz")
    again = json.loads(cli("tune-recall", "v.npz", "--index", "i", "--json").stdout)
    assert (again["queries"], again["n_docs"]) == ("given", N)


def test_refuses(cli, tmp_path, source):
    cli("import", source, "--index", "i")
    (tmp_path / "other.jsonl").write_text('{"id": "x", "vector": {"elsewhere": 1}}')
    assert "has no term 'elsewhere'" in cli.refuses("import", "other.jsonl", "--index", "i")
    sp.save_npz(tmp_path / "wide.npz", sp.csr_array((1, 99), dtype=np.float32))
    assert "has 60 terms, the source 99" in cli.refuses("import", "wide.npz", "--index", "i")
    assert "want one kind" in cli.refuses("import", source, "wide.npz", "--index", "j")
    assert "--terms is 5" in cli.refuses("import", "wide.npz", "--terms", "5", "--index", "j")
    assert "leave it out" in cli.refuses("import", source, "--terms", "5", "--index", "j")
    assert "No such file" in cli.refuses("import", "nothing.npz", "--index", "j")
    assert not (tmp_path / "j").exists()
    with Index.open(tmp_path / "i") as index:
        assert len(index) == N


def test_verify_optimize_info(cli, tmp_path, matrix, source):
    cli("import", source, "--index", "i")
    with IndexWriter.open(tmp_path / "i") as writer:
        writer.delete(["d3", "d4"])
    assert "good: 198 documents" in cli("verify", "--index", "i").stderr
    facts = json.loads(cli("info", "--index", "i", "--json").stdout)
    living = np.delete(matrix.toarray(), [3, 4], axis=0)
    frequencies = np.count_nonzero(living, axis=0)
    assert facts["deleted"] == 2
    assert facts["document_frequencies"] == {
        "terms": N_TERMS,
        "in_one_document": int((frequencies == 1).sum()),
        "median": int(np.sort(frequencies)[(N_TERMS - 1) // 2]),
        "p90": int(np.quantile(frequencies, 0.9, method="lower")),
        "p99": int(np.quantile(frequencies, 0.99, method="lower")),
        "greatest": int(frequencies.max()),
    }
    assert "2 deleted documents dropped" in cli("optimize", "--index", "i").stderr
    shown = cli("info", "--index", "i").stdout
    assert "198 (0 deleted" in shown
    assert "198 documents" in shown
    (segment,) = (tmp_path / "i").glob("segment-*.sir")
    content = bytearray(segment.read_bytes())
    content[-1] ^= 1
    segment.write_bytes(content)
    assert segment.name in cli.refuses("verify", "--index", "i")
