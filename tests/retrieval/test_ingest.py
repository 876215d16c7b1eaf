"""ingest: what is new is encoded, what is unchanged is not, and a stop loses nothing committed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from tiny_model import make_tiny_model

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.reader import Index, dense_part
from sparse_ir.retrieval import dense_part as dense_parts
from sparse_ir.retrieval.dense_part import lasting_name
from sparse_ir.retrieval.ingest import IngestReport, ingest
from sparse_ir.retrieval.retriever import SparseRetriever

DOCUMENTS = [
    Document("a", "red fox", title="The fox", metadata={"year": 1}),
    Document("b", "dog sleeps"),
    Document("c", "fox runs fast"),
]


def run(path, documents, **kwargs):
    return ingest(path, documents, model="words", **kwargs)


def test_second_run_encodes_nothing(tmp_path, document_encoder):
    assert run(tmp_path / "i", DOCUMENTS) == IngestReport(added=3)
    assert len(document_encoder.encoded) == 4  # a title by itself, too
    assert run(tmp_path / "i", DOCUMENTS) == IngestReport(unchanged=3)
    assert len(document_encoder.encoded) == 4  # a title by itself, too


def test_an_encoder_that_is_loaded_already(tmp_path, document_encoder):
    loaded = type(document_encoder)()
    assert run(tmp_path / "i", DOCUMENTS, encoder=loaded) == IngestReport(added=3)
    assert (len(loaded.encoded), document_encoder.encoded) == (4, [])


def test_changed_text_is_replaced_and_changed_metadata_stored(tmp_path, document_encoder):
    path = tmp_path / "i"
    run(path, DOCUMENTS)
    changed = [
        Document("a", "red fox", title="The fox", metadata={"year": 2}),
        Document("b", "dog runs"),
        Document("d", "quick animal"),
    ]
    assert run(path, changed) == IngestReport(added=1, updated=1, unchanged=1)
    assert document_encoder.encoded[4:] == ["dog runs", "quick animal"]
    index = Index.open(path)
    assert len(index) == 4
    assert index.document("a").metadata == {"year": 2}
    assert index.document("b").text == "dog runs"


def test_an_index_keeps_the_weight_of_titles_that_it_was_made_with(tmp_path, document_encoder):
    path, new = tmp_path / "i", Document("d", "old dog", title="quick fox")
    run(path, DOCUMENTS, title_weight=3)
    with pytest.raises(InvalidInputError, match="was built with title_weight 3, not 2"):
        run(path, [new], title_weight=2)
    run(path, [new])
    with Index.open(path) as index:
        assert index.settings["average_length"] == (2 + 3 + 2 + 3 + 2 + 6) / 4
        assert index.settings["title_weight"] == 3


def test_in_an_index_of_before_titles_count_once(tmp_path, document_encoder):
    path = tmp_path / "i"
    run(path, DOCUMENTS, title_weight=1)
    with closing(sqlite3.connect(path / "catalog.sqlite")) as catalog, catalog:
        catalog.execute("DELETE FROM settings WHERE key = 'title_weight'")
    run(path, [Document("d", "old dog", title="quick fox")])
    with Index.open(path) as index:
        assert index.settings["average_length"] == (3 + 2 + 3 + 4) / 4
    with pytest.raises(InvalidInputError, match="was built with title_weight 1, not 2"):
        run(path, DOCUMENTS, title_weight=2)


def test_metadata_keys_that_json_would_change_are_refused(tmp_path, document_encoder):
    for metadata in ({1: "a", "b": 2}, {"x": [{1: "a", "1": "b"}]}):
        with pytest.raises(InvalidInputError, match="metadata of 'a' is not JSON: the key 1 is no"):
            run(tmp_path / "i", [Document("a", "red fox", metadata=metadata)])
    assert not (tmp_path / "i").exists()


def test_codes_without_a_dense_model_are_refused(tmp_path, document_encoder, dense_encoder):
    path = tmp_path / "i"
    run(path, DOCUMENTS, dense="counts")
    with pytest.raises(InvalidInputError, match="codes='hnsw' came without dense; name the dense"):
        run(path, DOCUMENTS, codes="hnsw")
    with Index.open(path) as index:
        assert dense_part(index.settings).codes == "none"


def test_numbers_and_truth_values_are_other_metadata(tmp_path, document_encoder):
    path = tmp_path / "i"
    for value, count in ((1, 0), (True, 1)):
        run(path, [Document("a", "red fox", metadata={"published": value})])
        assert len(Index.open(path).matching("published = true")) == count


def test_nothing_is_encoded_for_an_index_of_other_settings(
    tmp_path, document_encoder, dense_encoder
):
    path = tmp_path / "i"
    run(path, DOCUMENTS)
    with pytest.raises(InvalidInputError, match="was built with language 'english', not 'german'"):
        run(path, DOCUMENTS, language="german", dense="counts")
    assert not Index.open(path).has_dense


def test_goes_on_after_a_stop(tmp_path, document_encoder):
    path = tmp_path / "i"

    def interrupted():
        yield from DOCUMENTS[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, interrupted(), commit_every=1)
    assert len(Index.open(path)) == 2
    assert run(path, DOCUMENTS) == IngestReport(added=1, unchanged=2)
    texts = ["The fox red fox", "The fox", "dog sleeps", "fox runs fast"]
    assert document_encoder.encoded == texts


def test_progress_counts_every_document(tmp_path, document_encoder):
    told = []
    run(tmp_path / "i", DOCUMENTS, on_progress=lambda *args: told.append(args))
    run(tmp_path / "i", DOCUMENTS, on_progress=lambda *args: told.append(args))
    assert [sum(column) for column in zip(*told, strict=True)] == [6, 3]


def test_batches_keep_the_order_of_the_source(tmp_path, document_encoder):
    path = tmp_path / "i"
    documents = [Document(str(i), "fox " * (1 + i * 7 % 5)) for i in range(40)]
    run(path, documents, batch_size=1, commit_every=30)
    hits = SparseRetriever.open(path).search("fox", k=40, mode="lexical", filter="doc_id != 'x'")
    assert len(hits) == 40
    ties = [[int(h.doc_id) for h in hits if h.text == text] for text in {h.text for h in hits}]
    assert all(doc_ids == sorted(doc_ids) for doc_ids in ties)


def test_refuses_another_model_or_language(tmp_path, document_encoder):
    path = tmp_path / "i"
    run(path, DOCUMENTS)
    with pytest.raises(InvalidInputError, match="was built with model 'words', not 'others'"):
        ingest(path, DOCUMENTS, model="others")
    with pytest.raises(InvalidInputError, match="was built with language 'english', not 'german'"):
        run(path, DOCUMENTS, language="german")
    assert len(Index.open(path)) == 3


def test_a_model_is_found_from_every_working_directory(tmp_path, monkeypatch):
    model, here = make_tiny_model(tmp_path), tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(tmp_path)
    ingest("i", DOCUMENTS[:1], model=model.name)
    monkeypatch.chdir(here)
    with Index.open("../i") as index:
        stored = index.settings["model"]
    assert stored == str(model)
    assert ingest("../i", DOCUMENTS, model=stored) == IngestReport(added=2, unchanged=1)
    assert ingest("../i", DOCUMENTS, model="../tiny") == IngestReport(unchanged=3)


def test_so_is_a_dense_model(tmp_path, monkeypatch, document_encoder, dense_encoder):
    (tmp_path / "counts").mkdir()
    monkeypatch.chdir(tmp_path)
    run("i", DOCUMENTS, dense="counts")
    with Index.open("i") as index:
        assert dense_part(index.settings).model == str(tmp_path / "counts")
    assert run("i", DOCUMENTS, dense="counts") == IngestReport(unchanged=3)
    monkeypatch.setattr(dense_parts, "fingerprint_of", lambda model: "changed")
    message = "dense part of model '.*/counts' as it was before its files changed; use that one, or"
    with pytest.raises(InvalidInputError, match=message):
        run("i", DOCUMENTS, dense="counts")
    with pytest.raises(InvalidInputError, match="dense part of model '.*/counts', not 'others'; u"):
        run("i", DOCUMENTS, dense="others")


def test_a_name_that_is_no_folder_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini").mkdir()  # the model that ships goes before it
    (tmp_path / "mine").mkdir()
    assert [lasting_name(one) for one in ("mini", "someone/model", str(tmp_path))] == [
        "mini",
        "someone/model",
        str(tmp_path),
    ]
    assert lasting_name("mine") == lasting_name("./mini/../mine") == str(tmp_path / "mine")


def test_refuses_a_model_that_has_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = make_tiny_model(tmp_path)
    ingest("i", DOCUMENTS[:1], model="tiny")
    settings = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(settings | {"activation": "log1p_log1p_relu"}))
    message = "was built with model '.*/tiny' as it was before its files changed; use that one, or"
    with pytest.raises(InvalidInputError, match=message):
        ingest("i", DOCUMENTS, model="tiny")


@pytest.mark.parametrize("commit_every", [1, 100])
def test_sync_removes_what_did_not_come(tmp_path, document_encoder, commit_every):
    path = tmp_path / "i"
    assert run(path, DOCUMENTS, sync=True) == IngestReport(added=3)
    came = [Document("b", "dog sleeps"), Document("c", "dog runs"), Document("d", "quick animal")]
    assert run(path, came) == IngestReport(added=1, updated=1, unchanged=1)
    assert len(Index.open(path)) == 4
    report = run(path, [came[1], came[2]], sync=True, commit_every=commit_every)
    assert report == IngestReport(unchanged=2, removed=2)
    with Index.open(path) as index:
        assert [one.doc_id for one in index.documents(index.matching().tolist()).values()] == [
            "c",
            "d",
        ]
        index.verify()
    changed = [Document("d", "red fox"), Document("e", "dog")]
    expected = IngestReport(added=1, updated=1, removed=1)
    assert run(path, changed, sync=True, commit_every=commit_every) == expected
    with pytest.raises(InvalidInputError, match="no document came, and sync would delete all 2 of"):
        run(path, [], sync=True)
    assert len(Index.open(path)) == 2
    assert run(tmp_path / "none", [], sync=True) == IngestReport()


def test_sync_removes_nothing_if_the_source_fails(tmp_path, document_encoder):
    def failing():
        yield DOCUMENTS[0]
        raise OSError("gone")

    run(tmp_path / "i", DOCUMENTS)
    with pytest.raises(OSError, match="gone"):
        run(tmp_path / "i", failing(), sync=True)
    assert len(Index.open(tmp_path / "i")) == 3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Document("a", None), "text of 'a' is a NoneType; want a string"),
        (Document("a", b"red fox"), "text of 'a' is a bytes; want a string"),
        (Document("a", "red fox", title=None), "title of 'a' is a NoneType"),
        (Document("a", "fox \ud800"), "text of 'a' is no text: .* want whole characters"),
        (Document("\ud800", "fox"), "doc_id of .* is no text"),
        (Document("", "fox"), "doc_id is ''; want a string that is not empty"),
        (Document(5, "fox"), "doc_id is 5"),
        (Document("a", "red fox", metadata=None), "metadata of 'a' is a NoneType; want a mapping"),
        (Document("a", "red fox", "The fox", {"d": object()}), "metadata of 'a' is not JSON"),
        (Document("a", "red fox", "The fox", {"d": float("nan")}), "metadata of 'a' is not JSON"),
        ({"_id": "a", "text": "fox"}, "a dict came among the documents; want a Document each"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path, document_encoder, bad, message):
    path = tmp_path / "i"
    with pytest.raises(InvalidInputError, match=message):
        run(path, [bad])
    assert not path.exists()
    run(path, DOCUMENTS)  # that one of these is the same but for its metadata
    with pytest.raises(InvalidInputError, match=message):
        run(path, [*DOCUMENTS[1:], bad])
    with pytest.raises(InvalidInputError, match="a str came among the documents"):
        run(path, "docs.jsonl")
    assert len(Index.open(path)) == 3


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"commit_every": 0}])
def test_refuses_bad_sizes(tmp_path, document_encoder, bad):
    with pytest.raises(InvalidInputError, match="want integers >= 1"):
        run(tmp_path / "i", DOCUMENTS, **bad)
