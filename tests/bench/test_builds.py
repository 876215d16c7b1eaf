"""An index is built once a version, elsewhere, and measured."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import scipy.sparse as sp

from bench.builds import built
from bench.workloads import Workload, _write


@dataclass
class Copy:
    """An engine that keeps the weights."""

    number: int
    name: str = "copy, plain"

    def version(self):
        return str(self.number)

    def build(self, documents, folder):
        documents.data.tofile(folder / "weights")


@pytest.fixture
def workload(tmp_path):
    _write(tmp_path, [(sp.random_array((50, 20), density=0.5, format="csr", rng=1), None)])
    return Workload("fifty", tmp_path)


def test_built_once_a_version(workload):
    folder, facts = built(Copy(1), workload)
    assert facts.n_bytes == 4 * workload.documents.nnz == (folder / "weights").stat().st_size
    assert facts.cpu_seconds >= 0
    (folder / "mark").touch()
    assert built(Copy(1), workload) == (folder, facts)
    assert (folder / "mark").exists()
    assert built(Copy(2), workload)[1].version == "2"
    assert not (folder / "mark").exists()


def test_what_a_build_raises_arrives(workload):
    with pytest.raises(AttributeError):
        built(Copy(None, name=None), workload)
