"""encode_corpus: every format holds what the encoder gives, whatever happens on the way."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.reader import Index
from sparse_ir.retrieval.encode import encode_corpus

WORDS = ["red", "fox", "dog", "runs", "fast"]
TEXTS = [(f"d{i}é", " ".join(WORDS[: i % 5 + 1])) for i in range(23)]
NAMES = ["v.npz", "v.parquet", "v.jsonl", "index"]


def read(path, n_terms):
    """(ids, dense weights), by the readers of others."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["ids"].tolist(), sp.load_npz(path).toarray()
    if path.suffix == ".parquet":
        rows = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
        pairs = [dict(zip(row["indices"], row["values"], strict=True)) for row in rows]
        return [row["id"] for row in rows], dense(pairs, n_terms)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [one["id"] for one in records], [one["vector"] for one in records]


def dense(rows, n_terms):
    matrix = np.zeros((len(rows), n_terms), np.float32)
    for i, row in enumerate(rows):
        matrix[i, list(row)] = list(row.values())
    return matrix


def require_texts(path, encoder, texts=TEXTS):
    expected = encoder.encode([text for _, text in texts]).toarray()
    if not path.suffix:
        with Index.open(path) as index:
            assert len(index) == len(texts)
            for (text_id, _), row in zip(texts, expected, strict=True):
                assert index.vector(text_id).toarray()[0].tolist() == row.tolist()
        return
    ids, found = read(path, expected.shape[1])
    assert ids == [text_id for text_id, _ in texts]
    if path.suffix == ".jsonl":
        terms = encoder.vocabulary.terms
        found = dense([{terms.index(t): w for t, w in row.items()} for row in found], len(terms))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not path.with_name(path.name + ".parts").exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("buffer_size", [1, 10, 100])
def test_every_format(tmp_path, document_encoder, name, buffer_size):
    done = []
    report = encode_corpus(
        iter(TEXTS),
        document_encoder,
        tmp_path / name,
        buffer_size=buffer_size,
        on_progress=done.append,
    )
    assert (report.encoded, report.kept, sum(done)) == (23, 0, 23)
    require_texts(tmp_path / name, document_encoder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("survivors", [0, 1, 5, 22])
def test_goes_on_after_a_stop_and_encodes_nothing_twice(
    tmp_path, document_encoder, name, survivors
):
    def stopped():
        yield from TEXTS[: survivors + 1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_corpus(stopped(), document_encoder, tmp_path / name, buffer_size=1)
    assert not (tmp_path / name).is_file()
    report = encode_corpus(iter(TEXTS), document_encoder, tmp_path / name, buffer_size=4)
    assert (report.encoded, report.kept) == (22 - survivors, survivors + 1)
    assert document_encoder.encoded == [text for _, text in TEXTS]
    require_texts(tmp_path / name, document_encoder)


def test_a_crash_between_a_part_and_its_line_in_the_journal(tmp_path, document_encoder):
    def stopped():
        yield from TEXTS[:10]
        raise KeyboardInterrupt

    path = tmp_path / "v.npz"
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(stopped(), document_encoder, path, buffer_size=5)
    journal = tmp_path / "v.npz.parts" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 3
    journal.write_text("".join(lines[:2]) + lines[2][:20])
    report = encode_corpus(iter(TEXTS), document_encoder, path, buffer_size=5)
    assert (report.encoded, report.kept) == (18, 5)
    require_texts(path, document_encoder)


def test_what_has_changed_is_not_continued(tmp_path, document_encoder):
    def stopped():
        yield from TEXTS[:10]
        raise KeyboardInterrupt

    for name in ("v.npz", "index"):
        with pytest.raises(KeyboardInterrupt):
            encode_corpus(
                stopped(), document_encoder, tmp_path / name, settings={"a": 1}, buffer_size=5
            )
        with pytest.raises(InvalidInputError, match=r"with a 1, not 2"):
            encode_corpus(TEXTS, document_encoder, tmp_path / name, settings={"a": 2})
    changed = [*TEXTS[:7], ("d7é", "another"), *TEXTS[8:]]
    with pytest.raises(InvalidInputError, match=r"part-000001.npz in .* have changed"):
        encode_corpus(changed, document_encoder, tmp_path / "v.npz", settings={"a": 1})
    encode_corpus(TEXTS, document_encoder, tmp_path / "v.npz", settings={"a": 1})
    require_texts(tmp_path / "v.npz", document_encoder)


def test_a_changed_text_is_encoded_anew_into_an_index(tmp_path, document_encoder):
    path = tmp_path / "index"
    encode_corpus(TEXTS, document_encoder, path, buffer_size=5)
    changed = [*TEXTS[:7], ("d7é", "dog dog fox"), *TEXTS[8:]]
    document_encoder.encoded.clear()
    report = encode_corpus(changed, document_encoder, path, buffer_size=5)
    assert (report.encoded, report.kept) == (1, 22)
    assert document_encoder.encoded == ["dog dog fox"]
    require_texts(path, document_encoder, changed)
    assert encode_corpus(changed, document_encoder, path).kept == 23


def test_a_disk_that_fills_keeps_what_is_whole(tmp_path, document_encoder, monkeypatch):
    synced, real = [], os.fsync

    def full(descriptor):
        synced.append(descriptor)
        # A journal, then a part and its line for each buffer; of a file first it, then its folder.
        if len(synced) == 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*part-000002.jsonl"):
        encode_corpus(TEXTS, document_encoder, tmp_path / "v.jsonl", buffer_size=5)
    kept = sorted(path.name for path in (tmp_path / "v.jsonl.parts").iterdir())
    assert kept == ["journal.jsonl", *(f"part-00000{i}.jsonl" for i in range(2))]
    report = encode_corpus(TEXTS, document_encoder, tmp_path / "v.jsonl", buffer_size=5)
    assert report.kept == 10
    require_texts(tmp_path / "v.jsonl", document_encoder)


def test_no_more_than_a_buffer_is_read_ahead(tmp_path, document_encoder):
    read_ahead = []

    def watched():
        for n, text in enumerate(TEXTS):
            read_ahead.append(n - len(document_encoder.encoded))
            yield text

    encode_corpus(watched(), document_encoder, tmp_path / "v.npz", buffer_size=4)
    assert max(read_ahead) <= 4


@pytest.mark.parametrize("name", NAMES)
def test_no_texts_at_all(tmp_path, document_encoder, name):
    assert len(encode_corpus([], document_encoder, tmp_path / name)) == 0
    require_texts(tmp_path / name, document_encoder, texts=[])


def test_bad_arguments(tmp_path, document_encoder):
    with pytest.raises(InvalidInputError, match=r"want a name that ends in .npz, .parquet, .jsonl"):
        encode_corpus(TEXTS, document_encoder, tmp_path / "v.csv")
    with pytest.raises(InvalidInputError, match="buffer_size is 0"):
        encode_corpus(TEXTS, document_encoder, tmp_path / "v.npz", buffer_size=0)
