"""What is searched: documents and queries as term weights, with the scores of the exact hits.

Made once and kept in a folder, documents memory mapped, so that a run starts at once and
collections of any size are read by whoever needs them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench import synthetic
from sparse_ir.corpus import Document
from sparse_ir.evaluation.collection import Collection, read_collection
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.query_vectors import Mode

T = TypeVar("T")
K = 10
SIZES = {
    "100k": 100_000,
    "250k": 250_000,
    "500k": 500_000,
    "1M": 1_000_000,
    "2M": 2_000_000,
    "4M": 4_000_000,
}
SYNTHETIC = tuple(f"synthetic-{size}" for size in SIZES)
TEXT_MODES: tuple[Mode, ...] = ("anchored", "learned")
N_QUERIES = 200  # of each kind
_ROWS = 16384  # documents that are scored at once
_EPSILON = 1e-6  # relative; scores are float32 sums, in another order in every engine


@dataclass(frozen=True)
class Workload:
    """Documents, and kinds of queries."""

    name: str
    folder: Path

    @property
    def documents(self) -> Any:
        """(n, terms) float32 csr_array, read from disk as it is used."""
        return _mapped(self.folder)

    @property
    def kinds(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.npz"))[::-1]

    def queries(self, kind: str) -> Any:
        """(Q, terms) float32 csr_array."""
        return sp.csr_array(sp.load_npz(self.folder / f"{kind}.npz"))

    def recall(self, kind: str, found: list[NDArray[np.int64]]) -> float:
        """Mean share of the ten best documents that is among ``found``, judged by exact scores.

        A document that scores like the tenth is as good as it.
        """
        documents, queries = self.documents, self.queries(kind)
        best = np.load(self.folder / f"{kind}.best.npy")
        shares = []
        for row, docs in enumerate(found):
            wanted = best[row][best[row] > 0]
            known = np.unique(docs)  # an engine that finds fewer than K may fill up with anything
            known = known[(known >= 0) & (known < documents.shape[0])]
            scores = (documents[known] @ queries[[row]].T).toarray()
            n_good = (scores >= wanted.min(initial=np.inf) * (1 - _EPSILON)).sum()
            shares.append(min(n_good, len(wanted)) / max(len(wanted), 1))
        return float(np.mean(shares))


def synthetic_workload(name: str, cache: Path) -> Workload:
    """The generated workload of this name, one of ``SYNTHETIC``."""
    source = Path(synthetic.__file__).read_bytes()
    folder = cache / f"{name}-{hashlib.sha256(source).hexdigest()[:12]}"
    if not folder.is_dir():
        with _whole(folder) as beside:
            blocks = synthetic.blocks(SIZES[name.removeprefix("synthetic-")])
            topic = np.concatenate(_write(beside, blocks))
            documents = _mapped(beside)
            for kind in ("splade", "inference-free"):
                _add(beside, kind, synthetic.queries(documents, topic, N_QUERIES, kind))
    return Workload(name, folder)


def text_collection(source: str, n_documents: int | None = None) -> Collection:
    """A BEIR folder with its dev split; of its documents the first ones, if so many are wanted.

    A query stays if all documents that are relevant to it do.
    """
    whole = read_collection(source, "dev")
    if n_documents is None:
        return whole

    def documents() -> Iterator[Document]:
        return islice(whole.documents(), n_documents)

    doc_ids = {document.doc_id for document in documents()}
    qrels = {query_id: of for query_id, of in whole.qrels.items() if of.keys() <= doc_ids}
    queries = [query for query in whole.queries if query.query_id in qrels]
    return replace(whole, documents=documents, queries=queries, qrels=qrels)


def text_workload(collection: Collection, mode: Mode, cache: Path) -> Workload:
    """A collection as the default model sees it, and its queries.

    Args:
        collection: As ``text_collection`` gives it.
        mode: ``anchored`` (both blocks) or ``learned`` (the learned block alone).
        cache: Where the index is kept that the vectors are read from.
    """
    texts = [query.text for query in collection.queries[:N_QUERIES]]
    name = f"{collection.name}-{mode}"
    with CachedIndexes(collection.documents, cache) as indexes:
        retriever = indexes.sparse
        index = retriever.index
        folder = cache / f"{name}-{index.path.name[-12:]}"
        if not folder.is_dir():
            columns = slice(index.n_terms + (index.n_words if mode == "anchored" else 0))
            with _whole(folder) as beside:
                _write(beside, ((m[:, columns], docs) for docs, m in index.stored_vectors()))
                _add(beside, mode, retriever.query_vectors(texts, mode)[:, columns])
    return Workload(name, folder)


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes this one when all is written."""
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    yield beside
    beside.rename(folder)


def _write(folder: Path, blocks: Iterable[tuple[Any, T]]) -> list[T]:
    """What comes with each block of documents; the documents are written."""
    lengths, n_columns, others = [np.zeros(1, np.int64)], 0, []
    with (folder / "terms.i32").open("wb") as terms, (folder / "weights.f32").open("wb") as weights:
        for block, other in blocks:
            block.indices.astype(np.int32).tofile(terms)
            block.data.astype(np.float32).tofile(weights)
            lengths.append(np.diff(block.indptr))
            n_columns = block.shape[1]
            others.append(other)
    begins = np.cumsum(np.concatenate(lengths))
    np.save(folder / "begins.npy", begins.astype(np.int32) if begins[-1] < 2**31 else begins)
    np.save(folder / "columns.npy", n_columns)
    return others


def _add(folder: Path, kind: str, queries: Any) -> None:
    np.save(folder / f"{kind}.best.npy", _best_scores(_mapped(folder), queries))
    sp.save_npz(folder / f"{kind}.npz", queries)


def _mapped(folder: Path) -> Any:
    begins = np.load(folder / "begins.npy")
    terms = np.memmap(folder / "terms.i32", np.int32, "r")
    weights = np.memmap(folder / "weights.f32", np.float32, "r")
    shape = (len(begins) - 1, int(np.load(folder / "columns.npy")))
    return sp.csr_array((weights, terms, begins), shape=shape)


def _best_scores(documents: Any, queries: Any) -> NDArray[np.float32]:
    """(Q, K) the exact scores of the K best documents of each query."""
    columns = queries.T.tocsr()
    best = np.zeros((queries.shape[0], K), np.float32)
    for start in range(0, documents.shape[0], _ROWS):
        scores = (documents[start : start + _ROWS] @ columns).toarray().T
        best = np.partition(np.concatenate((best, scores), axis=1), -K, axis=1)[:, -K:]
    return best
