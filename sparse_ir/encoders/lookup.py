"""LookupEncoder: queries without a network. Tokenise, look each token's weight up, done.

Source: Geng, Ru, Yang 2024, "Towards Competitive Search Relevance For Inference-Free Learned Sparse
Retrievers", arXiv:2411.04403, section 3. There each token counts once; ``counts`` multiplies by its
number of occurrences, which does better on long queries.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from sparse_ir.encoders.json_files import read_object
from sparse_ir.encoders.options import require_integer
from sparse_ir.encoders.pruning import prune
from sparse_ir.encoders.tensor_files import load_tensors, save_tensors
from sparse_ir.errors import InvalidInputError
from sparse_ir.files import standing_folder, whole_folder
from sparse_ir.vectors import TermWeights
from sparse_ir.vocabulary import Vocabulary

TOKENIZER_FILE = "tokenizer.json"
WEIGHTS_FILE = "model.safetensors"  # the layout of a sentence-transformers SparseStaticEmbedding
CONFIG_FILE = "config.json"

TermSpan = tuple[int, int, int]
"""(first character, behind the last one, term)."""


class LookupEncoder:
    """Term weights from a table: no model, no torch, microseconds a query.

    Args:
        tokenizer: Gives the term numbers; special tokens are never added.
        weights: (V,) float32 >= 0, one a token of the tokenizer.
        counts: Whether a token's weight is multiplied by how often it occurs.
        top_terms: As ``prune``.
        prune_ratio: As ``prune``.
        prompt: Put before every text, and so in every vector.

    Raises:
        InvalidInputError: as many weights as tokens did not come, one is negative or not finite,
            tokens are not numbered without gaps, or top_terms is below 1.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        weights: NDArray[np.float32],
        *,
        counts: bool,
        top_terms: int | None = None,
        prune_ratio: float = 0.0,
        prompt: str = "",
    ) -> None:
        if top_terms is not None:
            require_integer("top_terms", top_terms, 1)
        self.weights = _checked(weights, tokenizer.get_vocab_size())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.vocabulary = vocabulary_of(tokenizer)
        self.counts = counts
        self.top_terms = top_terms
        self._prune_ratio = prune_ratio
        self.prompt = prompt

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> TermWeights:
        """(n, V) float32 csr_array: the weight of each token of each text.

        Raises:
            InvalidInputError: as ``require_texts``.
        """
        require_texts(texts)
        texts = [self.prompt + text for text in texts] if self.prompt else list(texts)
        # One by one: a batch is spread over threads, whose waking takes longer than short texts do.
        encoded = [
            self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0] for text in texts
        ]
        rows = [sorted(Counter(one.ids).items()) for one in encoded]
        indptr = np.zeros(len(rows) + 1, np.int32)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        tokens = np.array([token for row in rows for token, _ in row], np.int32)
        weights = self.weights[tokens]
        if self.counts:
            weights = weights * np.array([n for row in rows for _, n in row], np.float32)
        matrix = sp.csr_array((weights, tokens, indptr), shape=(len(rows), len(self.weights)))
        if not weights.all():
            matrix.eliminate_zeros()
        if on_progress:
            on_progress(len(rows))
        return prune(matrix, top_terms=self.top_terms, prune_ratio=self._prune_ratio)

    def significance(self, word: str) -> float:
        """The root of the word's weight, that of its heaviest piece, over the median of the table.

        1 for a word without a weight. (The root was chosen on dev splits: it gains on each of them,
        the weight itself more on some and nothing on others.)
        """
        pieces = self._tokenizer.encode(word, add_special_tokens=False).ids
        weight = self.weights[pieces].max(initial=0)
        return math.sqrt(weight / self._median_weight) if weight else 1.0

    @cached_property
    def _median_weight(self) -> float:
        return float(np.median(self.weights[self.weights > 0]))

    def own_terms(self, text: str) -> set[int]:
        """The terms that the text contains."""
        return set(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def term_spans(self, text: str) -> list[TermSpan]:
        """Which terms the text contains, and the words that they are parts of."""
        return term_spans(self._tokenizer.encode(text, add_special_tokens=False))

    def with_weights(self, weights: NDArray[np.float32]) -> LookupEncoder:
        """The same encoder with another table, (V,) float32 >= 0."""
        other = copy(self)  # the vocabulary, too large to make anew for every index, is shared
        other.weights = _checked(weights, len(self.weights))
        vars(other).pop("_median_weight", None)  # of the old table
        return other

    def with_pruning(self, *, top_terms: int | None, prune_ratio: float) -> LookupEncoder:
        """The same encoder, keeping fewer terms of each text; None for as many as it does."""
        return LookupEncoder(
            self._tokenizer,
            self.weights,
            counts=self.counts,
            top_terms=top_terms or self.top_terms,
            prune_ratio=prune_ratio,
            prompt=self.prompt,
        )

    def save(self, folder: str | Path) -> None:
        """The encoder is in ``folder``, whole, or what was there before still is."""
        config: dict[str, object] = {"frozen": True, "counts": self.counts}
        own = {"prompt": self.prompt, "top_terms": self.top_terms}
        config |= {name: value for name, value in own.items() if value}
        with whole_folder(Path(folder)) as beside:
            beside.mkdir(parents=True)
            self._tokenizer.save(str(beside / TOKENIZER_FILE), pretty=False)
            save_tensors({"weight": self.weights}, beside / WEIGHTS_FILE)
            (beside / CONFIG_FILE).write_text(json.dumps(config))

    @classmethod
    def load(cls, folder: str | Path) -> LookupEncoder:
        """The encoder saved in ``folder``.

        Raises:
            InvalidInputError: a file is malformed, or they do not fit together.
            OSError: a file is missing.
        """
        folder = standing_folder(Path(folder))
        config = read_object(folder / CONFIG_FILE)
        tokenizer = load_tokenizer(folder / TOKENIZER_FILE)
        tensors = load_tensors(folder / WEIGHTS_FILE)
        if "weight" not in tensors:
            raise InvalidInputError(f"{folder / WEIGHTS_FILE} holds no tensor 'weight'")
        weights = tensors["weight"].astype(np.float32)
        prompt, top_terms = config.get("prompt", ""), config.get("top_terms")
        if not isinstance(prompt, str):
            raise InvalidInputError(f"{folder / CONFIG_FILE}: prompt is {prompt!r}; want a string")
        if top_terms is not None:
            require_integer(f"{folder / CONFIG_FILE}: top_terms", top_terms, 1)
        counts = bool(config.get("counts", False))
        return cls(tokenizer, weights, counts=counts, top_terms=top_terms, prompt=prompt)


def _checked(weights: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    if weights.shape != (size,):
        raise InvalidInputError(
            f"{weights.shape} weights came for a tokenizer of {size} tokens; want one each"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise InvalidInputError("a query weight is negative or not finite; want all >= 0")
    return weights.astype(np.float32)


def require_texts(texts: Sequence[str]) -> None:
    """Returns if all are strings of whole characters, as tokenizers want them.

    Raises:
        InvalidInputError: one is not, or a string came in place of a list of them.
    """
    if isinstance(texts, str):
        raise InvalidInputError(f"the string {texts[:40]!r} came as texts; want a list of strings")
    for text in texts:
        if not isinstance(text, str):
            raise InvalidInputError(f"a {type(text).__name__} came as a text; want a string")
        try:
            text.encode()
        except UnicodeEncodeError as error:  # bytes that are no UTF-8, on a command line
            at = error.start
            raise InvalidInputError(
                f"character {at + 1} of a text is {text[at]!r}, half a surrogate pair; want whole "
                "characters, as UTF-8 has them"
            ) from None


def term_spans(encoding: Encoding) -> list[TermSpan]:
    """The terms of a tokenised text, each with the whole word that it is a part of."""
    words = (encoding.token_to_word(i) for i in range(len(encoding.ids)))
    spans = (
        encoding.offsets[i] if word is None else encoding.word_to_chars(word) or encoding.offsets[i]
        for i, word in enumerate(words)
    )
    return [(*span, term) for span, term in zip(spans, encoding.ids, strict=True)]


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """The tokenizer's tokens in the order of their numbers.

    Raises:
        InvalidInputError: a number is left out, or has two tokens.
    """
    numbered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    for wanted, (token, number) in enumerate(numbered):
        if number != wanted:
            raise InvalidInputError(
                f"the tokenizer's token {token!r} has the number {number}, where {wanted} is due; "
                "want numbers without gaps"
            )
    return Vocabulary.of(token for token, _ in numbered)


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the file.

    Raises:
        InvalidInputError: not a tokenizer.
        OSError: no such file.
    """
    content = path.read_bytes()
    try:
        return Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing narrower
        raise InvalidInputError(f"{path} is no tokenizer.json: {error}") from error
