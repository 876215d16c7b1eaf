"""IndexWriter and Index together, against dictionaries and numpy."""

from __future__ import annotations

import gc
import sqlite3
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.corpus import Document
from sparse_ir.errors import (
    IndexFormatError,
    IndexLockedError,
    InvalidInputError,
    VocabularyMismatchError,
)
from sparse_ir.index.catalog import FILE_NAME, Catalog
from sparse_ir.index.params import BuildParams, Exact
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter

N_TERMS = 12


def rows(*mappings):
    matrix = np.zeros((len(mappings), N_TERMS), np.float32)
    for i, mapping in enumerate(mappings):
        for term, weight in mapping.items():
            matrix[i, term] = weight
    return sp.csr_array(matrix)


def scores(index, query, k=10, **kwargs):
    """{doc_id: score} of one query given as {term: weight}."""
    hits = index.search(rows(query), k, **kwargs)
    return dict(zip(hits.ids[0], hits.scores[0].tolist(), strict=False))


def nested(levels):
    """An empty list in so many others."""
    inside = []
    for _ in range(levels):
        inside = [inside]
    return inside


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def three(path):
    """Documents a, b, c with metadata, committed."""
    with IndexWriter.create(path, n_terms=N_TERMS) as writer:
        writer.add_vectors(
            rows({0: 1.0, 1: 2.0}, {1: 3.0}, {2: 0.5}),
            ["a", "b", "c"],
            metadata=[{"year": 1}, {"year": 2}, {}],
        )
    return path


def test_a_closed_index_needs_no_garbage_collector(three):
    index = Index.open(three)
    scores(index, {1: 1.0}, filter="year = 1")
    index.close()
    gone = weakref.ref(index._selector)
    gc.disable()
    try:
        del index
        assert gone() is None
    finally:
        gc.enable()


def test_a_closed_index_is_searched_no_more(three):
    index = Index.open(three)
    index.close()
    for call in (
        lambda: scores(index, {1: 1.0}),
        lambda: index.document_frequencies(np.array([1], np.uint32)),
        lambda: list(index.stored_vectors()),
        lambda: index.vectors(np.array([0], np.uint64)),
        lambda: index.document("a"),
    ):
        with pytest.raises(InvalidInputError, match="is closed; open the index again"):
            call()


def test_the_contract_of_raw_vectors(three):
    index = Index.open(three)
    hits = index.search(rows({1: 1.0}, {5: 1.0}, {0: 1.0, 2: 4.0}), k=2, plan=Exact(), threads=1)
    assert hits.docs.tolist() == [[1, 0], [-1, -1], [2, 0]]
    assert hits.docs.dtype == np.int64
    assert hits.scores.tolist() == [[3.0, 2.0], [0.0, 0.0], [2.0, 1.0]]
    assert hits.scores.dtype == np.float32
    assert hits.counts.tolist() == [2, 0, 2]
    assert hits.ids == [["b", "a"], [], ["c", "a"]]
    assert len(hits) == 3
    assert len(index) == 3


def test_nothing_shows_before_the_commit(three):
    with IndexWriter.open(three) as writer:
        writer.add_vectors(rows({0: 9.0}), ["d"])
        assert len(writer) == 4
        assert "d" not in scores(Index.open(three), {0: 1.0})
        writer.commit()
        assert scores(Index.open(three), {0: 1.0}) == {"d": 9.0, "a": 1.0}


def test_an_exception_discards_what_was_pending(three):
    with pytest.raises(KeyError), IndexWriter.open(three) as writer:
        writer.add_vectors(rows({0: 9.0}), ["d"])
        writer.flush()
        raise KeyError
    assert len(Index.open(three)) == 3
    assert len(list(three.glob("segment-*"))) == 1


def test_upsert_replaces_and_delete_removes(three):
    with IndexWriter.open(three) as writer:
        writer.add_vectors(rows({5: 7.0}), ["a"])
        assert writer.delete(["b", "nobody"]) == 1
    index = Index.open(three)
    assert scores(index, {0: 1.0, 1: 1.0, 2: 1.0, 5: 1.0}) == {"a": 7.0, "c": 0.5}
    assert len(index) == 2
    assert "b" not in index
    assert index.document_frequencies(np.array([0, 1, 2, 5, 9], np.uint32)).tolist() == [
        0,
        0,
        1,
        1,
        0,
    ]


