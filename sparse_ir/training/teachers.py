"""Teachers: whatever can score a query against a document; and their agreement as one score.

Teachers speak in different units, so each query's scores are normalised before they are weighed and
added. Dense and sparse teachers read every text once; afterwards a batch costs a small product.

Source: Geng, Ru, Yang 2024, "Heterogeneous ensemble knowledge distillation", arXiv:2411.04403,
section 3.3 (min-max, mean over teachers, scale 30).
"""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import rankdata

from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.causal_lm import CausalVectors
from sparse_ir.encoders.checkpoint import Role, model_settings, require_models_extra
from sparse_ir.encoders.dense_encoder import DenseEncoder, fingerprint, load_dense_encoder
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.encoders.options import DEFAULT_DENSE_MODEL, EncoderOptions
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.index import bm25
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.kept_vectors import KeptVectors

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]
Normalization = Literal["minmax", "zscore", "rank"]
_K1, _B = 1.2, 0.75


class PairScorer(Protocol):
    """A teacher that has read a training set."""

    is_cheap: bool
    """Whether scoring every query against every document is affordable."""

    def scores(self, queries: Rows, documents: Rows) -> Scores:
        """(Q, D) float32 scores of these rows; NaN where the teacher does not know."""
        ...


class Teacher(Protocol):
    """Something that can read a training set."""

    def read(self, examples: TrainingSet) -> PairScorer:
        """A scorer of the set's queries and documents."""
        ...


class BM25Teacher:
    """BM25 with the training set's own statistics, every word at its full weight.

    Args:
        analyzer: Of the texts; None is the default one.
    """

    def __init__(self, analyzer: Analyzer | None = None) -> None:
        self._analyzer = analyzer or Analyzer()

    def read(self, examples: TrainingSet) -> PairScorer:
        """As ``Teacher``."""
        lexicon: dict[str, int] = {}
        words = map(self._analyzer.document_words, examples.documents)
        counts = _counts(words, lexicon, grow=True)
        queries = _counts(map(self._analyzer.words, examples.queries), lexicon, grow=False)
        lengths = np.asarray(counts.sum(axis=1)).ravel().astype(np.int64)
        documents = counts.copy()
        documents.data = bm25.document_weights(
            counts.data,
            np.repeat(lengths, np.diff(counts.indptr)),
            average_length=max(float(lengths.mean()), 1.0),
            k1=_K1,
            b=_B,
        )
        df = np.bincount(counts.indices, minlength=len(lexicon))
        queries.data = queries.data * bm25.idf(df, counts.shape[0])[queries.indices]
        return _VectorScorer(queries, documents)


def _counts(texts: Iterable[Sequence[str]], lexicon: dict[str, int], *, grow: bool) -> Any:
    """(n, words) how often each text has each word; the lexicon grows by those it lacks, or not."""
    rows = []
    for words in texts:
        if grow:
            rows.append(Counter(lexicon.setdefault(word, len(lexicon)) for word in words))
        else:
            rows.append(Counter(lexicon[word] for word in words if word in lexicon))
    indptr = np.cumsum([0, *map(len, rows)])
    numbers = np.fromiter(chain.from_iterable(rows), np.int32, indptr[-1])
    values = np.fromiter(chain.from_iterable(r.values() for r in rows), np.float32, indptr[-1])
    return sp.csr_array((values, numbers, indptr), shape=(len(rows), max(1, len(lexicon))))


