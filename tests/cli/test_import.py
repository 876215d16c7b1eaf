"""import, export, verify, optimize, info of vectors: each a real process."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir import Index, IndexWriter
from sparse_ir.export.npz import read_npz, write_npz
from sparse_ir.export.seismic import write_seismic

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


def test_vectors_with_their_model_are_found_by_text(cli, tmp_path, fables_jsonl_text):
    (tmp_path / "fables.jsonl").write_text(fables_jsonl_text)
    plain = ["--title-weight", "1", "--precision", "float32"]  # texts as encode reads them
    cli("index", "fables.jsonl", "--index", "whole", *plain)
    cli("encode", "fables.jsonl", "-o", "v.jsonl", "--precision", "float32")
    weight = ["--neighbour-weight", "0.7"]
    cli("import", "v.jsonl", "--model", "mini", *weight, "--index", "i")
    question = ["a raven looking for a drink", "--json", "--index"]
    expected, found = (
        [json.loads(line) for line in cli("search", *question, one).stdout.splitlines()]
        for one in ("whole", "i")
    )
    assert [hit["doc_id"] for hit in found] == [hit["doc_id"] for hit in expected]
    scores = [hit["score"] for hit in found]
    assert scores == pytest.approx([hit["score"] for hit in expected], rel=1e-4)
    assert "mini" in cli("info", "--index", "i").stdout
    cli("import", "v.jsonl", "--model", "mini", "--index", "as-given")
    with Index.open(tmp_path / "as-given") as index:
        for line in (tmp_path / "v.jsonl").read_text().splitlines():
            given = json.loads(line)
            row = index.vector(given["id"])[:, : index.n_terms].data.tolist()
            assert sorted(row) == pytest.approx(sorted(given["vector"].values()), rel=1e-6)
    assert "without --model" in cli.refuses("import", "v.jsonl", *weight, "--index", "j")

    (tmp_path / "more.jsonl").write_text('{"id": "x", "contents": "Zebra!", "vector": {"fox": 2}}')
    cli("import", "more.jsonl", "--index", "i")  # the index knows its model
    hit = json.loads(cli("search", "zebras", "--json", "--mode", "lexical", "--index", "i").stdout)
    assert hit["doc_id"] == "x"


@pytest.mark.parametrize("name", ["v.npz", "v.parquet"])
def test_what_encode_wrote_is_imported_by_number(cli, tmp_path, fables_jsonl_text, name):
    pytest.importorskip("pyarrow")
    (tmp_path / "fables.jsonl").write_text(fables_jsonl_text)
    cli("encode", "fables.jsonl", "-o", name, "--precision", "float32")
    cli("import", name, "--model", "mini", "--index", "numbers")
    found = cli("search", "a raven", "--json", "--mode", "learned", "--index", "numbers").stdout
    assert json.loads(found.splitlines()[0])["doc_id"] == "crow"


def test_vectors_of_another_vocabulary_are_refused(cli, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"id": ["a"], "indices": [[3]], "values": [[1.0]]}
    other = pa.table(columns).replace_schema_metadata({"n_terms": "9", "vocabulary": "other"})
    pq.write_table(other, tmp_path / "v.parquet")
    shown = cli.refuses("import", "v.parquet", "--model", "mini", "--index", "i")
    assert "another vocabulary" in shown
    cli("import", "v.parquet", "--index", "i")  # an index of vectors takes any
    assert set(stored(tmp_path / "i")) == {"a"}


@pytest.mark.parametrize("kind", ["npz", "bin"])
def test_a_failed_import_leaves_no_index(cli, tmp_path, kind):
    rows = np.ones((9000, 3), np.float32)  # more than a batch
    rows[8999, 1] = np.nan
    ids = [f"d{i}" for i in range(9000)]
    if kind == "npz":
        write_npz(tmp_path / "bad.npz", [(ids, sp.csr_array(rows))], 3)
    else:
        write_seismic(tmp_path / "bad.bin", [sp.csr_array(rows)], len(rows))
    assert "finite" in cli.refuses("import", f"bad.{kind}", "--index", "i")
    assert not (tmp_path / "i").exists()
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "notes.txt").write_text("mine")
    cli.refuses("import", f"bad.{kind}", "--index", "j")
    assert [file.name for file in (tmp_path / "j").iterdir()] == ["notes.txt"]

    good = sp.csr_array(np.ones((2, 3), np.float32))
    write_npz(tmp_path / "good.npz", [(["a", "b"], good)], 3)
    cli("import", "good.npz", "--index", "i")
    cli.refuses("import", f"bad.{kind}", "--index", "i")  # an index that was there stays
    assert set(stored(tmp_path / "i")) == {"a", "b"}


def test_an_id_of_two_batches_or_sources(cli, tmp_path):
    lines = [json.dumps({"id": str(i), "vector": {"x": 1}}) + "\n" for i in range(8300)]
    (tmp_path / "whole.jsonl").write_text("".join(lines))
    lines[8250] = lines[0]
    (tmp_path / "dup.jsonl").write_text("".join(lines))
    message = "dup.jsonl:8251: the id '0' of dup.jsonl:1 again came; want each id once"
    assert cli.refuses("import", "dup.jsonl", "--index", "i") == message
    message = cli.refuses("import", "whole.jsonl", "dup.jsonl", "--index", "i")
    assert message.startswith("dup.jsonl:1: the id '0' of whole.jsonl:1 again")
    assert not (tmp_path / "i").exists()


def test_texts_and_metadata_with_coarse_weights(cli, tmp_path):
    (tmp_path / "v.jsonl").write_text('{"id": "a", "vector": {"x": 1}, "year": 3}\n')
    (tmp_path / "w.jsonl").write_text('{"id": "b", "vector": {"x": 1}, "contents": "fox"}\n')
    coarse = ["--precision", "uint8", "--index", "i"]
    cli("import", "v.jsonl", *coarse)
    with Index.open(tmp_path / "i") as index:
        assert index.document("a").metadata == {"year": 3}
    message = cli.refuses("import", "w.jsonl", *coarse)
    assert message.startswith("w.jsonl:1: contents came for i, whose uint8 weights are too coarse")


@pytest.mark.parametrize("weight", ["NaN", "-1", "1e39", "Infinity", "1" + "0" * 400])
def test_bad_weights_are_said_with_their_place(cli, tmp_path, weight):
    good = '{"id": "a", "vector": {"x": 1}}\n'
    (tmp_path / "v.jsonl").write_text(good + '{"id": "b", "vector": {"x": ' + weight + "}}\n")
    message = cli.refuses("import", "v.jsonl", "--index", "i")
    assert message.startswith("v.jsonl:2: term 'x' with weight ")


def test_a_parquet_file_of_weights_past_float32(cli, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"id": ["a", "b"], "indices": [[3], [2]], "values": [[1.0], [1e39]]}
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    message = cli.refuses("import", "v.parquet", "--index", "i")
    assert message.startswith("v.parquet: row 1, term 2 has weight inf; want a finite weight")


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
    message = cli.refuses("import", source, "--language", "german", "--index", "j")
    assert "--language came without --model" in message
    with_model = ["--model", "mini", "--index", "j"]
    assert "leave it out" in cli.refuses("import", "wide.npz", "--terms", "99", *with_model)
    assert "has no term 'term00'" in cli.refuses("import", source, *with_model)
    assert not (tmp_path / "j").exists()
    message = cli.refuses("import", source, "--model", "mini", "--index", "i")
    assert "was built with model None" in message
    assert "greater --terms" in cli.refuses("import", "wide.npz", "--terms", "99", "--index", "i")
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
    assert facts["section_bytes"]["impacts"] == facts["postings"]
    assert facts["segment_bytes"] - sum(facts["section_bytes"].values()) < 2048  # headers, padding
    assert "row weights 4.00" in cli("info", "--index", "i").stdout
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