def test_upsert_twice_before_a_commit(three):
    with IndexWriter.open(three) as writer:
        writer.add_vectors(rows({5: 7.0}), ["x"])
        writer.add_vectors(rows({5: 8.0}), ["x"])
    index = Index.open(three)
    assert scores(index, {5: 1.0}) == {"x": 8.0}
    assert len(index) == 4


def test_a_reader_keeps_its_snapshot(three):
    with Index.open(three) as before, IndexWriter.open(three) as writer:
        writer.delete(["a"])
        writer.add_vectors(rows({0: 9.0}), ["d"])
        writer.optimize()
        assert scores(before, {0: 1.0, 1: 1.0}) == {"a": 3.0, "b": 3.0}
        assert before.document("a").metadata == {"year": 1}
        assert scores(Index.open(three), {0: 1.0, 1: 1.0}) == {"d": 9.0, "b": 3.0}


def test_a_commit_is_seen_from_a_folder_that_cannot_be_written(three, monkeypatch):
    """As by another user: while the writer works the commit is in the log, then in the file."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with IndexWriter.open(three) as writer:
        writer.add_vectors(rows({0: 9.0}), ["d"])
        writer.commit()
        with Index.open(three) as index:
            assert scores(index, {0: 1.0}) == {"d": 9.0, "a": 1.0}
    assert not (three / f"{FILE_NAME}-wal").exists()
    with Index.open(three) as index:
        assert scores(index, {0: 1.0}) == {"d": 9.0, "a": 1.0}


def test_looking_whether_an_index_is_there_writes_nothing(three, tmp_path, monkeypatch):
    asked, connect = [], sqlite3.connect

    def recorded(path, **kwargs):
        asked.append(str(path))
        return connect(path, **kwargs)

    monkeypatch.setattr("sqlite3.connect", recorded)
    before = sorted(three.iterdir())
    assert Catalog.exists(three)
    assert sorted(three.iterdir()) == before
    (tmp_path / FILE_NAME).touch()
    assert not Catalog.exists(tmp_path)
    assert not Catalog.exists(tmp_path / "nowhere")
    assert len(asked) == 2
    assert all("?mode=ro" in path for path in asked)
    with IndexWriter.create(tmp_path / "new", n_terms=N_TERMS):
        assert Catalog.exists(tmp_path / "new"), "committed, and all of it in the log"


def test_ids_that_no_document_can_have_are_unknown(three):
    with Index.open(three) as index:
        assert "\ud800" not in index
        for call in (index.document, index.doc_number, index.vector):
            with pytest.raises(InvalidInputError, match=r"no document '\\ud800' in"):
                call("\ud800")
    with IndexWriter.open(three) as writer:
        assert list(writer.known(["\udcff", "a"])) == ["a"]
        with pytest.raises(InvalidInputError, match="doc_id is 5; want a string"):
            writer.delete([5])
        assert writer.delete(["\udcff", "a"]) == 1
        writer.commit()
        assert len(writer) == 2


def test_a_second_writer_is_refused_and_no_lock_stays(three):
    with IndexWriter.open(three), pytest.raises(IndexLockedError, match="another writer"):
        IndexWriter.open(three)
    IndexWriter.open(three).close()


def test_optimize_leaves_one_segment_without_the_deleted(three):
    with IndexWriter.open(three) as writer:
        for i in range(5):
            writer.add_vectors(rows({i: 1.0}), [f"n{i}"])
            writer.commit()
        writer.delete(["a", "n0"])
        writer.optimize()
    info = Index.open(three).info()
    assert [one["documents"] for one in info["segments"]] == [6]
    assert info["deleted"] == 0
    assert len(list(three.glob("segment-*"))) == 1


def test_rewritten_segments_stay_in_order(path):
    """Two segments that no memory joins, of which the first alone has deleted documents."""
    draw = np.random.default_rng(4)
    matrix = sp.random_array((600, 1000), density=0.1, rng=draw, dtype=np.float32, format="csr")
    ids = [f"d{i}" for i in range(600)]
    params = BuildParams("float32", memory_mb=1)
    with IndexWriter.create(path, n_terms=1000, params=params) as writer:
        for half in (slice(0, 300), slice(300, 600)):
            writer.add_vectors(matrix[half], ids[half])
            writer.commit()
        writer.delete(ids[:290])
        writer.optimize()
        assert len(Index.open(path).info()["segments"]) == 2
        check_the_rest(path, matrix)
        writer.delete(ids[290:295])
        writer.optimize()
        writer.add_vectors(matrix[290:295], ids[290:295])
        writer.optimize()
    check_the_rest(path, sp.vstack([matrix[295:], matrix[290:295]]))


def check_the_rest(path, matrix):
    """The index holds the last 310 rows of the matrix, in their order."""
    matrix = matrix[-310:].toarray()
    with Index.open(path) as index:
        index.verify()
        batches = list(index.stored_vectors())
        docs = [doc for batch, _ in batches for doc in batch]
        assert docs == sorted(docs)
        assert (sp.vstack([part for _, part in batches]).toarray() == matrix).all()
        expected = matrix @ matrix[7]
        hits = index.search(sp.csr_array(matrix[7:8]), k=310)
        np.testing.assert_allclose(hits.scores[0], np.sort(expected)[::-1], rtol=1e-5)


def test_many_small_commits_stay_few_segments(path):
    with IndexWriter.create(path, n_terms=N_TERMS) as writer:
        for i in range(200):
            writer.add_vectors(rows({i % N_TERMS: 1.0 + i}), [str(i)])
            writer.commit()
    index = Index.open(path)
    assert len(index.info()["segments"]) <= 16
    assert scores(index, {0: 1.0}, k=3) == {"192": 193.0, "180": 181.0, "168": 169.0}


def test_filters(three):
    index = Index.open(three)
    everything = {0: 1.0, 1: 1.0, 2: 1.0}
    assert set(scores(index, everything, filter="year >= 2")) == {"b"}
    assert set(scores(index, everything, filter={"year": [1, 2]})) == {"a", "b"}
    assert set(scores(index, everything, filter="not year = 1")) == {"b", "c"}
    with pytest.raises(InvalidInputError, match="unknown field 'month'; known: year"):
        index.search(rows(everything), filter="month = 3")


def test_vector_gives_back_what_was_added(three):
    assert (
        Index.open(three).vector("a").toarray().tolist()
        == rows({0: 1.0, 1: 2.0}).toarray().tolist()
    )


def test_float16_rounds_each_weight(path):
    with IndexWriter.create(path, n_terms=N_TERMS, params=BuildParams("float16")) as writer:
        writer.add_vectors(rows({0: 1.0001, 1: 0.1}), ["a"])
    assert scores(Index.open(path), {1: 1.0}) == {"a": float(np.float16(0.1))}


def test_a_flush_at_the_memory_limit_changes_nothing_but_the_files(path):
    n = 3000
    rng = np.random.default_rng(1)
    matrix = sp.random_array((n, 500), density=0.2, rng=rng, dtype=np.float32, format="csr")
    with IndexWriter.create(path, n_terms=500, params=BuildParams(memory_mb=1)) as writer:
        for start in range(0, n, 500):
            ids = [str(i) for i in range(start, start + 500)]
            writer.add_vectors(matrix[start : start + 500], ids)
        writer.commit()
    index = Index.open(path)
    assert len(index.info()["segments"]) > 1
    query = matrix[:5]
    expected = (query @ matrix.T).toarray()
    hits = index.search(query, k=5)
    for row, docs in zip(expected, hits.docs, strict=True):
        assert row[docs].tolist() == pytest.approx(np.sort(row)[::-1][:5].tolist())


def test_optimize_has_the_memory_to_itself(path):
    rng = np.random.default_rng(2)
    matrix = sp.random_array((1600, 500), density=0.05, rng=rng, dtype=np.float32, format="csr")
    with IndexWriter.create(path, n_terms=500, params=BuildParams(memory_mb=1)) as writer:
        for start in range(0, 1600, 200):
            ids = [str(i) for i in range(start, start + 200)]
            writer.add_vectors(matrix[start : start + 200], ids)
        writer.commit()
        with Index.open(path) as index:
            assert len(index.info()["segments"]) == 2
        writer.optimize()
    with Index.open(path) as index:
        assert len(index.info()["segments"]) == 1
        index.verify()


class TestLexicalBlock:
    """Text with words: BM25's weights behind the learned block."""

    WORDS = (["red", "red", "fox"], ["fox"], ["dog", "sleeps", "long", "and", "red"])

    def write(self, path, batches):
        with IndexWriter.create(path, n_terms=N_TERMS) as writer:
            for batch in batches:
                documents = [Document(str(i), " ".join(self.WORDS[i])) for i in batch]
                words = [self.WORDS[i] for i in batch]
                writer.add(documents, rows(*[{0: 1.0}] * len(batch)), words)
                writer.commit()

    def weight(self, tf, length, average):
        return tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / average))

    def test_weights_by_hand(self, path):
        self.write(path, [[0, 1, 2]])
        index = Index.open(path)
        terms = index.word_numbers(["red", "fox", "cat"])
        assert set(terms) == {"red", "fox"}
        assert index.words(list(terms.values())) == {n: word for word, n in terms.items()}
        vector = index.vector("0").toarray()[0]
        assert vector[0] == 1.0
        assert vector[terms["red"]] == pytest.approx(self.weight(2, 3, 3))
        assert vector[terms["fox"]] == pytest.approx(self.weight(1, 3, 3))
        frequencies = index.document_frequencies(np.array([terms["red"]], np.uint32))
        assert frequencies.tolist() == [2]

    @pytest.mark.parametrize("precision", ["float32", "float16"])
    def test_a_drifting_average_is_rewritten(self, path, precision):
        """One document a commit: the average goes 3, 2, 3, by more than a tenth each time."""
        self.write(path, [[0], [1], [2]])
        index = Index.open(path)
        red = index.word_numbers(["red"])["red"]
        for i, (tf, length) in enumerate([(2, 3), (0, 1), (1, 5)]):
            expected = self.weight(tf, length, 3) if tf else 0
            assert index.vector(str(i)).toarray()[0, red] == pytest.approx(expected, rel=1e-3)

    def test_a_small_drift_stays_until_optimize(self, path):
        words = [["red"] * 20] * 50
        with IndexWriter.create(path, n_terms=N_TERMS, params=BuildParams("float32")) as writer:
            documents = [Document(str(i), "red") for i in range(50)]
            writer.add(documents, rows(*[{}] * 50), words)
            writer.commit()
            writer.add([Document("x", "red")], rows({}), [["red"] * 30])
            writer.commit()
            at_20 = Index.open(path)
            writer.optimize()
        red = at_20.word_numbers(["red"])["red"]
        average = (50 * 20 + 30) / 51
        assert at_20.vector("x").toarray()[0, red] == pytest.approx(self.weight(30, 30, 20))
        after = Index.open(path).vector("x").toarray()[0, red]
        assert after == pytest.approx(self.weight(30, 30, average), rel=1e-6)

    def test_words_of_documents_that_went_before_they_were_stored(self, path):
        """The living ones are 0 words long on average."""
        with IndexWriter.create(path, n_terms=N_TERMS) as writer:
            writer.add([Document("a", "red fox"), Document("b", "")], rows({}, {}), [["red"], []])
            writer.delete(["a"])
            assert scores(writer.index(), {0: 1.0}) == {}
            writer.commit()
            writer.add([Document("c", "red")], rows({}), [["red"]])
        with Index.open(path) as index:
            index.verify()
            red = index.word_numbers(["red"])["red"]
            expected = pytest.approx(self.weight(1, 1, 0.5), rel=1e-3)
            assert index.vector("c").toarray()[0, red] == expected

    def test_words_need_more_than_bytes(self, path):
        with IndexWriter.create(path, n_terms=N_TERMS, params=BuildParams("uint8")) as writer:
            with pytest.raises(InvalidInputError, match="words came for an index of uint8"):
                writer.add([Document("a", "red")], rows({}), [["red"]])

    def test_replace_metadata_keeps_text_and_vector(self, path):
        self.write(path, [[0, 1, 2]])
        with IndexWriter.open(path) as writer:
            writer.replace_metadata(Document("1", "", metadata={"seen": True}))
        document = Index.open(path).document("1")
        assert document == Document("1", "fox", metadata={"seen": True})
        assert Index.open(path).vector("1").nnz == 2


