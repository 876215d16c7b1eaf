"""An index is made in any folder, and what others keep there stays as it is."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from test_writer_reader import N_TERMS, rows, scores

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import FILE_NAME, Catalog
from sparse_ir.index.dense_segment import DenseRows
from sparse_ir.index.lock import FILE_NAME as LOCK_NAME
from sparse_ir.index.params import DensePart
from sparse_ir.index.reader import Index
from sparse_ir.index.segment_files import own_files
from sparse_ir.index.writer import IndexWriter

THEIRS = ("segment-report.md", "segment-1.sir", "segment-000001.sir.bak", "segment-000001.csv")


def fill(folder):
    folder.mkdir()
    (folder / "table").write_text("ours")


def content(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text("latin-1") for path in files}


def test_files_of_others_stay(tmp_path):
    (tmp_path / "segment-data").mkdir()
    for name in (*THEIRS, "segment-data/x"):
        (tmp_path / name).write_text(name)
    before = content(tmp_path)
    with IndexWriter.create(tmp_path, n_terms=N_TERMS, beside={"queries": fill}) as writer:
        for i in range(9):
            writer.add_vectors(rows({0: 1.0}), [str(i)])
            writer.commit()
        writer.optimize()
    IndexWriter.open(tmp_path).close()
    assert before.items() <= content(tmp_path).items()
    assert [path.suffix for path in own_files(tmp_path)] == [".sir"]


def test_nothing_of_a_new_index_that_is_given_up_stays(tmp_path):
    (tmp_path / "segment-report.md").write_text("theirs")
    writer = IndexWriter.create(tmp_path, n_terms=N_TERMS, beside={"queries": fill})
    with pytest.raises(KeyboardInterrupt), writer:
        writer.add_vectors(rows({0: 1.0}), ["a"])
        writer.flush()
        raise KeyboardInterrupt
    assert content(tmp_path) == {"segment-report.md": "theirs"}


@pytest.mark.parametrize(
    "name",
    ["queries/x", "queries", "queries.tmp/x", "queries.replaced/x", FILE_NAME]
    + [f"segment-000001.{end}" for end in ("sir", "vec", "faiss", "sir.tmp", "vec/x")],
)
def test_nothing_of_others_is_overwritten(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    for _ in range(2):  # the first leaves nothing that would let the second through
        with pytest.raises(InvalidInputError, match=r"is there, .* would overwrite it; name anoth"):
            IndexWriter.create(tmp_path, n_terms=N_TERMS, beside={"queries": fill})
        assert content(tmp_path) == {name: ""}


def test_an_index_without_its_lock_is_an_index(tmp_path):
    IndexWriter.create(tmp_path, n_terms=N_TERMS).close()
    (tmp_path / LOCK_NAME).unlink()
    with pytest.raises(InvalidInputError, match="holds an index already"):
        IndexWriter.create(tmp_path, n_terms=N_TERMS)


@pytest.mark.parametrize("last", ["folders", "catalog"])
def test_a_crash_while_an_index_is_made(tmp_path, last):
    """Half a folder is there, and no catalog or an empty one; the next writer makes it whole."""
    killed = f"""
import os, sys
from pathlib import Path
from sparse_ir.index import writer
from sparse_ir.index.catalog import Catalog

def die(*_):
    os._exit(9)

def fill(folder):
    folder.mkdir()
    (folder / "half").write_text("half")
    if "{last}" == "folders":
        die()

Catalog.update_settings = die
writer.IndexWriter.create(Path(sys.argv[1]), n_terms={N_TERMS}, beside={{"queries": fill}})
"""
    done = subprocess.run(
        [sys.executable, "-c", killed, str(tmp_path / "i")], cwd=tmp_path, check=False
    )
    assert done.returncode == 9
    assert (tmp_path / "i" / FILE_NAME).exists() == (last == "catalog")
    assert not Catalog.exists(tmp_path / "i")
    with IndexWriter.create(tmp_path / "i", n_terms=N_TERMS, beside={"queries": fill}) as writer:
        writer.add_vectors(rows({0: 1.0}), ["a"])
    assert content(tmp_path / "i" / "queries") == {"table": "ours"}
    with Index.open(tmp_path / "i") as index:
        index.verify()
        assert scores(index, {0: 1.0}) == {"a": 1.0}


def test_a_writer_that_cannot_begin_leaves_nothing(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no more"):
        patch.setattr("sparse_ir.index.writer.SegmentFiles", lambda *_: fail())
        IndexWriter.create(tmp_path / "i", n_terms=N_TERMS, beside={"queries": fill})
    assert not (tmp_path / "i").exists()
    IndexWriter.create(tmp_path / "i", n_terms=N_TERMS).close()


def fail():
    raise OSError("no more files")


def test_every_file_that_a_segment_has_is_known_as_ours(tmp_path, monkeypatch):
    """Those of a flush that is never committed go, with what a crash left half written."""
    pytest.importorskip("faiss")
    monkeypatch.setattr("sparse_ir.index.faiss_codes.LEAST_ROWS", 1)
    part = DensePart("", 3, codes="hnsw")
    with IndexWriter.create(tmp_path, n_terms=N_TERMS, dense=part) as writer:
        writer.commit()
        dense = DenseRows(np.eye(3, dtype=np.float32), np.ones(3, np.int64))
        writer.add_vectors(rows(*[{0: 1.0}] * 3), ["a", "b", "c"], dense=dense)
        writer.flush()
        writer._files.wait()
        assert {path.suffix for path in own_files(tmp_path)} == {".sir", ".vec", ".faiss"}
        for path in own_files(tmp_path):
            path.with_name(f"{path.name}.tmp").write_text("half")
        writer.close()
    assert own_files(tmp_path) == []
