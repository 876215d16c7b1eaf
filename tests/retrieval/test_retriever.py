"""SparseRetriever: the three modes, against sums worked out by hand and against bm25s."""

from __future__ import annotations

import asyncio
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import bm25s
import numpy as np
import pytest

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.errors import InvalidInputError, VocabularyMismatchError
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever
from sparse_ir.retrieval.text_index import open_writer

DOCUMENTS = [
    Document("a", "red fox", metadata={"year": 1}),
    Document("b", "dog sleeps", metadata={"year": 2}),
    Document("c", "fox runs fast fox"),
]


NO_K = [0, -1, 1.5, "3", None, True, math.nan]


@pytest.fixture
def retriever(tmp_path, document_encoder):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with SparseRetriever.open(tmp_path / "i") as opened:
        yield opened


def ingest_anew(path, **made_with):
    shutil.rmtree(path)
    ingest(path, [Document("new", "fox running")], **made_with)


def scores(hits):
    return {hit.doc_id: hit.score for hit in hits}


def test_learned_finds_what_the_text_does_not_say(retriever):
    # query weight of "puppy" is 4/4, of "quick" 9/4; documents hold them with weight 0.5
    assert scores(retriever.search("puppy", mode="learned")) == {"b": 0.5}
    assert scores(retriever.search("puppy", mode="lexical")) == {}
    assert scores(retriever.search("quick quick puppy", mode="learned")) == {"c": 2.25, "b": 0.5}


@pytest.mark.parametrize(
    ("times", "g"),
    [(1, 0.5 / 0.3), (25, 0.5 * 1.5), (56, 0.5 / 1.0), (900, 0.5 / 1.2)],
    ids=["shortest", "short", "usual", "longest"],
)
def test_anchored_is_lexical_by_significance_plus_g_learned(tmp_path, document_encoder, times, g):
    """The documents' mean length is 8/3 words, times as many; at 150 words g is the model's."""
    longer = [Document(d.doc_id, " ".join([d.text] * times)) for d in DOCUMENTS]
    ingest(tmp_path / "i", longer, model="words", passages=False)
    with SparseRetriever.open(tmp_path / "i") as retriever:
        learned = scores(retriever.search("red animal fox fast", mode="learned"))
        # query weights of red, fox and fast are 1/4, 2/4 and 8/4, the median of all nine is 5/4
        parts = {"red": 1 / 5, "fox": 2 / 5, "fast": 8 / 5}
        lexical = {word: scores(retriever.search(word, mode="lexical")) for word in parts}
        anchored = scores(retriever.search("red animal fox fast"))
    assert anchored.keys() == {"a", "c"}
    for doc_id, score in anchored.items():
        words = sum(math.sqrt(part) * lexical[w].get(doc_id, 0) for w, part in parts.items())
        assert score == pytest.approx(words + g * learned[doc_id], rel=2e-3)


def test_scores_are_the_same_before_and_after_a_commit(tmp_path, document_encoder):
    """Of documents of about the usual length, in a new index and in one that has some."""
    path, analyzer = tmp_path / "i", Analyzer("english")
    texts = [" ".join([DOCUMENTS[i % 3].text] * (50 + i)) for i in range(20)]
    vectors, words = document_encoder.encode(texts), [analyzer.words(text) for text in texts]

    def found(index, encoder):
        return scores(SparseRetriever(index, encoder, analyzer).search("red fox runs fast", 50))

    with open_writer(path, "words") as writer:
        for name in "xy":
            documents = [Document(f"{name}{i}", text) for i, text in enumerate(texts)]
            writer.add(documents, vectors, words)
            with SparseRetriever.open(path) as stored:
                before = found(writer.index(), stored.encoder)
            writer.commit()
            with Index.open(path) as index:
                assert index.settings["average_length"] > 150
                assert found(index, stored.encoder) == before
            assert len(before) == 13 * (1 + "xy".index(name))


