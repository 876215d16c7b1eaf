"""Every algorithm under every kernel equals the oracle: documents, scores and ties, by ``==``."""

from __future__ import annotations

from itertools import product

import numpy as np
import oracle
import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_ir import _native
from sparse_ir.errors import InvalidInputError

KERNELS = _native.available_kernels()
ALGORITHMS = ["exhaustive", "auto"]


def csr(rows):
    indptr = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    items = [item for row in rows for item in sorted(row.items())]
    terms = np.array([term for term, _ in items], np.uint32)
    weights = np.array([weight for _, weight in items], np.float32)
    return indptr, terms, weights


def segment(path, rows, precision="float32", first=0, step=1):
    builder = _native.SegmentBuilder(precision)
    docs = first + step * np.arange(len(rows), dtype=np.uint64)
    builder.add(docs.astype(np.uint64), *csr(rows))
    builder.write(str(path))
    return _native.Segment.open(str(path))


def greatest(rows):
    """{term: its greatest weight}."""
    items = sorted(item for row in rows for item in row.items())
    return {term: np.float32(weight) for term, weight in items}


def stored(rows, precision):
    """The rows as numpy makes them what a segment of this precision stores; bytes are 255ths."""
    if precision == "float32":
        return [{t: np.float32(w) for t, w in row.items()} for row in rows]
    if precision == "uint8":
        most = greatest(rows)
        return [{t: max(1, np.rint(w / float(most[t]) * 255)) for t, w in r.items()} for r in rows]
    least, most = np.float16(2**-24), np.finfo(np.float16).max
    with np.errstate(over="ignore"):
        return [{t: np.clip(np.float16(w), least, most) for t, w in r.items()} for r in rows]


def units(rows, precision):
    """{term: what a stored 1 stands for}."""
    byte = precision == "uint8"
    return {
        t: most / np.float32(255) if byte else np.float32(1) for t, most in greatest(rows).items()
    }


def best(query, parts, k):
    """The oracle's k best of some segments, each {doc: stored row} and {term: unit}."""
    hits = []
    for living, unit in parts:
        scaled = {t: np.float32(query[t]) * unit[t] for t in query.keys() & unit.keys()}
        hits += oracle.top(scaled, living, k)
    return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k]


