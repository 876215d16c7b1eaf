"""A toy task of MTEB, end to end, offline."""

from __future__ import annotations

import re
import sys

import pytest

from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.integrations.mteb import MTEBSearch
from sparse_ir.retrieval.retriever import SparseRetriever

CORPUS = {
    "a": {"title": "Fox", "text": "a red fox runs fast"},
    "b": {"title": "", "text": "the dog sleeps"},
    "c": {"title": "", "text": "quick water"},
}
QUERIES = {"1": "fox", "2": "puppy", "3": "quick"}
QRELS = {"1": {"a": 1}, "2": {"b": 1}, "3": {"c": 1}}


@pytest.fixture(scope="module")
def mteb():
    pytest.importorskip("mteb", reason="mteb is not installed")
    import mteb

    return mteb


@pytest.fixture
def toy(mteb):
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class Toy(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="SparseIRToy",
            description="three documents",
            reference=None,
            dataset={"path": "none/none", "revision": "1"},
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
            date=("2026-01-01", "2026-01-02"),
            domains=["Written"],
            task_subtypes=[],
            license="cc0-1.0",
            annotations_creators="derived",
            dialect=[],
            sample_creation="created",
            bibtex_citation="",
        )

        def load_data(self, *args, **kwargs):
            if self.data_loaded:
                return
            self.corpus, self.queries = {"test": CORPUS}, {"test": QUERIES}
            self.relevant_docs = {"test": QRELS}
            self.convert_v1_dataset_format_to_v2(num_proc=None)
            self.data_loaded = True

    return Toy()


@pytest.mark.filterwarnings("ignore")  # its libraries' own
def test_a_toy_task(mteb, toy, tmp_path, document_encoder):
    search = MTEBSearch(tmp_path / "indexes", model="words", threads=2)
    for _ in range(2):
        result = mteb.evaluate(search, toy, cache=None, overwrite_strategy="always")
        scores = result.task_results[0].scores["test"][0]
        assert scores["main_score"] == 1.0
        assert scores["ndcg_at_10"] == 1.0
    search.close()
    assert len(document_encoder.encoded) == len(CORPUS) + 1  # one title; nothing the second time
    assert [path.name for path in (tmp_path / "indexes").iterdir()] == ["SparseIRToy-default-test"]
    assert search.mteb_model_meta.name == "sparse_ir/words-anchored"


@pytest.mark.filterwarnings("ignore")
def test_it_is_a_search_protocol(mteb, tmp_path):
    from mteb.models.models_protocols import SearchProtocol

    assert isinstance(MTEBSearch(tmp_path), SearchProtocol)


class Task:
    name = "Some task/x"


WHERE = {"task_metadata": Task, "hf_split": "test", "hf_subset": "default"}


def rows(texts):
    return [{"id": key, **({"text": t} if isinstance(t, str) else t)} for key, t in texts.items()]


def test_ranks_only_what_it_is_given(tmp_path, document_encoder):
    search = MTEBSearch(tmp_path, model="words")
    with pytest.raises(InvalidInputError, match="search came before index"):
        search.search(rows(QUERIES), top_k=3, **WHERE)
    search.index(rows(CORPUS), **WHERE)
    whole = search.search(rows({"1": "fox dog quick"}), top_k=3, **WHERE)["1"]
    assert set(whole) == {"a", "b", "c"}
    assert len(search.search(rows({"1": "fox dog quick"}), top_k=2, **WHERE)["1"]) == 2
    some = search.search(
        rows({"1": "fox dog quick"}), top_k=1, top_ranked={"1": ["c", "b", "zzz"]}, **WHERE
    )
    assert some == {"1": pytest.approx({"c": whole["c"], "b": whole["b"]})}
    search.close()


@pytest.mark.parametrize("mode", ["anchored", "learned", "lexical"])
def test_scores_the_candidates_alone_and_as_the_search_does(
    tmp_path, document_encoder, mode, monkeypatch
):
    document_encoder.room = 4
    document_encoder.token_spans = lambda text: [m.span() for m in re.finditer(r"[\w.]+", text)]
    texts = {"long": "The dog sleeps. " * 3 + "A quick fox. " + "A red animal runs. " * 3}
    texts |= {str(i): "red fox puppy dog quick".split(" ", i)[-1] for i in range(5)}
    search = MTEBSearch(tmp_path, model="words", mode=mode)
    search.index(rows(texts), **WHERE)
    queries = rows({"1": "quick red fox", "2": "dog", "3": "runs", "4": "fox"})
    whole = search.search(queries, top_k=len(texts), **WHERE)
    kept = {"1": ["4", "long", "1", "4"], "2": list(texts), "3": ["0", "zzz"]}
    monkeypatch.delattr(SparseRetriever, "search_arrays")
    some = search.search(queries, top_k=1, top_ranked=kept, **WHERE)
    assert set(whole["1"]) > set(kept["1"])
    for query in ("1", "2", "3", "4"):
        among = kept.get(query, [])
        expected = {one: score for one, score in whole[query].items() if one in among}
        assert some[query] == pytest.approx(expected)
    search.close()


def test_another_corpus_in_the_same_folder(tmp_path, document_encoder):
    search = MTEBSearch(tmp_path, model="words")
    search.index(rows(CORPUS), **WHERE)
    with pytest.raises(InvalidInputError, match="holds documents of another corpus"):
        search.index(rows({"z": "fox"}), **WHERE)


def test_not_installed(monkeypatch, tmp_path):
    for name in ("mteb", "mteb.models", "mteb.models.model_meta"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[mteb\]"):
        _ = MTEBSearch(tmp_path).mteb_model_meta