operations = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.dictionaries(
                st.sampled_from("abcdef"),
                st.dictionaries(st.integers(0, N_TERMS - 1), st.sampled_from([0.5, 1.0, 2.0])),
                min_size=1,
            ),
        ),
        st.tuples(st.just("delete"), st.sets(st.sampled_from("abcdef"))),
        st.tuples(st.sampled_from(["commit", "flush", "optimize"]), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(operations)
def test_any_history_equals_a_dictionary(tmp_path_factory, history):
    path = tmp_path_factory.mktemp("history") / "index"
    expected = {}
    with IndexWriter.create(path, n_terms=N_TERMS) as writer:
        for name, argument in history:
            if name == "add":
                writer.add_vectors(rows(*argument.values()), list(argument))
                expected |= argument
            elif name == "delete":
                assert writer.delete(argument) == len(argument & expected.keys())
                expected = {key: row for key, row in expected.items() if key not in argument}
            else:
                getattr(writer, name)()
    with Index.open(path) as index:
        assert len(index) == len(expected)
        query = dict.fromkeys(range(N_TERMS), 1.0)
        totals = {key: sum(row.values()) for key, row in expected.items() if row}
        assert scores(index, query) == totals
        for key, row in expected.items():
            assert index.vector(key).toarray().tolist() == rows(row).toarray().tolist()


class TestRefuses:
    def test_missing_index(self, tmp_path):
        for open_it in (Index.open, IndexWriter.open):
            with pytest.raises(InvalidInputError, match="no index at .*sparse-ir index SOURCE"):
                open_it(tmp_path)

    def test_creating_twice(self, three):
        with pytest.raises(InvalidInputError, match="holds an index already"):
            IndexWriter.create(three, n_terms=N_TERMS)
        assert len(Index.open(three)) == 3

    def test_folders_of_an_index_that_another_writer_is_making(self, tmp_path):
        """Nothing of them is touched: its queries would be another model's."""

        def fill(text):
            def make(folder):
                folder.mkdir()
                (folder / "table").write_text(text)

            return {"queries": make}

        folder = tmp_path / "i"
        with IndexWriter.create(folder, n_terms=N_TERMS, beside=fill("mine")) as writer:
            with pytest.raises(IndexLockedError):
                IndexWriter.create(folder, n_terms=N_TERMS, beside=fill("yours"))
            writer.commit()
        with pytest.raises(InvalidInputError, match="holds an index already"):
            IndexWriter.create(folder, n_terms=N_TERMS, beside=fill("yours"))
        assert (folder / "queries" / "table").read_text() == "mine"
        with Index.open(folder) as index:
            index.verify()
            (folder / "queries" / "table").write_text("torn")
            with pytest.raises(IndexFormatError, match="queries is not what it was"):
                index.verify()

    def test_an_index_that_cannot_be_made_leaves_nothing(self, tmp_path):
        def fail(folder):
            folder.mkdir()
            raise OSError("no space left")

        folder = tmp_path / "i"
        for wrong in ({"beside": {"queries": fail}}, {"settings": {"x": object()}}):
            with pytest.raises((OSError, TypeError)):
                IndexWriter.create(folder, n_terms=N_TERMS, **wrong)
            assert not folder.exists()
        with pytest.raises(InvalidInputError, match="names of terms are no text"):
            IndexWriter.create(folder, n_terms=1, term_names=["\ud800"])
        IndexWriter.create(folder, n_terms=N_TERMS).close()

    def test_a_string_for_a_list_of_ids(self, tmp_path):
        with IndexWriter.create(tmp_path / "i", n_terms=N_TERMS) as writer:
            writer.add_vectors(rows({0: 1.0}, {1: 1.0}), ["a", "b"])
            for call in (writer.delete, lambda ids: writer.add_vectors(rows({0: 1.0}), ids)):
                with pytest.raises(InvalidInputError, match="the string 'a' came; want a list"):
                    call("a")
            assert len(writer) == 2

    @pytest.mark.parametrize("k", [0, -1, 1.5, True])
    def test_bad_k(self, three, k):
        with pytest.raises(InvalidInputError, match="k is"):
            Index.open(three).search(rows({0: 1.0}), k)

    def test_queries_of_another_vocabulary(self, three):
        with pytest.raises(VocabularyMismatchError, match="13 terms"):
            Index.open(three).search(sp.csr_array((1, N_TERMS + 1), dtype=np.float32))

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            (["x", "x"], "'x' comes twice"),
            (["x", ""], "doc_id is ''"),
            (["x", 3], "doc_id is 3"),
            (["x"], "2 vectors came for 1 documents"),
        ],
    )
    def test_bad_ids_change_nothing(self, three, ids, message):
        with IndexWriter.open(three) as writer:
            with pytest.raises(InvalidInputError, match=message):
                writer.add_vectors(rows({0: 1.0}, {0: 2.0}), ids)
            assert len(writer) == 3

    @pytest.mark.parametrize(
        "bad", [object(), nested(101), nested(100_000), {1: "a", "b": 2}, [{None: 1}]]
    )
    def test_metadata_that_is_not_json(self, three, bad):
        with IndexWriter.open(three) as writer:
            with pytest.raises(InvalidInputError, match="metadata of 'a' is not JSON"):
                writer.add_vectors(rows({0: 1.0}), ["a"], metadata=[{"x": bad}])
        assert len(Index.open(three)) == 3

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"text": "bad \ud800"}, "text of 'a' is no text"),
            ({"title": "bad \ud800"}, "title of 'a' is no text"),
            ({"words": [["x"], ["\ud800"]]}, "words of 'b' are no text"),
            ({"words": [["x"], [7]]}, "words of 'b' are no text"),
            ({"words": [["x"]]}, "1 word lists came for 2 documents"),
            ({"fingerprints": [b"x"]}, "1 fingerprints came for 2 documents"),
            ({"passages": [()]}, "1 lists of passages came for 2 documents"),
            ({"metadata": {"x": float("nan")}}, "metadata of 'a' is not JSON"),
        ],
    )
    def test_a_refused_batch_changes_nothing(self, path, change, message):
        with IndexWriter.create(path, n_terms=N_TERMS) as writer:
            writer.add([Document("a", "old")], rows({0: 1.0}), [["old"]], fingerprints=[b"old"])
            given = {key: change[key] for key in ("title", "metadata") if key in change}
            documents = [Document("a", change.get("text", "new"), **given), Document("b", "x")]
            others = {key: change[key] for key in ("fingerprints", "passages") if key in change}
            with pytest.raises(InvalidInputError, match=message):
                words = change.get("words", [["x"], ["y"]])
                writer.add(documents, rows({0: 2.0}, {0: 3.0}), words, **others)
            assert len(writer) == 1
        with Index.open(path) as index:
            index.verify()
            assert index.document("a").text == "old"
            assert scores(index, {0: 1.0}) == {"a": 1.0}

    def test_unknown_document(self, three):
        with pytest.raises(InvalidInputError, match="no document 'nobody'"):
            Index.open(three).document("nobody")

    def test_truncated_and_flipped_segments(self, three):
        segment = next(three.glob("segment-*.sir"))
        whole = segment.read_bytes()
        for broken in (
            whole[:-1],
            whole[: len(whole) // 2],
            b"",
            whole[:70] + b"\xff" + whole[71:],
        ):
            segment.write_bytes(broken)
            with pytest.raises(IndexFormatError, match=segment.name):
                Index.open(three)
        for at in range(0, len(whole), 97):
            segment.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            try:
                Index.open(three).close()
            except IndexFormatError as error:
                assert segment.name in str(error)
            else:
                assert whole[at : at + 1] == b"\0", "only padding may change unseen"

    def test_missing_segment(self, three):
        next(three.glob("segment-*.sir")).unlink()
        with pytest.raises(IndexFormatError, match="is missing"):
            Index.open(three)

    def test_catalog_that_is_none(self, three):
        (three / FILE_NAME).write_bytes(b"not a database, but long enough to be read as one" * 99)
        with pytest.raises(IndexFormatError, match="not a database"):
            Index.open(three)

    def test_folder_that_cannot_be_written(self):
        with pytest.raises(OSError):
            IndexWriter.create("/proc/sparse-ir-index", n_terms=N_TERMS)

    def test_bad_params(self):
        for bad in ({"precision": "float8"}, {"k1": -1.0}, {"b": 1.5}, {"memory_mb": 0}):
            with pytest.raises(InvalidInputError, match="want"):
                BuildParams(**bad)