def test_a_word_without_a_weight_counts_as_in_bm25(retriever, make_lookup):
    """Of an empty table, too."""
    for table in ([0] * 10, [0, 0, *[3] * 8]):
        index = Index.open(retriever.index.path)
        with SparseRetriever(index, make_lookup(table), Analyzer()) as other:
            for query in ("red", "red red"):
                expected = scores(other.search(query, mode="lexical"))
                assert scores(other.search(query)) == pytest.approx(expected)


def test_a_string_gives_hits_and_several_give_lists(retriever):
    one = retriever.search("fox", k=1)
    many = retriever.search(["fox", "nothing known", "dog"], k=1, threads=2)
    assert many[0] == one
    assert many[1] == []
    assert many[2][0].text == "dog sleeps"
    assert many[2][0].metadata == {"year": 2}
    assert retriever.search([]) == []


def test_filter(retriever):
    assert set(scores(retriever.search("fox dog", filter="year <= 2"))) == {"a", "b"}


def test_explain_adds_up_and_marks_expansions(retriever):
    for mode in ("anchored", "learned", "lexical"):
        (hit,) = retriever.search("quick fox", k=1, mode=mode, filter="doc_id = 'c'")
        matches = retriever.explain("quick fox", "c", mode)
        assert sum(match.product for match in matches) == pytest.approx(hit.score, rel=1e-6)
        assert matches == sorted(matches, key=lambda match: -match.product)
    marked = {
        (match.term, match.block): match.is_expansion
        for match in retriever.explain("quick fox", "c")
    }
    assert marked == {
        ("quick", "learned"): True,
        ("fox", "learned"): False,
        ("fox", "lexical"): False,
    }


def test_query_vectors_are_what_is_searched(retriever):
    vectors = retriever.query_vectors(["quick fox", ""])
    hits = retriever.index.search(vectors, k=3)
    assert hits.ids[0] == [hit.doc_id for hit in retriever.search("quick fox")]
    assert hits.ids[1] == []


def test_reopened_index_needs_no_model(retriever, monkeypatch):
    path = retriever.index.path
    assert [hit.doc_id for hit in SparseRetriever.open(path).search("puppy")] == ["b"]


def test_a_reopened_retriever_sees_commits_and_shares_the_encoder(retriever, document_encoder):
    ingest(retriever.index.path, [Document("new", "red fox")], model="words")
    with retriever.reopened() as again:
        assert "new" in [hit.doc_id for hit in again.search("fox")]
        assert again.encoder is retriever.encoder
    assert "new" not in [hit.doc_id for hit in retriever.search("fox")]


@pytest.mark.parametrize("made_with", [{"language": "none"}, {"model": "others"}])
def test_an_index_made_anew_is_searched_by_its_own_encoders(retriever, made_with):
    path = retriever.index.path
    ingest_anew(path, **{"model": "words", **made_with})
    with retriever.reopened() as again, SparseRetriever.open(path) as opened:
        for query in ("running", "runs", "fox"):
            for mode in ("lexical", "learned"):
                assert again.search(query, mode=mode) == opened.search(query, mode=mode)
        assert again.encoder is not retriever.encoder


def test_an_index_that_cannot_be_reopened_is_closed(retriever, monkeypatch):
    opened, real = [], Index.open

    def open_index(path):
        opened.append(real(path))
        return opened[-1]

    def load(folder):
        raise FileNotFoundError("no table")

    ingest_anew(retriever.index.path, model="others")  # its encoder is not this retriever's
    monkeypatch.setattr(Index, "open", open_index)
    monkeypatch.setattr(LookupEncoder, "load", load)
    with pytest.raises(FileNotFoundError, match="no table"):
        retriever.reopened()
    with pytest.raises(InvalidInputError, match="closed"):
        opened[0].document("new")


def test_refuses(retriever, tmp_path):
    with pytest.raises(InvalidInputError, match="mode is 'dense'; want anchored, learned, lexical"):
        retriever.search("fox", mode="dense")
    with pytest.raises(InvalidInputError, match="k is 0"):
        retriever.search("fox", k=0)
    with pytest.raises(InvalidInputError, match="no document 'z'"):
        retriever.explain("fox", "z")
    with pytest.raises(InvalidInputError, match="no index at"):
        SparseRetriever.open(tmp_path / "nowhere")
    IndexWriter.create(tmp_path / "raw", n_terms=3).close()
    with pytest.raises(InvalidInputError, match="vectors without text"):
        SparseRetriever.open(tmp_path / "raw")


