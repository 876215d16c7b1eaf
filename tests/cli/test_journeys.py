"""index, search, explain, info, encode, init-head with the shipped model, each a real process."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import scipy.sparse as sp

pytestmark = pytest.mark.model


@pytest.fixture
def search(cli, fables_index):
    def run(*arguments):
        lines = cli("search", *arguments, "--json", cwd=fables_index).stdout.splitlines()
        return [json.loads(line) for line in lines]

    return run


def test_search_finds_what_words_miss(search):
    best = search("raven looking for a drink", "-k", "1")[0]
    assert best["doc_id"] == "crow"
    assert best["rank"] == 1
    assert best["metadata"] == {"number": 1}
    assert best["title"] == "The crow and the pitcher"
    assert search("raven looking for a drink", "--mode", "lexical") == []


def test_filter_and_explain(search):
    (hit,) = search("fox hare wolf", "--filter", "number in (2, 9)", "--explain")
    assert hit["doc_id"] == "fox"
    explained = sum(match["product"] for match in hit["explanation"])
    assert explained == pytest.approx(hit["score"], rel=1e-5)
    assert {match["block"] for match in hit["explanation"]} == {"lexical", "learned"}


def test_hits_for_people(cli, fables_index):
    below = fables_index / "deeper" / "still"
    below.mkdir(parents=True, exist_ok=True)
    shown = cli("search", "golden eggs", "--explain", cwd=below, NO_COLOR="1").stdout
    assert "goose  The golden eggs" in shown
    assert "lays golden eggs" in shown
    assert "number=5" in shown
    assert "lexical" in shown
    assert "\x1b[" not in shown


def test_no_hits(cli, fables_index):
    done = cli("search", "qqqq", cwd=fables_index)
    assert (done.stdout, done.stderr.strip()) == ("", "no hits")
    for filter, n in (("number > '1'", 0), ("number > 3", 2)):
        done = cli("search", "qqqq", "--filter", filter, cwd=fables_index)
        assert done.stdout == ""
        assert done.stderr.strip() == f"no hits; the filter matches {n} of 5 documents"


def test_info(cli, fables_index):
    facts = json.loads(cli("info", "--json", cwd=fables_index).stdout)
    assert facts["documents"] == 5
    assert facts["settings"]["model"] == "mini"
    assert facts["fields"] == ["number"]
    shown = cli("info", cwd=fables_index).stdout
    assert "5 (0 deleted" in shown
    assert "2.00 at this length; the model's is 0.6" in shown  # .6 / .3: fables of some ten words


def test_second_run_and_standard_input(cli, fables_index, tmp_path):
    again = cli("index", "fables.jsonl", "--json", cwd=fables_index)
    assert json.loads(again.stdout)["unchanged"] == 5
    one = '{"id": "x", "text": "bears like honey"}\n'
    done = cli("index", "-", "--index", tmp_path / "i", "--language", "none", stdin=one)
    assert "1 added, 0 updated, 0 unchanged" in done.stderr
    assert cli("search", "honey", "--index", tmp_path / "i").stdout


def test_sync(cli, fables_index, tmp_path):
    shutil.copy(fables_index / "fables.jsonl", tmp_path)
    lines = (tmp_path / "fables.jsonl").read_text().splitlines(keepends=True)
    done = json.loads(cli("index", "fables.jsonl", "--json").stdout)
    assert (done["added"], "removed" in done) == (5, False)
    (tmp_path / "fables.jsonl").write_text("".join(lines[1:]))
    done = json.loads(cli("index", "fables.jsonl", "--sync", "--json").stdout)
    assert (done["unchanged"], done["removed"]) == (4, 1)
    done = cli("index", "-", "--sync", stdin=lines[2])
    assert "0 added, 0 updated, 1 unchanged, 3 removed in" in done.stderr
    assert json.loads(cli("info", "--json").stdout)["documents"] == 1


def test_encode_both_sides_and_forms(cli, fables_index, tmp_path):
    cli("encode", fables_index / "fables.jsonl", "-o", tmp_path / "v.npz")
    matrix = sp.load_npz(tmp_path / "v.npz")
    with np.load(tmp_path / "v.npz", allow_pickle=False) as arrays:
        assert arrays["ids"].tolist() == ["crow", "fox", "hare", "wolf", "goose"]
    assert matrix.shape == (5, 30522)
    cli("encode", fables_index / "fables.jsonl", "-o", tmp_path / "v.jsonl")
    records = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert records[1]["id"] == "fox"
    assert records[1]["contents"].startswith("The fox and the grapes A fox")
    assert len(records[1]["vector"]) == matrix[[1]].nnz
    assert max(records[1]["vector"].values()) == pytest.approx(matrix[[1]].max(), abs=1e-5)
    (tmp_path / "q.tsv").write_text("1\tgolden eggs\n")
    cli("encode", tmp_path / "q.tsv", "-o", tmp_path / "q.jsonl", "--queries")
    (query,) = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
    assert set(query["vector"]) == {"golden", "eggs"}


def test_init_head_makes_a_model_that_index_takes(cli, tmp_path):
    texts = "".join(f'{{"id": "{i}", "text": "text number {i} of many"}}\n' for i in range(60))
    (tmp_path / "texts.jsonl").write_text(texts)
    cli("init-head", "texts.jsonl", "-o", "own", "--max-length", "16", "--anchor-weight", "0.2")
    assert json.loads((tmp_path / "own" / "model.json").read_text())["anchor_weight"] == 0.2
    done = cli("index", "texts.jsonl", "--model", tmp_path / "own", "--json")
    assert json.loads(done.stdout)["added"] == 60
    assert cli("search", "number 7", "-k", "1").stdout
    refused = cli.refuses("index", "texts.jsonl")
    assert "was built with model" in refused


def test_documents_are_deleted_together_or_not_at_all(cli, fables_index, tmp_path):
    folder = shutil.copytree(fables_index, tmp_path / "own")
    lines = (folder / "fables.jsonl").read_text().splitlines()
    ids = [json.loads(line)["_id"] for line in lines]
    refused = cli.refuses("delete", ids[0], "nobody", cwd=folder)
    assert "no document 'nobody' in" in refused
    refused = cli.refuses("delete", ids[0], "\udcff", cwd=folder)  # the byte 0xff, no UTF-8
    assert r"no document '\udcff' in" in refused
    assert json.loads(cli("info", "--json", cwd=folder).stdout)["documents"] == 5
    done = cli("delete", ids[0], ids[1], ids[0], cwd=folder)
    assert "2 deleted, 3 left" in done.stderr
    assert json.loads(cli("info", "--json", cwd=folder).stdout)["documents"] == 3
    titles = " ".join(json.loads(line)["title"] for line in lines)
    shown = cli("search", titles, "--json", "-k", "9", cwd=folder).stdout.splitlines()
    assert {json.loads(line)["doc_id"] for line in shown} == set(ids[2:])