def bits(flags):
    padded = np.zeros(-(-len(flags) // 64) * 64, bool)
    padded[: len(flags)] = flags
    return np.packbits(padded, bitorder="little").view(np.uint64)


def run(segments, queries, k, algorithm, allowed=None, threads=1):
    allowed = allowed or [None] * len(segments)
    docs, scores, counts = _native.search(segments, allowed, *csr(queries), k, algorithm, threads)
    is_past = np.arange(docs.shape[1]) >= counts[:, None]
    assert (docs[is_past] == -1).all()
    assert (scores[is_past] == 0).all()
    return [
        list(zip(d[:n].tolist(), s[:n].tolist(), strict=True))
        for d, s, n in zip(docs, scores, counts, strict=True)
    ]


@pytest.fixture(params=KERNELS)
def kernel(request):
    before = _native.active_kernel()
    _native.use_kernel(request.param)
    yield request.param
    _native.use_kernel(before)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    parts=st.lists(strategies.rows(), min_size=1, max_size=3),
    queries=strategies.QUERIES,
    k=st.sampled_from([1, 2, 3, 10, 1000]),
    precision=st.sampled_from(["float32", "float16", "uint8"]),
    data=st.data(),
)
def test_equals_the_oracle(tmp_path_factory, kernel, parts, queries, k, precision, data):
    folder = tmp_path_factory.mktemp("segments")
    segments, allowed, stored_parts = [], [], []
    for i, rows in enumerate(parts):
        first = 1000 * i
        segments.append(segment(folder / f"{i}.sir", rows, precision, first, step=3))
        flags = data.draw(
            st.one_of(st.none(), st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
        )
        allowed.append(bits(np.array(flags, bool)) if flags else None)
        numbered = enumerate(stored(rows, precision))
        living = {first + 3 * j: row for j, row in numbered if not flags or flags[j]}
        stored_parts.append((living, units(rows, precision)))
    expected = [best(query, stored_parts, k) for query in queries]
    for algorithm in ALGORITHMS:
        assert run(segments, queries, k, algorithm, allowed) == expected, algorithm


def zipf_rows(n, n_terms, length, seed):
    rng = np.random.default_rng(seed)
    terms = np.minimum(rng.zipf(1.3, (n, length)) - 1, n_terms - 1)
    weights = np.round(rng.exponential(1, (n, length)).astype(np.float32), 1) + np.float32(0.1)
    return [
        dict(zip(t.tolist(), w.tolist(), strict=True)) for t, w in zip(terms, weights, strict=True)
    ]


@pytest.fixture(scope="module", params=["float32", "float16", "uint8"])
def big(request, tmp_path_factory):
    """140,000 documents: three windows, the last one partial; some words, mostly ties."""
    rows = zipf_rows(140_000, 3000, 8, seed=3)
    return segment(tmp_path_factory.mktemp("big") / "big.sir", rows, request.param)


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_many_windows(big, kernel, k):
    queries = zipf_rows(30, 3000, 6, seed=4)
    expected = run([big], queries, k, "exhaustive")
    assert run([big], queries, k, "auto") == expected
    assert run([big], queries, k, "auto", threads=2) == expected


def test_each_query_has_its_own_share(big):
    queries = zipf_rows(50, 3000, 6, seed=8)
    shares = np.where(np.arange(50) % 2, 1.0, 0.4)
    mixed = _native.search([big], [None], *csr(queries), 10, "auto", 1, shares)
    for share in (1.0, 0.4):
        alone = _native.search([big], [None], *csr(queries), 10, "auto", 2, np.full(50, share))
        for whole, part in zip(mixed, alone, strict=True):
            assert (whole[shares == share] == part[shares == share]).all()


def test_reading_less_loses_hits_but_invents_none(big, kernel):
    queries = csr(zipf_rows(50, 3000, 6, seed=8))
    exact = _native.search([big], [None], *queries, 10, "exhaustive", 1)
    kept = []
    for share in (1.0, 0.8, 0.3):
        shares = np.full(50, share)
        docs, scores, _ = _native.search([big], [None], *queries, 10, "auto", 1, shares)
        assert (scores <= exact[1]).all()
        kept.append(float((scores == exact[1]).mean()))
        for query in range(50):
            same = np.isin(docs[query], exact[0][query])
            shared = [scores[query][docs[query] == doc] for doc in docs[query][same]]
            stated = [exact[1][query][exact[0][query] == doc] for doc in docs[query][same]]
            assert shared == stated
    assert kept[0] == 1.0
    assert kept == sorted(kept, reverse=True)


@pytest.mark.parametrize("share", [0.0, 0.00002, 0.001, 0.1, 0.9])
def test_filters_of_every_selectivity(big, kernel, share):
    flags = np.random.default_rng(5).random(big.n_docs) < share
    queries = zipf_rows(20, 3000, 6, seed=6)
    allowed = [bits(flags[big.doc_numbers])]
    expected = run([big], queries, 10, "exhaustive", allowed)
    assert run([big], queries, 10, "auto", allowed) == expected
    assert all(flags[doc] for hits in expected for doc, _ in hits)


def test_wide_vocabulary_needs_32_bit_ordinals(tmp_path, kernel):
    """More than 65,536 different terms in a segment: rows store 32 bits a term."""
    rows = [{i: 1.0, 7 * i + 200_000: 2.0, 5: 0.5 + i % 3} for i in range(6, 40_000)]
    wide = segment(tmp_path / "wide.sir", rows)
    assert wide.n_terms > 65_536
    queries = [{5: 1.0, 100: 3.0, 200_007 * 1: 1.0}, {39_999: 1.0, 7 * 39_999 + 200_000: 1.0}]
    expected = [oracle.top(query, dict(enumerate(stored(rows, "float32"))), 5) for query in queries]
    for algorithm in ALGORITHMS:
        assert run([wide], queries, 5, algorithm) == expected


def test_scores_that_overflow_are_still_ordered(tmp_path, kernel):
    rows = [{0: 3e38, 1: 3e38}, {0: 1e38}, {1: 2e38, 2: 1.0}]
    one = segment(tmp_path / "one.sir", rows)
    queries = [{0: 1.0, 1: 1.0}, {0: 2e38}, {2: 1.0}]
    for query in queries:
        with np.errstate(over="ignore"):
            expected = oracle.top(query, dict(enumerate(stored(rows, "float32"))), 3)
        for algorithm in ALGORITHMS:
            assert run([one], [query], 3, algorithm) == [expected]


def test_no_segments_and_no_documents(tmp_path):
    empty = segment(tmp_path / "empty.sir", [])
    for segments, algorithm in product(([], [empty]), ALGORITHMS):
        assert run(segments, [{0: 1.0}, {}], 3, algorithm) == [[], []]


@pytest.mark.parametrize("k", [6, 10**12, 2**62])
def test_a_huge_k_finds_what_is_there(tmp_path, k):
    rows = [{0: 1.0 + i, 1: 1.0} for i in range(3)]
    segments = [segment(tmp_path / "a.sir", rows), segment(tmp_path / "b.sir", rows, first=3)]
    queries = [{0: 1.0}, {1: 1.0}, {2: 1.0}, {}]
    living = dict(enumerate(stored(rows + rows, "float32")))
    expected = [oracle.top(query, living, 6) for query in queries]
    for algorithm in ALGORITHMS:
        assert run(segments, queries, k, algorithm) == expected
        docs, scores, _ = _native.search(segments, [None] * 2, *csr(queries), k, algorithm, 1)
        assert docs.shape == scores.shape == (4, 6)


class TestRefuses:
    @pytest.fixture
    def one(self, tmp_path):
        return segment(tmp_path / "one.sir", [{0: 1.0}])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"k": 0}, "k is 0"),
            ({"threads": 0}, "threads is 0"),
            ({"algorithm": "wand"}, "want auto or exhaustive"),
            ({"allowed": []}, "0 bitsets came for 1 segments"),
            ({"allowed": [np.zeros(2, np.uint64)]}, "a bitset has 2 words; want 1"),
            ({"indptr": np.array([0, 2], np.int64)}, "indptr does not rise"),
            ({"indptr": np.array([], np.int64)}, "indptr does not rise"),
            ({"weights": np.array([np.nan], np.float32)}, "term 0 has weight"),
            ({"weights": np.array([0], np.float32)}, "want a finite weight > 0"),
            (
                {"bound_shares": np.ones(2)},
                "2 bound shares came for 1 queries",
            ),
            (
                {"algorithm": "exhaustive", "bound_shares": np.ones(1)},
                "bound shares came with algorithm 'exhaustive'; want auto",
            ),
            ({"bound_shares": np.zeros(1)}, "want more than 0 and at most 1"),
        ],
    )
    def test_bad_arguments(self, one, change, message):
        indptr, terms, weights = csr([{0: 1.0}])
        arguments = {
            "segments": [one],
            "allowed": [None],
            "indptr": indptr,
            "terms": terms,
            "weights": weights,
            "k": 1,
            "algorithm": "auto",
            "threads": 1,
        }
        with pytest.raises(InvalidInputError, match=message):
            _native.search(**(arguments | change))

    def test_a_wrong_dtype_is_never_copied(self, one):
        indptr, terms, weights = csr([{0: 1.0}])
        with pytest.raises(TypeError):
            _native.search([one], [None], indptr, terms, weights.astype(np.float64), 1, "auto", 1)

    def test_unsorted_rows(self, one):
        with pytest.raises(InvalidInputError, match="row 0: terms do not ascend"):
            _native.search(
                [one],
                [None],
                np.array([0, 2], np.int64),
                np.array([1, 1], np.uint32),
                np.ones(2, np.float32),
                1,
                "auto",
                1,
            )

    def test_unknown_kernel(self):
        with pytest.raises(InvalidInputError, match="this machine has: .*scalar"):
            _native.use_kernel("mmx")
