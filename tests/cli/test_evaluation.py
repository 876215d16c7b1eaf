"""run, eval, compare, export: a collection measured from the command line."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import scipy.sparse

from sparse_ir.evaluation.trec import read_run
from sparse_ir.export.ciff import read_ciff

QUERIES = {"1": "raven looking for a drink", "2": "sour grapes", "3": "slow winner"}
QRELS = {"1": "crow", "2": "fox", "3": "hare"}


@pytest.fixture
def toy(tmp_path, fables_jsonl_text):
    folder = tmp_path / "toy"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(fables_jsonl_text)
    lines = [json.dumps({"_id": key, "text": text}) for key, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    rows = [f"{query}\t{doc}\t1" for query, doc in QRELS.items()]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return folder


@pytest.fixture
def toy_run(tmp_path):
    """Writes a run that ranks as said, {query: documents}."""

    def write(name, ranking):
        lines = [
            f"{query} Q0 {doc} {rank} {-rank} t\n"
            for query, docs in ranking.items()
            for rank, doc in enumerate(docs, 1)
        ]
        (tmp_path / name).write_text("".join(lines))
        return name

    return write


@pytest.fixture
def index(fables_index):
    return fables_index / ".sparse-ir"


@pytest.mark.model
class TestWithTheModel:
    def test_eval_builds_once_and_measures(self, cli, toy, tmp_path, index):
        pytest.importorskip("tantivy", reason="the extra eval is not installed")
        pytest.importorskip("matplotlib", reason="the extra eval is not installed")
        arguments = ["eval", toy, "--cache", tmp_path / "cache", "-o", "out.jsonl"]
        table = cli(*arguments, "--plot", "p.svg").stdout
        assert "toy (test): 5 documents, 3 queries" in table
        for word in ("anchored", "nDCG@10", "R@1000", "p vs bm25", "FLOPS", "index MiB"):
            assert word in table
        assert "<svg" in (tmp_path / "p.svg").read_text()
        stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.sir")}
        (record,) = cli(*arguments, "--json").stdout.splitlines()
        assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.sir")}
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
        systems = json.loads(record)["systems"]
        assert systems["bm25"]["measures"]["R@100"] == pytest.approx(2 / 3)  # none has "bird"
        cli("run", toy, "-o", "r", "--index", index)  # of the same documents
        run = cli("eval", "--run", "r", "--qrels", toy / "qrels" / "test.tsv", "--json").stdout
        assert json.loads(run)["systems"]["r"]["measures"] == systems["anchored"]["measures"]
        assert set(systems["learned"]["cost"]) >= {"index_bytes", "flops", "terms_a_query"}

    def test_many_collections_have_an_average(self, cli, toy, tmp_path):
        pytest.importorskip("tantivy", reason="the extra eval is not installed")
        arguments = ["--retrievers", "bm25", "--cache", tmp_path / "c"]
        shown = cli("eval", toy, toy, *arguments).stdout
        assert "average of 2 collections" in shown
        files = ["--corpus", toy / "corpus.jsonl", "--topics", toy / "queries.jsonl"]
        same = cli("eval", *files, "--qrels", toy / "qrels" / "test.tsv", *arguments, "--json")
        systems = json.loads(same.stdout)["systems"]
        assert systems["bm25"]["measures"]["R@100"] == pytest.approx(2 / 3)

    @pytest.mark.parametrize("format", ["trec", "msmarco", "jsonl"])
    def test_run_is_what_search_finds(self, cli, toy, tmp_path, index, format):
        cli("run", toy, "-o", "r", "--index", index, "--format", format, "-k", "2", "--threads", 2)
        run = read_run(tmp_path / "r")
        assert set(run) == set(QUERIES)
        for query_id, text in QUERIES.items():
            lines = cli("search", text, "-k", "2", "--json", "--index", index).stdout.splitlines()
            assert list(run[query_id]) == [json.loads(line)["doc_id"] for line in lines]

    def test_run_by_tantivy_and_trec_topics(self, cli, tmp_path, index):
        pytest.importorskip("tantivy", reason="the extra eval is not installed")
        (tmp_path / "t.txt").write_text("<top>\n<num> Number: 9\n<title> sour grapes\n</top>\n")
        arguments = ["--index", index, "--retriever", "bm25", "--cache", tmp_path / "c"]
        cli("run", "t.txt", "-o", "r.trec", *arguments, "--tag", "mine")
        (line,) = (tmp_path / "r.trec").read_text().splitlines()
        assert line.startswith("9 Q0 fox 1 ")
        assert line.endswith(" mine")

    def test_compare_says_why(self, cli, toy, toy_run, index):
        toy_run("a", {"1": ["wolf", "crow"], "2": ["fox"], "3": ["hare"]})
        toy_run("b", {"1": ["crow", "wolf"], "2": ["goose", "fox"], "3": ["hare"]})
        arguments = ["compare", "a", "b", "--qrels", toy / "qrels" / "test.tsv", "--topics", toy]
        shown = cli(*arguments, "--index", index, "--measure", "MRR@10").stdout
        assert "1 wins, 1 losses, 1 ties" in shown
        assert "raven looking for a drink" in shown
        assert "crow  rank 2 against rank 1" in shown
        assert "learned" in shown
        record = json.loads(cli(*arguments, "--index", index, "--json").stdout)
        (lost,) = record["lost"]
        assert lost["query_id"] == "1"
        assert lost["relevant"]["doc_id"] == "crow"
        assert lost["intruder"]["doc_id"] == "wolf"
        assert lost["relevant"]["explanation"][0]["product"] > 0

    def test_export(self, cli, toy, tmp_path, index):
        cli("export", "-o", "v.jsonl", "--index", index)
        cli("export", "-o", "v.ciff", "--format", "ciff", "--index", index)
        cli("export", "-o", "t.tsv", "--format", "topics", "--queries", toy, "--index", index)
        records = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
        assert [record["id"] for record in records] == ["crow", "fox", "hare", "wolf", "goose"]
        assert records[1]["contents"].startswith("The fox and the grapes")
        assert "w:fox" in records[1]["vector"]
        assert "fox" in records[1]["vector"]
        ciff = read_ciff(tmp_path / "v.ciff")
        assert ciff.ids == [record["id"] for record in records]
        for row, record in enumerate(records):
            vector = ciff.weights[[row]].toarray()[0]
            named = {ciff.terms[j]: vector[j] for j in np.flatnonzero(vector)}
            assert named == record["vector"]
        topics = dict(line.split("\t") for line in (tmp_path / "t.tsv").read_text().splitlines())
        assert set(topics) == set(QUERIES)
        assert {"grapes", "w:grape"} <= set(topics["2"].split())
        cli("export", "-o", "l.jsonl", "--mode", "lexical", "--scale", "1000", "--index", index)
        first = json.loads((tmp_path / "l.jsonl").read_text().splitlines()[0])
        assert "thirsti" in first["vector"]
        assert "w:thirsti" not in first["vector"]

    def test_exported_vectors_come_back(self, cli, tmp_path, index):
        for mode in ("learned", "anchored"):
            cli("export", "-o", f"{mode}.npz", "--format", "npz", "--mode", mode, "--index", index)
        whole, learned = (
            scipy.sparse.load_npz(tmp_path / f"{mode}.npz") for mode in ("anchored", "learned")
        )
        np.testing.assert_array_equal(whole[:, : learned.shape[1]].toarray(), learned.toarray())
        assert learned.nnz < whole.nnz
        cli("import", "learned.npz", "--model", "mini", "--index", "again")
        found = cli("search", "grapes", "--index", "again", "--json").stdout.splitlines()
        assert json.loads(found[0])["doc_id"] == "fox"


def test_export_of_raw_vectors(cli, tmp_path):
    from sparse_ir import IndexWriter

    for names, expected in ((None, ["1", "3"]), (["a", "b", "c", "d"], ["b", "d"])):
        path = tmp_path / expected[0]
        with IndexWriter.create(path, n_terms=4, term_names=names) as writer:
            writer.add_vectors(np.array([[0, 0.5, 0, 2]], np.float32), ["x"])
        cli("export", "-o", "v.jsonl", "--index", path)
        record = json.loads((tmp_path / "v.jsonl").read_text())
        vector = dict(zip(expected, [50, 200], strict=True))
        assert record == {"id": "x", "contents": "", "vector": vector}


def test_eval_of_runs(cli, toy, toy_run):
    toy_run("a.run", {"1": ["wolf", "crow"], "2": ["fox"]})
    toy_run("b.run", {"1": ["crow"], "2": ["fox"], "3": ["hare"]})
    qrels = toy / "qrels" / "test.tsv"
    arguments = ["eval", "--run", "a.run", "--run", "b.run", "--qrels", qrels]
    table = cli(*arguments, "--measures", "MRR@10,P@1").stdout
    assert "0/2" in table
    record = json.loads(cli(*arguments, "--json").stdout)
    assert "model" not in record
    assert record["systems"]["a.run"]["measures"]["MRR@10"] == pytest.approx(0.5)
    assert record["systems"]["b.run"]["measures"]["nDCG@10"] == 1.0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's full disk")
def test_tables_are_printed_before_a_full_disk_is_met(cli, toy, toy_run):
    toy_run("a.run", {"1": ["crow"]})
    arguments = ["eval", "--run", "a.run", "--qrels", toy / "qrels" / "test.tsv"]
    done = cli(*arguments, "-o", "/dev/full", expect=2)
    assert "a.run" in done.stdout
    assert "No space left" in done.stderr


class TestBadInput:
    def test_what_is_wrong_is_said_before_anything_is_built(self, cli, toy, tmp_path):
        pytest.importorskip("matplotlib", reason="the extra eval is not installed")
        (tmp_path / "file").write_text("")
        for wrong, message in [
            (["-o", "nowhere/x.jsonl"], "No such file or directory: 'nowhere'"),
            (["-o", toy], "Is a directory"),
            (["-o", "file/x.jsonl"], "Not a directory: 'file/x.jsonl'"),
            (["--plot", "nowhere/x.svg"], "No such file or directory: 'nowhere'"),
            (["-k", 0], "k is 0; want an integer >= 1"),
            (["--threads", -1], "threads is -1"),
            (["--measures", ","], "no measure came"),
        ]:
            assert message in cli.refuses("eval", toy, "--cache", "made", *wrong)
            assert not (tmp_path / "made").exists()

    def test_eval(self, cli, toy, toy_run):
        qrels = toy / "qrels" / "test.tsv"
        assert "no judgements qrels/dev.tsv" in cli.refuses("eval", toy, "--split", "dev")
        assert "retriever is 'bm52'" in cli.refuses("eval", toy, "--retrievers", "bm52")
        assert "measure is 'XYZ'" in cli.refuses("eval", toy, "--measures", "XYZ")
        assert "baseline is 'x'" in cli.refuses("eval", toy, "--baseline", "x")
        assert "0 sources came" in cli.refuses("eval")
        assert "1 sources came, and 1 of" in cli.refuses("eval", toy, "--qrels", qrels)
        assert "want a name that ends in" in cli.refuses("eval", toy, "--plot", "p.txt")
        assert "--run came without --qrels" in cli.refuses("eval", "--run", "r")
        toy_run("r", {"1": ["a"]})
        bad = toy / "bad.tsv"
        bad.write_text("1\tcrow\t1\n2\tfox\n")
        assert "bad.tsv:2: 2 columns" in cli.refuses("eval", "--run", "r", "--qrels", bad)
        (toy / "r").write_text("1 Q0 crow 1\n")
        assert "r:1: 4 columns" in cli.refuses("eval", "--run", toy / "r", "--qrels", qrels)
        plain = ["eval", "--run", "r", "--qrels", qrels]
        assert "come from systems" in cli.refuses(*plain, "--plot", "p.png")
        line = cli.refuses(*plain, toy, "--corpus", toy, "-k", 5, "--model", "mini")
        assert "a source, --corpus, --model, --hits came with --run" in line
        line = cli.refuses("eval", "irds:vaswani", "--split", "dev")
        assert "--split came with something else than BEIR folders" in line

    def test_run(self, cli, toy, tmp_path):
        (tmp_path / "t").write_text("<top>\n<num> 1\n</top>\n")
        assert "t:3: topic 1 without text" in cli.refuses("run", "t", "-o", "r")
        assert "retriever is 'x'" in cli.refuses("run", toy, "-o", "r", "--retriever", "x")
        assert "k is 0; want an integer" in cli.refuses("run", toy, "-o", "r", "-k", 0)
        assert "Is a directory" in cli.refuses("run", toy, "-o", tmp_path)
        assert "no index at" in cli.refuses("run", toy, "-o", "r", "--index", tmp_path)
        assert not (tmp_path / "r").exists()

    def test_compare(self, cli, toy, toy_run, tmp_path):
        toy_run("a", {"1": ["crow"]})
        qrels = ["--qrels", toy / "qrels" / "test.tsv"]
        assert "without --topics" in cli.refuses("compare", "a", "a", *qrels, "--index", "i")
        line = cli.refuses("compare", "a", "a", *qrels, "--worst", -1)
        assert "worst is -1; want an integer >= 0" in line
        (tmp_path / "q.tsv").write_text("1\tone\n")
        line = cli.refuses("compare", "a", "a", *qrels, "--topics", "q.tsv")
        assert "judged query '2' is missing" in line

    def test_export(self, cli, toy, tmp_path):
        line = cli.refuses("export", "-o", "x", "--format", "topics")
        assert "one without the other" in line
        assert "one without the other" in cli.refuses("export", "-o", "x", "--queries", toy)
        assert "no index at" in cli.refuses("export", "-o", "x", "--index", tmp_path)
        assert "Is a directory" in cli.refuses("export", "-o", ".", "--index", tmp_path)
