"""Doc numbers to rows and to bits, against Python sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.index.bitsets import DocRows, cleared
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.dense_segment import DenseSegment
from sparse_ir.index.selector import Selector

numbers = st.one_of(
    st.lists(st.integers(0, 60), unique=True).map(sorted),
    st.lists(st.integers(0, 2**60), unique=True).map(sorted),
    st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda p: list(range(p[0], sum(p)))),
)


@given(numbers, st.sets(st.integers(0, 70)))
def test_rows_of_documents(held, wanted):
    held = np.array(held, np.uint64)
    wanted = np.array(sorted(wanted), np.uint64)
    rows = DocRows(held).find(wanted)
    assert held[rows].tolist() == [doc for doc in wanted.tolist() if doc in held.tolist()]
    first, last = DocRows(held).span()
    assert (first, last) == ((int(held.min()), int(held.max())) if len(held) else (0, -1))


def flags(bits, n):
    if bits is None:
        return [True] * n
    return np.unpackbits(bits.view(np.uint8), bitorder="little")[:n].astype(bool).tolist()


def test_filters_and_deletions_are_bits_of_the_right_rows(tmp_path):
    catalog = Catalog.create(tmp_path, {})
    n = 150
    metadata = [f'{{"even": {"true" if i % 2 == 0 else "false"}}}' for i in range(n)]
    catalog.add_documents(0, [str(i) for i in range(n)], [0] * n, [None] * n, metadata)
    catalog.add_fields(["even"])
    catalog.delete_documents([3, 10])
    first = np.arange(100, dtype=np.uint64)
    segments = [first, np.arange(100, 150, dtype=np.uint64), np.empty(0, np.uint64)]
    passages = [np.repeat(docs, docs.astype(int) % 3 + 1) for docs in segments]
    halves = [DenseSegment(docs, np.empty((len(docs), 1), np.float16)) for docs in passages]
    selector = Selector(catalog, [DocRows(docs) for docs in segments], halves)

    def require(selected, wanted):
        for docs, bits in zip(segments, selected.bits, strict=True):
            assert flags(bits, len(docs)) == [wanted(doc) for doc in docs.tolist()]
        for docs, mask in zip(passages, selected.masks, strict=True):
            assert mask.tolist() == [wanted(doc) for doc in docs.tolist()]

    require(selector.select(), lambda doc: doc not in (3, 10))
    assert selector.select().bits[1] is None
    selected = selector.select("even = true")
    require(selected, lambda doc: doc % 2 == 0 and doc != 10)
    assert selector.select({"even": True}) is selected, "the same condition is not asked twice"
    catalog.delete_documents([12])
    selector.forget([12])
    require(selector.select(), lambda doc: doc not in (3, 10, 12))
    require(selector.select("even = true"), lambda doc: doc % 2 == 0 and doc not in (10, 12))
    catalog.close()


def test_cleared():
    bits = np.array([0b1011], np.uint64)
    assert cleared(bits, 6).tolist() == [2, 4, 5]


def test_a_scan_in_many_chunks_finds_all(tmp_path, monkeypatch):
    monkeypatch.setattr("sparse_ir.index.catalog._SCANNED", 7)
    catalog = Catalog.create(tmp_path, {})
    catalog.add_documents(5, [str(i) for i in range(40)], [0] * 40, [None] * 40, ["{}"] * 40)
    assert catalog.matching("1", []).tolist() == list(range(5, 45))
    assert catalog.matching("doc_id IN (?, ?)", ["0", "39"]).tolist() == [5, 44]
    catalog.close()
