"""DenseTable: dense queries without a network. A vector for each token; a text is their sum.

The table is distilled from a dense encoder in closed form. First one linear map for all tokens, of
their own vectors and how rare they are, then each token's difference from it, the smaller the less
is known of it: of all such tables the one whose means of rows are nearest to the vectors of texts.

Source: the idea of a dense query as a mean of looked-up token vectors: Ma et al. 2025,
"LightRetriever", arXiv:2505.12260, who train it together with the document encoder; here the
document encoder stays as it is, and the table is a ridge regression on it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sparse_ir.encoders.json_files import read_object
from sparse_ir.encoders.lookup import (
    CONFIG_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    load_tokenizer,
    require_texts,
)
from sparse_ir.encoders.tensor_files import load_tensors, save_tensors
from sparse_ir.errors import InvalidInputError
from sparse_ir.files import standing_folder, whole_folder
from sparse_ir.vectors import unit

_STEPS = 40  # of conjugate gradients: more changes no third digit
_STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)  # of the ridge, tried on held-out texts
_HELD_OUT = 10  # one text in so many
_MAP_STRENGTH = 1e-4  # of the linear map's ridge

Vectors = NDArray[np.float32]


class DenseTable:
    """Vectors of texts, looked up: microseconds a query, no torch.

    Args:
        tokenizer: Gives the row numbers; special tokens are never added.
        rows: (V, dimension) float16, one a token.
        fingerprint: Of the dense model that it stands for.
    """

    def __init__(
        self, tokenizer: Tokenizer, rows: NDArray[np.float16], fingerprint: str = ""
    ) -> None:
        size = tokenizer.get_vocab_size()
        if rows.ndim != 2 or len(rows) != size or not np.isfinite(rows).all():
            raise InvalidInputError(
                f"rows of shape {rows.shape} came for a tokenizer of {size} tokens; want a finite "
                "vector each"
            )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._rows = rows
        self.fingerprint = fingerprint

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return int(self._rows.shape[1])

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> Vectors:
        """(n, dimension) float32 unit vectors; 0 of a text without tokens."""
        require_texts(texts)
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        sums = [self._rows[one.ids].sum(0, dtype=np.float32) for one in encoded]
        return unit(np.array(sums, np.float32).reshape(len(sums), self.dimension))

    def save(self, folder: Path) -> None:
        """The table is in ``folder``, whole, or what was there before still is."""
        with whole_folder(folder) as beside:
            beside.mkdir(parents=True)
            self._tokenizer.save(str(beside / TOKENIZER_FILE), pretty=False)
            save_tensors({"weight": self._rows}, beside / WEIGHTS_FILE)
            (beside / CONFIG_FILE).write_text(json.dumps({"fingerprint": self.fingerprint}))

    @classmethod
    def load(cls, folder: Path) -> DenseTable:
        """The table saved in ``folder``.

        Raises:
            InvalidInputError: a file is malformed, or they do not fit together.
            OSError: a file is missing.
        """
        folder = standing_folder(folder)
        tensors = load_tensors(folder / WEIGHTS_FILE)
        if "weight" not in tensors:
            raise InvalidInputError(f"{folder / WEIGHTS_FILE} holds no tensor 'weight'")
        config = read_object(folder / CONFIG_FILE)
        rows: Any = tensors["weight"].astype(np.float16)
        return cls(load_tokenizer(folder / TOKENIZER_FILE), rows, str(config.get("fingerprint")))


@dataclass(frozen=True, slots=True)
class Distilled:
    """A table and how near it comes.

    Args:
        table: Fitted on all texts.
        strength: Of the ridge: what was best on held-out texts.
        cosine: Mean cosine with the encoder's vectors on texts that were held out, -1..1.
        cosine_of_tokens: The same of the tokens' own vectors, unfitted.
        held_out: (h,) numbers of these texts.
        predicted: (h, dimension) their unit vectors, by a table fitted on the others.
    """

    table: DenseTable
    strength: float
    cosine: float
    cosine_of_tokens: float
    held_out: NDArray[np.int64]
    predicted: Vectors


def distil(
    tokenizer: Tokenizer,
    token_vectors: Vectors,
    texts: Sequence[str],
    vectors: Vectors,
    fingerprint: str = "",
) -> Distilled:
    """The table whose means of rows are nearest to the texts' vectors, by ridge regression.

    Minimises ``|X T - Y|^2 + strength n / V |T - T0|^2``: X has the tokens' shares of each of n
    texts, Y the texts' vectors, T0 is the linear map of what is known of each token alone.

    Args:
        tokenizer: Of the dense model.
        token_vectors: (V, dimension) the encoder's vectors of the tokens alone.
        texts: n >= 20 texts like the queries to come.
        vectors: (n, dimension) the encoder's vectors of them.
        fingerprint: Of the dense model.
    """
    if len(texts) < 2 * _HELD_OUT:
        raise InvalidInputError(f"{len(texts)} texts came; want {2 * _HELD_OUT} or more")
    tokenizer.no_truncation()  # as the table reads texts, whatever the model's file says
    tokenizer.no_padding()
    shares = _shares(tokenizer, texts)
    is_held = np.arange(len(texts)) % _HELD_OUT == 0
    seen, held = np.flatnonzero(~is_held), np.flatnonzero(is_held)
    start = _mapped(shares[seen], token_vectors, vectors[seen])
    tried = [
        unit(shares[held] @ _fit(shares[seen], vectors[seen], start, strength))
        for strength in _STRENGTHS
    ]
    cosines = [_cosine(one, vectors[held]) for one in tried]
    best = int(np.argmax(cosines))
    rows = _fit(shares, vectors, _mapped(shares, token_vectors, vectors), _STRENGTHS[best])
    return Distilled(
        DenseTable(tokenizer, rows.astype(np.float16), fingerprint),
        _STRENGTHS[best],
        cosines[best],
        _cosine(shares[held] @ token_vectors, vectors[held]),
        held,
        tried[best],
    )


def _shares(tokenizer: Tokenizer, texts: Sequence[str]) -> sp.csr_array:
    """(n, V) each token's share of a text's tokens."""
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    counts = [Counter(one.ids) for one in encoded]
    indptr = np.cumsum([0, *map(len, counts)])
    tokens = np.array([token for one in counts for token in one], np.int32)
    shares = [n / one.total() for one in counts for n in one.values()]
    shape = (len(texts), tokenizer.get_vocab_size())
    return sp.csr_array((np.array(shares, np.float32), tokens, indptr), shape=shape)


def _mapped(shares: sp.csr_array, token_vectors: Vectors, wanted: Vectors) -> Vectors:
    """(V, dimension) the best rows that one linear map gives for all tokens.

    It maps a token's own vector, its idf among the texts, and their product: rare tokens may weigh
    more, and tokens that no text has get rows of the same kind.
    """
    n_texts, n_tokens = shares.shape
    frequencies = np.bincount(shares.indices, minlength=n_tokens)[:, None]
    idf = np.log((n_texts + 1) / (frequencies + 0.5)) / np.log(n_texts + 1)
    known = np.hstack([token_vectors, idf * token_vectors, idf, np.ones_like(idf)])
    known = known.astype(np.float32)
    means = shares @ known
    gram = (means.T @ means).astype(np.float64)
    gram[np.diag_indices(len(gram))] += _MAP_STRENGTH * n_texts
    weights = np.linalg.solve(gram, (means.T @ wanted).astype(np.float64))
    return np.asarray(known @ weights.astype(np.float32), np.float32)


def _fit(shares: sp.csr_array, wanted: Vectors, start: Vectors, strength: float) -> Vectors:
    """The minimum, by conjugate gradients on the normal equations, a column independent.

    Rows of tokens that no text has stay as they are.
    """
    ridge = np.float32(strength * shares.shape[0] / shares.shape[1])
    used = np.unique(shares.indices)
    shares = sp.csr_array(shares[:, used])
    transposed = shares.T.tocsr()
    residual = transposed @ (wanted - shares @ start[used])
    change = np.zeros_like(residual)
    direction, square = residual.copy(), (residual**2).sum(0)
    for _ in range(_STEPS):
        image = transposed @ (shares @ direction) + ridge * direction
        step = square / np.maximum((direction * image).sum(0), 1e-20)
        change += step * direction
        residual -= step * image
        square, before = (residual**2).sum(0), square
        direction = residual + square / np.maximum(before, 1e-20) * direction
    rows = start.astype(np.float32)  # a copy
    rows[used] += change
    return rows


def _cosine(vectors: Vectors, wanted: Vectors) -> float:
    return float((unit(vectors) * unit(wanted)).sum(1).mean())
