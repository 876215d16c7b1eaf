"""The segment file: what goes in comes out, the same bytes each time, and damage is found."""

from __future__ import annotations

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from test_native_search import csr, run, segment, stored, zipf_rows

from sparse_ir import _native
from sparse_ir.errors import IndexFormatError, InvalidInputError


@settings(max_examples=50, deadline=None)
@given(strategies.rows())
def test_rows_come_back(tmp_path_factory, rows):
    for precision in ("float32", "float16"):
        opened = segment(tmp_path_factory.mktemp("s") / "s.sir", rows, precision, first=5, step=2)
        opened.verify()
        assert opened.doc_numbers.tolist() == list(range(5, 5 + 2 * len(rows), 2))
        assert opened.n_postings == sum(map(len, rows))
        indptr, terms, weights = opened.rows(np.arange(len(rows), dtype=np.uint32))
        expected = csr(stored(rows, precision))
        assert indptr.tolist() == expected[0].tolist()
        assert terms.tolist() == expected[1].tolist()
        assert weights.tolist() == expected[2].tolist()
        every = np.unique(expected[1])
        assert opened.terms.tolist() == every.tolist()
        frequencies = opened.document_frequencies(np.append(every, np.uint32(999)))
        assert frequencies.tolist() == [sum(t in row for row in rows) for t in every] + [0]


def test_half_precision_rounds_as_numpy_does(tmp_path):
    rng = np.random.default_rng(0)
    weights = np.exp(rng.uniform(-17, 11, 20_000)).astype(np.float32)
    rows = [{0: w} for w in weights.tolist()]
    opened = segment(tmp_path / "s.sir", rows, "float16")
    _, _, read = opened.rows(np.arange(len(rows), dtype=np.uint32))
    rounded = np.clip(weights.astype(np.float16), np.float16(2**-24), np.float16(65504))
    assert (read == rounded.astype(np.float32)).all()


def test_bytes_round_to_255ths_of_the_terms_greatest_weight(tmp_path):
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.01, 3, (400, 2)).astype(np.float32)
    rows = [{0: a, 1: b} for a, b in weights.tolist()]
    opened = segment(tmp_path / "s.sir", rows, "uint8")
    opened.verify()
    _, _, read = opened.rows(np.arange(len(rows), dtype=np.uint32))
    most = weights.max(0)
    expected = np.clip(np.rint(weights / most * 255), 1, 255) * most / 255
    np.testing.assert_allclose(read.reshape(-1, 2), expected, rtol=1e-6)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = zipf_rows(2000, 300, 6, seed=1)
    segment(tmp_path / "a.sir", rows)
    builder = _native.SegmentBuilder()
    for start in range(0, 2000, 300):
        part = rows[start : start + 300]
        builder.add(np.arange(start, start + len(part), dtype=np.uint64), *csr(part))
    builder.write(str(tmp_path / "b.sir"))
    assert (tmp_path / "a.sir").read_bytes() == (tmp_path / "b.sir").read_bytes()
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("n", [100, 60_000])
def test_any_number_of_threads_gives_the_same_bytes(tmp_path, n):
    rows = csr(zipf_rows(n, 500, 12, seed=2))
    built = []
    for threads in (1, 2, 7):
        builder = _native.SegmentBuilder("float16", threads)
        builder.add(np.arange(n, dtype=np.uint64), *rows)
        builder.write(str(tmp_path / "s.sir"))
        built.append((tmp_path / "s.sir").read_bytes())
    assert built[0] == built[1] == built[2]
    with pytest.raises(InvalidInputError, match="threads is 0; want an integer >= 1"):
        _native.SegmentBuilder("float16", 0)


def test_views_outlive_their_segment(tmp_path):
    numbers = segment(tmp_path / "s.sir", [{0: 1.0}] * 3, first=7).doc_numbers
    assert numbers.tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="read-only"):
        numbers[0] = 1


@pytest.fixture
def whole(tmp_path):
    segment(tmp_path / "s.sir", zipf_rows(300, 40, 6, seed=2))
    return tmp_path / "s.sir", (tmp_path / "s.sir").read_bytes()


def test_truncation_is_seen_at_opening(whole):
    path, content = whole
    for size in [0, 1, 55, 56, 391, 392, *range(393, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(IndexFormatError, match="s.sir: "):
            _native.Segment.open(str(path))


def test_another_version_or_file_is_refused(whole):
    path, content = whole
    path.write_bytes(content[:8] + b"\1" + content[9:])
    with pytest.raises(IndexFormatError, match="format version is 1; this release reads 2"):
        _native.Segment.open(str(path))
    path.write_bytes(b"PK" + content[2:])
    with pytest.raises(IndexFormatError, match="not a segment file"):
        _native.Segment.open(str(path))


def test_flipped_bits_are_found_and_never_crash_a_search(whole):
    path, content = whole
    padding = 0
    for at in range(0, len(content), 31):
        path.write_bytes(content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :])
        try:
            damaged = _native.Segment.open(str(path))
        except IndexFormatError:
            continue
        try:
            damaged.verify()
            assert content[at] == 0
            padding += 1
        except IndexFormatError as error:
            assert "section " in str(error)
        for algorithm in ("exhaustive", "auto"):
            try:
                run([damaged], [{0: 1.0, 1: 2.0, 2: 0.5, 7: 1.0}], 5, algorithm)
            except IndexFormatError as error:
                assert "section " in str(error)
    assert padding < 64


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        _native.Segment.open(str(tmp_path / "nothing.sir"))
    assert caught.value.filename == str(tmp_path / "nothing.sir")
    builder = _native.SegmentBuilder()
    with pytest.raises(FileNotFoundError):
        builder.write(str(tmp_path / "no folder" / "s.sir"))


@pytest.mark.parametrize(
    ("docs", "rows", "message"),
    [
        ([0], [{0: 1.0}, {1: 1.0}], "1 doc numbers came for 2 rows"),
        ([4, 4], [{0: 1.0}, {1: 1.0}], "do not ascend"),
        ([0], [{0: -1.0}], "want a finite weight > 0"),
        ([0], [{0: float("inf")}], "want a finite weight > 0"),
    ],
)
def test_builder_refuses(docs, rows, message):
    with pytest.raises(InvalidInputError, match=message):
        _native.SegmentBuilder().add(np.array(docs, np.uint64), *csr(rows))


def test_builder_refuses_an_unknown_precision():
    with pytest.raises(InvalidInputError, match="want float32, float16 or uint8"):
        _native.SegmentBuilder("float8")
