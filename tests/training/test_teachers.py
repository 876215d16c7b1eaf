from __future__ import annotations

import bm25s
import numpy as np
import pytest
import transformers
from tiny_model import make_tiny_judge

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.dense_encoder import load_dense_encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.training import teachers
from sparse_ir.training.examples import TrainingSet

EVERY_QUERY, EVERY_DOCUMENT = np.arange(4), np.arange(6)


def test_bm25_scores_are_those_of_bm25s(examples):
    words = Analyzer().words
    peer = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    peer.index([words(d.content) for d in examples.documents], show_progress=False)
    scores = [peer.get_scores(words(query)) for query in examples.queries]
    expected = 2.2 * np.stack(scores)  # Lucene leaves the factor k1 + 1 out
    got = teachers.BM25Teacher().read(examples).scores(EVERY_QUERY, EVERY_DOCUMENT)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_bm25_counts_words_of_titles_so_often():
    documents = [
        Document("0", "red fox", "dog"),
        Document("1", "dog runs", "red dog"),
        Document("2", "fox runs"),
    ]
    examples = TrainingSet("s", documents)
    examples.add_query("red dog", (0,))
    teacher = teachers.BM25Teacher(Analyzer(title_weight=3))
    got = teacher.read(examples).scores(np.arange(1), np.arange(3))
    peer = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    texts = [f"{document.text} {3 * (document.title + ' ')}" for document in documents]
    peer.index([Analyzer().words(text) for text in texts], show_progress=False)
    np.testing.assert_allclose(got[0], 2.2 * peer.get_scores(["red", "dog"]), rtol=1e-5)