@pytest.mark.parametrize("k", NO_K)
def test_refuses_a_k_that_is_none(retriever, k):
    for mode in ("anchored", "learned", "lexical"):
        with pytest.raises(InvalidInputError, match=f"k is {k!r}; want an integer >= 1"):
            retriever.search("fox", k, mode=mode)


def test_more_hits_than_documents(retriever, tmp_path):
    for mode in ("anchored", "learned", "lexical"):
        assert retriever.search("fox dog", 10**14, mode=mode) == retriever.search(
            "fox dog", 3, mode=mode
        )
    assert retriever.search_arrays(["fox"], np.int64(10**14)).docs.shape == (1, 3)
    ingest(tmp_path / "none", [], model="words")
    with SparseRetriever.open(tmp_path / "none") as empty:
        assert empty.search("fox", 10**14) == []


def test_refuses_halves_of_characters(retriever):
    for mode in ("anchored", "learned", "lexical"):
        with pytest.raises(InvalidInputError, match=r"character 5 of a text is '\\udcff'"):
            retriever.search(["dog", "fox \udcff"], mode=mode)
    with pytest.raises(InvalidInputError, match="half a surrogate pair"):
        retriever.query_terms("\udcff")


def test_refuses_an_encoder_of_another_vocabulary(retriever, make_lookup):
    other = make_lookup([1.0] * 10)
    other.vocabulary = type(other.vocabulary).of(["x", *other.vocabulary.terms[1:]])
    with pytest.raises(VocabularyMismatchError, match="not the index's"):
        SparseRetriever(retriever.index, other, Analyzer("english"))


def test_a_table_of_idfs_is_adapted_to_the_collection(retriever):
    """Geometric mean of table and idf of (df + 300 e^-table) among (3 + 300) documents."""
    with IndexWriter.open(retriever.index.path) as writer:
        writer.keep("collection_idf", True)
    with retriever.reopened() as adapted:
        for word, table, df in [("fox", 0.5, 2), ("puppy", 1.0, 1)]:
            (weight,) = adapted.query_vectors([word], mode="learned").data
            smoothed = df + 300 * math.exp(-table)
            idf = math.log(1 + (303 - smoothed + 0.5) / (smoothed + 0.5))
            assert weight == pytest.approx(math.sqrt(table * idf), rel=1e-5)


SENTENCES = [
    "The quick brown fox jumps over the lazy dog",
    "Foxes are quick animals that run in the night, and foxes hunt alone",
    "A dog sleeps for twelve hours; dogs dream of running",
    "Nothing in this sentence is about animals",
    "Running water and running shoes: run, ran, runner",
    "night",
]


def bm25s_scores(query):
    analyzer = Analyzer("english")
    words = [analyzer.words(text) for text in SENTENCES]
    peer = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    peer.index(words, show_progress=False)
    return peer.get_scores(analyzer.words(query))


@pytest.mark.parametrize("weight", [1, 2, 5])
def test_lexical_is_bm25_of_texts_with_the_title_so_often(tmp_path, document_encoder, weight):
    documents = [
        Document(str(i), text, title)
        for i, (text, title) in enumerate(zip(SENTENCES, reversed(SENTENCES), strict=True))
    ]
    ingest(tmp_path / "i", documents, model="words", title_weight=weight)
    analyzer = Analyzer("english")
    peer = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    texts = [f"{document.text} {weight * (document.title + ' ')}" for document in documents]
    peer.index([analyzer.words(text) for text in texts], show_progress=False)
    query = "dogs running at night"
    expected = 2.2 * peer.get_scores(analyzer.words(query))
    found = scores(SparseRetriever.open(tmp_path / "i").search(query, k=10, mode="lexical"))
    assert found == pytest.approx({str(i): s for i, s in enumerate(expected) if s}, rel=1e-5)