class DenseTeacher:
    """Cosine of sentence embeddings.

    Args:
        model: ``package:NAME``, folder or hub name.
        max_length: Tokens read of a text.
        cache: Folder in which vectors are kept between runs; None keeps none.
        on_progress: Told how many more texts are done.
    """

    def __init__(
        self,
        model: str = DEFAULT_DENSE_MODEL,
        *,
        max_length: int = 256,
        cache: Path | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        require_models_extra()
        self._name = model
        self._max_length = max_length
        self._kept = KeptVectors(cache)
        self._tell = on_progress or (lambda n: None)
        self._encoders: dict[Role, CausalVectors | DenseEncoder] = {}

    def read(self, examples: TrainingSet) -> PairScorer:
        """As ``Teacher``."""
        documents = self.vectors([d.content for d in examples.documents], "document")
        return _VectorScorer(self.vectors(examples.queries, "query"), documents)

    def vectors(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """(n, H) float32 unit vectors of texts in this role, which may have a prompt of its own."""
        made_by = f"{fingerprint(self._name)}\0{role}\0{self._max_length}"
        return self._kept.dense(made_by, texts, lambda: self._embed(texts, role))

    def _embed(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        if role not in self._encoders:
            options = EncoderOptions(max_length=self._max_length)
            self._encoders[role] = load_dense_encoder(self._name, role, options)
        return self._encoders[role].encode(texts, on_progress=self._tell)


class SparseTeacher:
    """Dot product of a sparse model's term weights.

    Args:
        model: As ``load_encoder``; a bare masked language model encodes both sides (siamese).
        max_length: Tokens read of a text; None takes the model's own limit.
        batch_size: Texts encoded at once.
        cache: As ``DenseTeacher``.
        on_progress: As ``DenseTeacher``.
    """

    def __init__(
        self,
        model: str,
        *,
        max_length: int | None = None,
        batch_size: int = 32,
        cache: Path | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._name = model
        self._max_length = max_length
        self._batch_size = batch_size
        self._kept = KeptVectors(cache)
        self._tell = on_progress or (lambda n: None)

    def read(self, examples: TrainingSet) -> PairScorer:
        """As ``Teacher``."""
        documents = self._vectors([d.content for d in examples.documents], "document")
        return _VectorScorer(self._vectors(examples.queries, "query"), documents)

    def _vectors(self, texts: Sequence[str], role: Role) -> sp.csr_array:
        encoder = load_encoder(self._name, role, max_length=self._max_length)
        encode = partial(encoder.encode, texts, batch_size=self._batch_size, on_progress=self._tell)
        if isinstance(encoder, LookupEncoder):  # which is as fast as reading what is kept
            return sp.csr_array(encode())
        made_by = f"{model_settings(self._name).fingerprint}\0{role}\0{self._max_length}"
        return self._kept.sparse(made_by, texts, encode)


class CrossEncoderTeacher:
    """A sentence-transformers cross-encoder, asked for each pair of each batch."""

    def __init__(self, model: str, *, max_length: int = 256) -> None:
        try:
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise MissingDependencyError(
                "sentence-transformers", extra="train", purpose="cross-encoder teachers"
            ) from error
        self._model = CrossEncoder(model, max_length=max_length)

    def read(self, examples: TrainingSet) -> PairScorer:
        """As ``Teacher``."""
        return CallableTeacher(self._predict).read(examples)

    def _predict(self, queries: Sequence[str], documents: Sequence[str]) -> Scores:
        pairs = list(product(queries, documents))
        scores = np.asarray(self._model.predict(pairs, show_progress_bar=False), np.float32)
        return scores.reshape(len(queries), len(documents))


class CallableTeacher:
    """Any function from query texts and document texts to (Q, D) scores, NaN where it cannot tell.

    Raises:
        InvalidInputError: it gave another shape, when it was asked.
    """

    def __init__(self, score: Callable[[Sequence[str], Sequence[str]], Scores]) -> None:
        self._score = score

    @classmethod
    def named(cls, name: str) -> CallableTeacher:
        """The function ``module:function`` as a teacher.

        Raises:
            InvalidInputError: there is none that can be imported under this name.
        """
        try:
            found = pkgutil.resolve_name(name)
        except (ValueError, ImportError, AttributeError) as error:
            raise InvalidInputError(
                f"the callable teacher {name!r} cannot be imported ({error}); want module:function"
            ) from error
        if not callable(found):
            raise InvalidInputError(f"the callable teacher {name!r} is no function; want one")
        return cls(found)

    def read(self, examples: TrainingSet) -> PairScorer:
        """As ``Teacher``."""
        return _LiveScorer(examples, self._score)


class FileTeacher:
    """The scores that came with the training data; it knows only those pairs."""

    def read(self, examples: TrainingSet) -> PairScorer:
        """As ``Teacher``."""
        return _GivenScorer(examples)


class _VectorScorer:
    """Products of rows, dense or sparse."""

    is_cheap = True

    def __init__(self, queries: Any, documents: Any) -> None:
        self._queries = queries
        self._documents = documents

    def scores(self, queries: Rows, documents: Rows) -> Scores:
        is_all = np.array_equal(documents, np.arange(self._documents.shape[0]))
        asked = self._documents if is_all else self._documents[documents]  # a copy of all is large
        product: Any = self._queries[queries] @ asked.T
        scores: Scores = product.toarray() if sp.issparse(product) else product
        return scores


class _LiveScorer:
    is_cheap = False

    def __init__(self, examples: TrainingSet, score: Callable[..., Scores]) -> None:
        self._examples = examples
        self._score = score

    def scores(self, queries: Rows, documents: Rows) -> Scores:
        asked = [self._examples.queries[i] for i in queries]
        texts = [self._examples.documents[i].content for i in documents]
        scores = np.asarray(self._score(asked, texts), np.float32)
        if scores.shape != (len(asked), len(texts)):
            raise InvalidInputError(
                f"a teacher gave scores of shape {scores.shape}; want {(len(asked), len(texts))}"
            )
        return scores


class _GivenScorer:
    is_cheap = False

    def __init__(self, examples: TrainingSet) -> None:
        self._given = examples.scores

    def scores(self, queries: Rows, documents: Rows) -> Scores:
        rows = [[self._given[q].get(int(d), np.nan) for d in documents] for q in queries]
        return np.array(rows, np.float32).reshape(len(queries), len(documents))


def normalized(scores: Scores, how: Normalization) -> Scores:
    """Each row on a common scale; NaN (unknown) and -inf (masked) stay what they are.

    Args:
        scores: (Q, D).
        how: ``minmax`` to 0..1, ``zscore`` to mean 0 and deviation 1, ``rank`` to 0..1 by order.
    """
    known = np.isfinite(scores)
    n = np.maximum(1, known.sum(1, keepdims=True))
    values = np.where(known, scores, 0)
    if how == "minmax":
        low = np.where(known, scores, np.inf).min(1, keepdims=True, initial=np.inf)
        high = np.where(known, scores, -np.inf).max(1, keepdims=True, initial=-np.inf)
        width = np.where(known.any(1, keepdims=True), high - low, 0)
        out = (values - np.where(np.isfinite(low), low, 0)) / (width + 1e-6)
    elif how == "zscore":
        centred = np.where(known, values - values.sum(1, keepdims=True) / n, 0)
        out = centred / (np.sqrt((centred**2).sum(1, keepdims=True) / n) + 1e-6)
    elif how == "rank":
        ranks = rankdata(np.where(known, scores, np.nan), axis=1, nan_policy="omit")  # ties: means
        out = (ranks - 1) / np.maximum(1, n - 1)
    else:
        raise InvalidInputError(f"normalization is {how!r}; want minmax, zscore or rank")
    return np.where(known, out, scores).astype(np.float32)


def ensemble(
    teachers: Sequence[Scores], weights: Sequence[float], *, how: Normalization = "minmax"
) -> Scores:
    """(Q, D) weighted mean of the teachers' normalised scores, over those that know the pair.

    Who knows one document of a query cannot say whether it is good, and is left out of that row,
    unless nobody knows more.

    Args:
        teachers: One (Q, D) a teacher; NaN where it does not know, -inf where the pair is masked.
        weights: One a teacher, >= 0, not all 0.
        how: As ``normalized``.

    Returns:
        NaN where no teacher knows, -inf where the pair is masked.
    """
    stacked = np.stack([normalized(scores, how) for scores in teachers])
    weight = np.array(weights, np.float32)[:, None, None]
    if not (weight >= 0).all() or not weight.any():
        raise InvalidInputError(f"teacher weights are {list(weights)}; want >= 0 and one > 0")
    known = np.isfinite(stacked)
    compares = known.sum(2, keepdims=True) > 1
    known &= compares | ~compares.any(0)
    mass = (weight * known).sum(0)
    total = (weight * np.where(known, stacked, 0)).sum(0)
    mean = np.where(mass > 0, total / np.where(mass > 0, mass, 1), np.nan)
    return np.where(np.isneginf(stacked).any(0), -np.inf, mean).astype(np.float32)


def agreement(one: Scores, other: Scores) -> float:
    """Share of queries whose best document two teachers agree on, 0..1; NaN if none can tell."""
    tells = np.isfinite(one).any(1) & np.isfinite(other).any(1)
    best = [np.where(np.isfinite(s[tells]), s[tells], -np.inf).argmax(1) for s in (one, other)]
    return float((best[0] == best[1]).mean()) if tells.any() else float("nan")


def fitted_weights(
    scorers: Sequence[PairScorer],
    examples: TrainingSet,
    *,
    n_queries: int = 300,
    step: float = 0.1,
    least: float = 0.1,
    seed: int = 0,
) -> tuple[float, ...]:
    """The teachers' weights with which they best find the positives of labelled queries.

    Teachers know different things of different collections: what the labels say of it decides.

    Args:
        scorers: All cheap; 2 or more.
        examples: With labelled queries; without any, all weigh the same.
        n_queries: Labelled queries asked, drawn at random.
        step: Of the grid of weights that sum to 1.
        least: Weight of the least teacher.
        seed: Of the draw.
    """
    even = tuple(1 / len(scorers) for _ in scorers)
    if examples.n_labelled == 0 or len(scorers) < 2:
        return even
    draw = np.random.default_rng(seed)
    n = min(n_queries, examples.n_labelled)
    asked = np.sort(draw.choice(examples.n_labelled, n, replace=False))
    everything = np.arange(len(examples.documents))
    scores = [normalized(s.scores(asked, everything), "minmax") for s in scorers]
    relevant = np.zeros(scores[0].shape, bool)
    for row, query in enumerate(asked):
        relevant[row, list(examples.positives[query])] = True
    parts = np.arange(least, 1, step)
    grid = [w for w in product(parts, repeat=len(scorers)) if abs(sum(w) - 1) < 1e-6]
    gains = [
        _mean_gain(sum(w * s for w, s in zip(weights, scores, strict=True)), relevant)
        for weights in grid
    ]
    if not grid:
        return even
    return tuple(float(w) for w in grid[int(np.argmax(gains))])


def _mean_gain(scores: Any, relevant: NDArray[np.bool_]) -> float:
    """Mean of 1 / log2(1 + rank) of each query's best positive."""
    best = np.where(relevant, scores, -np.inf).max(1, keepdims=True)
    rank = 1 + (scores > best).sum(1)
    return float((1 / np.log2(1 + rank)).mean())
