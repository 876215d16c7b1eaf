"""HybridRetriever: the sparse and the dense part of one index, fused.

Each leg gives candidates; each scores the other's exactly, the sparse one from the forward index,
the dense one from the float16 vectors; the fusion ranks them all. With ``candidates="sparse"`` the
dense leg searches nothing: it verifies what the sparse leg found, and no more of the vectors is
read than these.

Source: Xiao et al. 2022, arXiv:2201.05409 (light candidates, heavy verification).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from sparse_ir.corpus import Document
from sparse_ir.encoders.encoder import OnePassEncoder
from sparse_ir.encoders.lookup import require_texts
from sparse_ir.errors import IndexFormatError, InvalidInputError
from sparse_ir.hits import Hit, Hits
from sparse_ir.index.filters import Filter
from sparse_ir.index.params import Approximate, Exact
from sparse_ir.index.reader import EXACT, Index, dense_part
from sparse_ir.retrieval.candidates import CandidateScores, FusedHits, fuse, score_candidates
from sparse_ir.retrieval.dense_part import VectorEncoder, load_dense
from sparse_ir.retrieval.dense_queries import FOLDER, load_table
from sparse_ir.retrieval.explanation import WeightedTerm
from sparse_ir.retrieval.fusion import Fusion
from sparse_ir.retrieval.highlights import Highlight, Snippet, TermMatch, Tracer
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.retriever import AsyncSearch, SparseRetriever, checked_k
from sparse_ir.vectors import TermWeights

HybridMode = Literal["hybrid", "dense", "anchored", "learned", "lexical"]
Candidates = Literal["both", "sparse"]
DenseQueries = Literal["table", "network"]
FUSION = "fusion"  # the setting of an index that ``tune`` keeps there
DEFAULT_FUSION = Fusion()


class HybridRetriever(AsyncSearch):
    """Searches an index in any mode; safe to share between threads.

    Args:
        sparse: The retriever of the index's sparse part.
        encoder: Query encoder of the dense part; None loads the index's own when first needed.
        fusion: None takes what ``tune`` keeps with the index, or the default.
        candidates: ``both`` legs give candidates, or only the ``sparse`` one, and the dense one
            verifies them.
        dense_queries: By the index's ``table``, or the model's ``network``; None takes the table if
            there is one.
    """

    def __init__(
        self,
        sparse: SparseRetriever,
        encoder: VectorEncoder | None = None,
        *,
        fusion: Fusion | None = None,
        candidates: Candidates = "both",
        dense_queries: DenseQueries | None = None,
    ) -> None:
        if candidates not in get_args(Candidates):
            raise InvalidInputError(
                f"candidates are {candidates!r}; want {' or '.join(get_args(Candidates))}"
            )
        if dense_queries not in (None, *get_args(DenseQueries)):
            raise InvalidInputError(
                f"dense_queries are {dense_queries!r}; want {' or '.join(get_args(DenseQueries))}"
            )
        self.sparse = sparse
        self.fusion = fusion or _kept_fusion(sparse.index)
        self.candidates = candidates
        self._fusion = fusion
        self._given = self._loaded = encoder
        self._loading = threading.Lock()
        self._dense_queries = dense_queries
        self._dense_source = _dense_source(sparse.index)

    @classmethod
    def open(
        cls,
        path: str | Path = ".sparse-ir",
        *,
        fusion: Fusion | None = None,
        candidates: Candidates = "both",
        dense_queries: DenseQueries | None = None,
    ) -> HybridRetriever:
        """A retriever for the index in the folder ``path``, as last committed.

        An index without a dense part is searched in the sparse modes.

        Raises:
            InvalidInputError: there is no index, or it holds vectors without text.
            IndexFormatError: a file of it is corrupt, or its fusion is from an unknown version.
        """
        sparse = SparseRetriever.open(path)
        return cls._over(sparse, fusion=fusion, candidates=candidates, dense_queries=dense_queries)

    def reopened(self) -> HybridRetriever:
        """As ``SparseRetriever.reopened``; a dense encoder that is loaded stays so.

        It is loaded anew if the index has another dense part, or table of dense queries, by now.
        """
        again = self._over(
            self.sparse.reopened(),
            encoder=self._given,
            fusion=self._fusion,
            candidates=self.candidates,
            dense_queries=self._dense_queries,
        )
        if again._dense_source == self._dense_source:
            again._loaded = self._loaded
        return again

    @classmethod
    def _over(cls, sparse: SparseRetriever, **options: Any) -> HybridRetriever:
        """A retriever over this one, which is closed if there can be none."""
        try:
            return cls(sparse, **options)
        except BaseException:
            sparse.close()
            raise

    @property
    def index(self) -> Index:
        """What is searched."""
        return self.sparse.index

    @property
    def modes(self) -> tuple[HybridMode, ...]:
        """Those that this index can be searched in, the default first."""
        every: tuple[HybridMode, ...] = get_args(HybridMode)
        return every if self.index.has_dense else get_args(Mode)

    @property
    def default_mode(self) -> HybridMode:
        """``hybrid`` if the index has a dense part, else ``anchored``."""
        return "hybrid" if self.index.has_dense else "anchored"

    def close(self) -> None:
        """The index is closed."""
        self.sparse.close()

    def __enter__(self) -> HybridRetriever:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def search(  # type: ignore[overload-overlap]  # a string is a sequence of strings, alas
        self,
        queries: str,
        k: int = ...,
        *,
        mode: HybridMode | None = ...,
        sparse_mode: Mode = ...,
        filter: Filter | None = ...,
        plan: Exact | Approximate = ...,
        threads: int = ...,
        with_text: bool = ...,
    ) -> list[Hit]: ...

    @overload
    def search(
        self,
        queries: Sequence[str],
        k: int = ...,
        *,
        mode: HybridMode | None = ...,
        sparse_mode: Mode = ...,
        filter: Filter | None = ...,
        plan: Exact | Approximate = ...,
        threads: int = ...,
        with_text: bool = ...,
    ) -> list[list[Hit]]: ...

    def search(
        self,
        queries: str | Sequence[str],
        k: int = 10,
        *,
        mode: HybridMode | None = None,
        sparse_mode: Mode = "anchored",
        filter: Filter | None = None,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
        with_text: bool = True,
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents of one query, or of each of several, best first.

        Args:
            queries: A text, or a sequence of texts.
            k: Hits wanted a query, >= 1; all of them if there are fewer documents.
            mode: ``hybrid`` = anchored and dense, fused; ``dense``; or one of ``SparseRetriever``;
                None takes ``default_mode``.
            sparse_mode: The sparse leg of ``hybrid``: with ``lexical`` it is BM25 + dense.
            filter: As ``SparseRetriever.search``.
            plan: As ``SparseRetriever.search``, of the sparse leg.
            threads: Queries searched at once by the sparse leg, >= 1.
            with_text: As ``SparseRetriever.search``.

        Raises:
            InvalidInputError: a bad argument, or ``hybrid`` or ``dense`` without a dense part.
            MissingDependencyError: the dense query encoder needs torch or transformers.
        """
        texts = [queries] if isinstance(queries, str) else queries
        mode = mode or self.default_mode
        if mode == "hybrid":
            fused = self.search_fused(
                texts, k, sparse_mode=sparse_mode, filter=filter, plan=plan, threads=threads
            )
            ranked = [
                [replace(hit, legs=fused.legs(query, rank)) for rank, hit in enumerate(hits)]
                for query, hits in enumerate(self.sparse.hits(fused.hits, with_text=with_text))
            ]
        else:
            found = self.search_arrays(
                texts, k, mode=mode, filter=filter, plan=plan, threads=threads
            )
            ranked = self.sparse.hits(found, with_text=with_text)
        return ranked[0] if isinstance(queries, str) else ranked

    def stream(
        self,
        query: str,
        *,
        mode: HybridMode | None = None,
        filter: Filter | None = None,
        with_text: bool = True,
    ) -> Iterator[Hit]:
        """As ``SparseRetriever.stream``, in its modes.

        Raises:
            InvalidInputError: the mode is ``hybrid`` or ``dense``, in which all documents match.
        """
        match mode or self.default_mode:
            case "hybrid" | "dense" as every:
                raise InvalidInputError(
                    f"mode is {every!r}, in which every document is a hit; want "
                    f"{', '.join(get_args(Mode))} to stream, or search with a k"
                )
            case sparse:
                return self.sparse.stream(query, mode=sparse, filter=filter, with_text=with_text)

    def search_arrays(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        mode: HybridMode | None = None,
        filter: Filter | None = None,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
    ) -> Hits:
        """As ``search``, giving arrays, as ``SparseRetriever.search_arrays`` does."""
        mode = mode or self.default_mode
        k = checked_k(k, len(self.index))
        if mode == "hybrid":
            return self.search_fused(queries, k, filter=filter, plan=plan, threads=threads).hits
        if mode == "dense":
            dense = self.index.dense
            return dense.search(self.dense_query_vectors(queries), k, filter=filter)
        return self.sparse.search_arrays(
            queries, k, mode=mode, filter=filter, plan=plan, threads=threads
        )

    def search_fused(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        sparse_mode: Mode = "anchored",
        filter: Filter | None = None,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
    ) -> FusedHits:
        """The fused ranking, what each leg says of it, and what it cost.

        Args:
            queries: Q texts.
            k: As ``search``; more than ``fusion.depth`` deepens it.
            sparse_mode: As ``search``.
            filter: As ``search``.
            plan: As ``search``.
            threads: As ``search``.
        """
        k = checked_k(k, len(self.index))
        depth = max(self.fusion.depth, k)
        candidates = self.find_candidates(
            queries, depth, sparse_mode=sparse_mode, filter=filter, plan=plan, threads=threads
        )
        hits, legs = fuse(candidates, self.fusion, k, self.index.doc_ids)
        n_vectors = np.array([one.n_vectors for one in candidates], np.int64)
        return FusedHits(
            hits,
            (sparse_mode, "dense"),
            *legs,
            n_candidates=np.array([len(one.docs) for one in candidates], np.int64),
            bytes_read=2 * self.index.dense.dimension * n_vectors,
        )

    def find_candidates(
        self,
        queries: Sequence[str],
        depth: int,
        *,
        sparse_mode: Mode = "anchored",
        filter: Filter | None = None,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
    ) -> list[CandidateScores]:
        """Of each query what is to be fused: the documents that a leg found, scored by both.

        Args:
            queries: Q texts.
            depth: Documents that each leg gives, >= 1.
            sparse_mode: As ``search``.
            filter: As ``search``.
            plan: As ``search``.
            threads: As ``search``.
        """
        dense, depth = self.index.dense, checked_k(depth, len(self.index), "depth")
        learned, vectors = self._both(queries)
        terms = self.sparse.query_arrays(queries, sparse_mode, learned)
        by_terms = self.sparse.search_query_arrays(
            terms, depth, mode=sparse_mode, filter=filter, plan=plan, threads=threads
        )
        by_vectors = (
            dense.search(vectors, depth, filter=filter) if self.candidates == "both" else None
        )
        return [
            score_candidates(
                query,
                by_terms,
                by_vectors,
                near=self.fusion.depth,
                score=partial(self.sparse.scores, terms, query, mode=sparse_mode),
                verify=partial(dense.scores, vector),
            )
            for query, vector in enumerate(vectors)
        ]

    def document(self, doc_id: str) -> Document:
        """The document as it was added.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        return self.index.document(doc_id)

    def explain(self, query: str, doc_id: str, mode: HybridMode | None = None) -> list[TermMatch]:
        """What each matching term adds to the sparse leg's score, most first; of ``dense`` nothing.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        if mode == "dense":
            return []
        return self.sparse.explain(query, doc_id, self._explained_mode(mode))

    def query_terms(self, query: str, mode: HybridMode | None = None) -> list[WeightedTerm]:
        """What the sparse leg searches for, the greatest first; of ``dense`` nothing."""
        if mode == "dense":
            return []
        return self.sparse.query_terms(query, self._explained_mode(mode))

    def document_terms(self, doc_id: str) -> list[WeightedTerm]:
        """As ``SparseRetriever.document_terms``."""
        return self.sparse.document_terms(doc_id)

    def highlights(
        self,
        query: str,
        doc_id: str,
        mode: HybridMode | None = None,
        *,
        tracer: Tracer | None = None,
    ) -> list[Highlight]:
        """As ``SparseRetriever.highlights``, by the terms of the sparse leg."""
        return self.sparse.highlights(query, doc_id, self._explained_mode(mode), tracer=tracer)

    def snippet(
        self, query: str, hit: Hit, mode: HybridMode | None = None, *, length: int = 240
    ) -> Snippet:
        """As ``SparseRetriever.snippet``, by the terms of the sparse leg."""
        return self.sparse.snippet(query, hit, self._explained_mode(mode), length=length)

    def dense_query_vectors(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """(Q, dimension) the vectors by which the dense leg finds these texts.

        Raises:
            InvalidInputError: as ``require_texts``.
        """
        require_texts(queries)
        return self._encoder.encode(queries)

    def _both(self, queries: Sequence[str]) -> tuple[TermWeights | None, NDArray[np.float32]]:
        """What both legs search by, from one pass if the index is of one model."""
        part, encoder = dense_part(self.index.settings), self.sparse.encoder
        is_one_model = part is not None and part.model == self.index.settings.get("model")
        by_network = self._given is None and self._dense_queries != "table"
        if is_one_model and by_network and isinstance(encoder, OnePassEncoder):
            return encoder.encode_both(queries)
        return None, self.dense_query_vectors(queries)

    def _explained_mode(self, mode: HybridMode | None) -> Mode:
        """The mode in which the terms are explained, marked and cut out of texts."""
        match mode or self.default_mode:
            case "hybrid" | "dense":
                return "anchored"
            case sparse:
                return sparse

    @property
    def _encoder(self) -> VectorEncoder:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load_encoder()
            return self._loaded

    def _load_encoder(self) -> VectorEncoder:
        part = dense_part(self.index.settings)
        if part is None or not part.model:
            raise InvalidInputError(
                f"{self.index.path} says of no model that its dense part was made with; give "
                "HybridRetriever the query encoder"
            )
        table = load_table(self.index.path, part) if self._dense_queries != "network" else None
        if table is None and self._dense_queries == "table":
            raise InvalidInputError(
                f"{self.index.path} has no table of dense queries; make one with: "
                "sparse-ir distil-queries"
            )
        return table or load_dense(part.model, "query")


def _kept_fusion(index: Index) -> Fusion:
    kept = index.settings.get(FUSION)
    if not kept:
        return DEFAULT_FUSION
    try:
        return Fusion(**kept)
    except (TypeError, InvalidInputError) as error:
        raise IndexFormatError(
            f"{index.path} keeps a fusion that this release does not know ({error}); give "
            "HybridRetriever one, or take the release that kept it"
        ) from error


def _dense_source(index: Index) -> tuple[str, float]:
    """What tells dense query encoders apart: the dense model, and the moment of its table."""
    part, table = dense_part(index.settings), index.path / FOLDER
    return part.fingerprint if part else "", table.stat().st_mtime if table.is_dir() else 0.0