@pytest.mark.parametrize(
    "query", ["quick foxes running", "dogs run at night", "animals", "fox fox dog"]
)
@pytest.mark.parametrize("history", ["at once", "one by one", "with deletes"])
def test_lexical_is_bm25_exactly(tmp_path, document_encoder, query, history):
    path = tmp_path / "i"
    documents = [Document(str(i), text) for i, text in enumerate(SENTENCES)]
    if history == "one by one":
        for document in documents:
            ingest(path, [document], model="words")
    elif history == "with deletes":
        extra = [Document(f"x{i}", "night foxes dream of dogs " * i) for i in range(1, 5)]
        ingest(path, documents[:3] + extra + documents[3:], model="words")
        with IndexWriter.open(path) as writer:
            writer.delete([document.doc_id for document in extra])
    else:
        ingest(path, documents, model="words")
    if history == "one by one":
        with IndexWriter.open(path) as writer:
            writer.optimize()
    found = scores(SparseRetriever.open(path).search(query, k=10, mode="lexical"))
    # Lucene, and bm25s after it, leave out the factor k1 + 1, which orders nothing.
    expected = np.asarray(bm25s_scores(query)) * 2.2
    assert found == pytest.approx(
        {str(i): score for i, score in enumerate(expected.tolist()) if score > 0}, abs=1e-4
    )
    assert len(Index.open(path)) == len(SENTENCES)


def test_asearch_lets_others_work_meanwhile(retriever):
    async def searches():
        return await asyncio.gather(
            retriever.asearch("fox", k=2, mode="lexical"),
            retriever.asearch(["dog", "fox"], filter="year = 1"),
        )

    one, several = asyncio.run(searches())
    assert one == retriever.search("fox", k=2, mode="lexical")
    assert several == retriever.search(["dog", "fox"], filter="year = 1")


def test_without_text_ids_and_scores_stay(retriever):
    full, bare = retriever.search("fox"), retriever.search("fox", with_text=False)
    assert [(hit.doc_id, hit.score) for hit in bare] == [(hit.doc_id, hit.score) for hit in full]
    assert all((hit.text, hit.title, hit.metadata) == ("", "", {}) for hit in bare)


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 700])
def test_a_stream_gives_what_one_search_would(tmp_path, document_encoder, n):
    draw = np.random.default_rng(n)
    documents = [Document(f"d{i}", "fox " * draw.integers(1, 9)) for i in range(n)]
    ingest(tmp_path, [*documents, Document("other", "dog")], model="words")
    with SparseRetriever.open(tmp_path) as retriever:
        for mode in ("anchored", "lexical"):
            streamed = list(retriever.stream("fox", mode=mode))
            assert streamed == retriever.search("fox", k=n + 1, mode=mode)
            assert len(streamed) == n
        first = next(retriever.stream("fox dog", filter="doc_id = 'other'"))
        assert (first.doc_id, first.text) == ("other", "dog")


def test_a_stream_that_is_left_early_reads_little(tmp_path, document_encoder, monkeypatch):
    ingest(tmp_path, [Document(f"d{i}", "fox") for i in range(1000)], model="words")
    with SparseRetriever.open(tmp_path) as retriever:
        read = []
        documents = retriever.index.documents
        monkeypatch.setattr(
            retriever.index, "documents", lambda docs: read.append(len(docs)) or documents(docs)
        )
        stream = retriever.stream("fox")
        assert next(stream).doc_id == "d0"
        assert sum(read) <= 128
    with pytest.raises(InvalidInputError, match="mode is 'x'"):
        next(retriever.stream("fox", mode="x"))


def test_threads_share_a_retriever(retriever):
    queries = ["fox", "dog sleeps", "quick fox", "puppy"] * 25
    expected = retriever.search(queries)

    def work(query):
        hits = retriever.search(query)
        return hits, [retriever.highlights(query, hit.doc_id) for hit in hits]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, queries))
    assert [hits for hits, _ in found] == expected
    assert found[:4] == found[4:8]
