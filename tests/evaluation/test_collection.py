"""Test collections from BEIR folders, single files and ir_datasets."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

from sparse_ir.corpus import Document, Query
from sparse_ir.errors import DataFormatError, InvalidInputError, MissingDependencyError
from sparse_ir.evaluation.collection import from_files, read_collection


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "toy"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "Fox", "text": "runs"}\n{"_id": "d2", "title": "", "text": ""}\n'
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "fox"}\n{"_id": "q2", "text": "unjudged"}\n'
    )
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq9\td1\t1\n")
    return folder


def test_beir_folder(beir):
    collection = read_collection(str(beir))
    assert (collection.name, collection.split) == ("toy", "test")
    assert collection.queries == [Query("q1", "fox")]
    assert collection.qrels == {"q1": {"d1": 1}}
    assert list(collection.documents()) == [Document("d1", "runs", "Fox"), Document("d2", "", "")]
    assert list(collection.documents()) == list(collection.documents())


@pytest.mark.filterwarnings("ignore")  # it leaves its files open
def test_beirs_own_loader_reads_the_same(beir):
    loader = pytest.importorskip("beir.datasets.data_loader", reason="beir is not installed")
    corpus, queries, qrels = loader.GenericDataLoader(str(beir)).load(split="test")
    collection = read_collection(str(beir))
    assert corpus == {d.doc_id: {"text": d.text, "title": d.title} for d in collection.documents()}
    assert queries == {query.query_id: query.text for query in collection.queries}
    assert qrels == collection.qrels


def test_errors(beir, tmp_path):
    with pytest.raises(InvalidInputError, match=r"qrels/train.tsv; want .*: dev, test"):
        read_collection(str(beir), "train")
    with pytest.raises(DataFormatError, match="1 judged queries are missing, 'q9' for one"):
        read_collection(str(beir), "dev")
    with pytest.raises(FileNotFoundError):
        read_collection(str(tmp_path / "nowhere"))
    with pytest.raises(InvalidInputError, match="none here"):
        read_collection(str(tmp_path))


def test_splits_are_named_by_whole_files(beir):
    """Dots belong to a split's name, and a copy that an editor left is none."""
    folder = beir / "qrels"
    judgements = (folder / "test.tsv").read_text()
    for name in ("test.tsv.bak", "test.tsv~", "old.tsv.orig"):
        (folder / name).write_text(judgements.replace("d1", "d2"))
    (folder / "dev.small.tsv").write_text(judgements)
    with gzip.open(folder / "packed.part.tsv.gz", "wt") as file:
        file.write(judgements)
    with gzip.open(folder / "test.tsv.gz", "wt") as file:
        file.write(judgements.replace("d1", "d2"))
    (folder / "dev.tsv").unlink()
    for split in ("test", "dev.small", "packed.part"):
        assert read_collection(str(beir), split).qrels == {"q1": {"d1": 1}}
    for split in ("dev", "old", "test.tsv"):
        with pytest.raises(InvalidInputError, match=r"splits: dev.small, packed.part, test$"):
            read_collection(str(beir), split)


def test_a_corpus_that_can_be_read_once_is_refused(tmp_path):
    (tmp_path / "t.tsv").write_text("1\tfox\n")
    (tmp_path / "q.txt").write_text("1 0 d1 1\n")
    for corpus in ("-", Path("-")):
        with pytest.raises(InvalidInputError, match="the corpus is '-'.*; want a file or folder"):
            from_files(corpus, tmp_path / "t.tsv", tmp_path / "q.txt")


def test_single_files(tmp_path):
    (tmp_path / "c.tsv").write_text("d1\ta fox\n")
    (tmp_path / "t.trec").write_text("<top><num>1<title>fox</top>\n")
    (tmp_path / "q.txt").write_text("1 0 d1 1\n")
    collection = from_files(tmp_path / "c.tsv", tmp_path / "t.trec", tmp_path / "q.txt")
    assert collection.name == "c"
    assert collection.queries == [Query("1", "fox")]
    assert [document.doc_id for document in collection.documents()] == ["d1"]


def test_ir_datasets(tmp_path):
    ir_datasets = pytest.importorskip("ir_datasets", reason="ir-datasets is not installed")
    (tmp_path / "docs.tsv").write_text("d1\ta fox\nd2\ta dog\n")
    (tmp_path / "queries.tsv").write_text("1\tfox\n2\tcat\n")
    (tmp_path / "qrels").write_text("1 0 d1 1\n")
    toy = ir_datasets.create_dataset(
        docs_tsv=str(tmp_path / "docs.tsv"),
        queries_tsv=str(tmp_path / "queries.tsv"),
        qrels_trec=str(tmp_path / "qrels"),
    )
    ir_datasets.registry.register("sparse-ir-toy", toy)
    collection = read_collection("irds:sparse-ir-toy")
    assert collection.queries == [Query("1", "fox")]
    assert collection.qrels == {"1": {"d1": 1}}
    assert list(collection.documents()) == [Document("d1", "a fox"), Document("d2", "a dog")]
    with pytest.raises(InvalidInputError, match="knows no 'no-such-set'"):
        read_collection("irds:no-such-set")
    ir_datasets.registry.register(
        "sparse-ir-docs", ir_datasets.create_dataset(docs_tsv=str(tmp_path / "docs.tsv"))
    )
    with pytest.raises(InvalidInputError, match="has no queries"):
        read_collection("irds:sparse-ir-docs")


def test_ir_datasets_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[eval\]"):
        read_collection("irds:x")