def test_the_dense_teacher_pools_the_mean_and_caches(model_folder, examples, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    body = model_folder.parent / "body"
    teacher = teachers.DenseTeacher(str(body), cache=tmp_path / "cache")
    vectors = teacher.vectors(examples.queries, "query")
    tokenizer, model = AutoTokenizer.from_pretrained(body), AutoModel.from_pretrained(body).eval()
    for text, vector in zip(examples.queries, vectors, strict=True):
        states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        expected = (states / states.norm()).detach().numpy()
        assert vector @ expected == pytest.approx(1, abs=2e-2)  # bfloat16
    kept = list((tmp_path / "cache").glob("*.npy"))
    assert len(kept) == 1
    another = teachers.DenseTeacher(str(body), cache=tmp_path / "cache")
    again = another.vectors(examples.queries, "query")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    np.testing.assert_allclose(again, vectors, atol=1e-3)


def test_a_dense_teacher_reads_each_side_as_the_model_does(prompting_model, examples, tmp_path):
    teacher = teachers.DenseTeacher(str(prompting_model), cache=tmp_path / "cache")
    texts = examples.queries
    asked, read = (teacher.vectors(texts, role) for role in ("query", "document"))
    assert np.abs(asked - read).max() > 1e-2
    for got, role in ((asked, "query"), (read, "document")):
        expected = load_dense_encoder(str(prompting_model), role).encode(texts)
        np.testing.assert_allclose(got, expected, atol=1e-3)


def test_a_sparse_teacher_multiplies_term_weights(model_folder, examples):
    from sparse_ir.encoders.encoder import load_encoder

    model = str(model_folder)
    got = teachers.SparseTeacher(model).read(examples).scores(EVERY_QUERY, EVERY_DOCUMENT)
    queries = load_encoder(model, "query").encode(examples.queries)
    documents = load_encoder(model, "document").encode([d.content for d in examples.documents])
    np.testing.assert_allclose(got, (queries @ documents.T).toarray(), rtol=1e-5)


@pytest.mark.parametrize(("is_siamese", "n_read"), [(False, 6), (True, 10)])
def test_a_sparse_teacher_reads_no_text_twice(model_folder, examples, tmp_path, is_siamese, n_read):
    folder = str(model_folder)
    if is_siamese:
        folder = str(model_folder.parent / "body")
        config = transformers.AutoConfig.from_pretrained(folder)
        transformers.BertForMaskedLM(config).save_pretrained(folder)
    read, again = [], []
    first, second = (
        teachers.SparseTeacher(folder, cache=tmp_path / "cache", on_progress=told.append)
        .read(examples)
        .scores(EVERY_QUERY, EVERY_DOCUMENT)
        for told in (read, again)
    )
    assert sum(read) - sum(again) == n_read  # a table's queries are looked up each time
    np.testing.assert_array_equal(first, second)
    bare = teachers.SparseTeacher(folder).read(examples).scores(EVERY_QUERY, EVERY_DOCUMENT)
    np.testing.assert_array_equal(first, bare)


def test_callables_and_files_score_the_pairs_they_are_asked_for(examples):
    live = teachers.CallableTeacher(
        lambda queries, documents: np.array(
            [[len(q) + 100 * len(d) for d in documents] for q in queries]
        )
    ).read(examples)
    rows = live.scores(np.array([2]), np.array([1, 4]))
    lengths = [len(examples.documents[i].content) for i in (1, 4)]
    assert rows.tolist() == [[len("quick puppy") + 100 * n for n in lengths]]
    given = teachers.FileTeacher().read(examples).scores(np.array([1]), np.array([3, 0, 1]))
    np.testing.assert_allclose(given, [[0.2, np.nan, 0.9]])
    wrong = teachers.CallableTeacher(lambda queries, documents: np.zeros(3)).read(examples)
    with pytest.raises(InvalidInputError, match=r"shape \(3,\)"):
        wrong.scores(EVERY_QUERY, EVERY_DOCUMENT)


def test_a_cross_encoder_reads_each_pair(model_folder, examples):
    pytest.importorskip("sentence_transformers")
    from transformers import AutoTokenizer, BertForSequenceClassification

    judge = make_tiny_judge(model_folder.parent)
    tokenizer = AutoTokenizer.from_pretrained(judge)
    scorer = teachers.CrossEncoderTeacher(str(judge)).read(examples)
    assert not scorer.is_cheap
    got = scorer.scores(np.array([0, 2]), np.array([1, 3, 5]))
    model = BertForSequenceClassification.from_pretrained(judge).eval()
    expected = np.zeros((2, 3))
    for i, query in enumerate((0, 2)):
        for j, document in enumerate((1, 3, 5)):
            pair = tokenizer(
                examples.queries[query], examples.documents[document].content, return_tensors="pt"
            )
            expected[i, j] = model(**pair).logits.sigmoid().item()
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_normalisations_by_hand():
    scores = np.array([[1.0, 3.0, 2.0, np.nan, -np.inf]], np.float32)
    tail = [np.nan, -np.inf]
    np.testing.assert_allclose(
        teachers.normalized(scores, "minmax"), [[0, 1, 0.5, *tail]], atol=1e-5
    )
    deviation = np.std([1, 3, 2])
    np.testing.assert_allclose(
        teachers.normalized(scores, "zscore"),
        [[-1 / deviation, 1 / deviation, 0, *tail]],
        atol=1e-5,
    )
    np.testing.assert_allclose(teachers.normalized(scores, "rank"), [[0, 1, 0.5, *tail]], atol=1e-5)
    ties = np.array([[5.0, 0.0, 0.0, 0.0, np.nan]], np.float32)
    expected = [[1, 1 / 3, 1 / 3, 1 / 3, np.nan]]  # the mean of ranks 1, 2 and 3 is 2
    np.testing.assert_allclose(teachers.normalized(ties, "rank"), expected, atol=1e-5)
    with pytest.raises(InvalidInputError, match="'softmax'"):
        teachers.normalized(scores, "softmax")


def test_the_ensemble_is_the_weighted_mean_of_those_that_know():
    one = np.array([[0.0, 1.0, 0.5]], np.float32)
    other = np.array([[10.0, np.nan, 20.0]], np.float32)
    got = teachers.ensemble([one, other], [0.75, 0.25])
    np.testing.assert_allclose(got, [[0, 1, 0.75 * 0.5 + 0.25]], atol=1e-5)
    assert np.isnan(teachers.ensemble([other], [1.0])[0, 1])
    hidden = np.array([[0.0, 1.0, -np.inf]], np.float32)
    assert teachers.ensemble([hidden, hidden], [0.5, 0.5])[0, 2] == -np.inf
    with pytest.raises(InvalidInputError, match="teacher weights"):
        teachers.ensemble([one], [0.0])


def test_who_knows_one_document_of_a_query_does_not_say_that_it_is_bad():
    """The answer alone, as a file of mined negatives has it for queries of other batches."""
    by_words = np.array([[5.0, 4.0, 0.0], [3.0, 1.0, 2.0]], np.float32)
    alone = np.array([[0.9, np.nan, np.nan], [np.nan, np.nan, 0.1]], np.float32)
    got = teachers.ensemble([by_words, alone], [0.5, 0.5])
    np.testing.assert_allclose(got, [[1, 0.8, 0], [1, 0, 0.5]], atol=1e-5)
    only = teachers.ensemble([alone, alone], [0.5, 0.5])
    assert np.isfinite(only).tolist() == [[True, False, False], [False, False, True]]


def test_the_weights_go_to_the_teacher_that_finds_the_labels(examples):
    class Knows:
        is_cheap = True

        def __init__(self, sign):
            self.sign = sign

        def scores(self, queries, documents):
            hit = [np.isin(documents, examples.positives[q]) for q in queries]
            return self.sign * np.array(hit, np.float32)

    weights = teachers.fitted_weights([Knows(-1), Knows(1)], examples)
    assert weights[1] > 0.5
    examples.n_labelled = 0
    assert teachers.fitted_weights([Knows(-1), Knows(1)], examples) == (0.5, 0.5)


def test_agreement_is_the_share_of_common_winners():
    one = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert teachers.agreement(one, one) == 1
    assert teachers.agreement(one, one[::-1]) == 0
