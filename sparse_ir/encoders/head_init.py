"""A sparse head for a body that has none, in closed form: no gradient step, half a minute of CPU.

A sentence encoder's last states still remember which word stood where. A ridge regression maps each
state back to its token's input embedding, and the logits follow by the tied decoder. What makes the
result sparse and useful is the decoder's bias: it is set so that each term fires in about as many
texts as the term itself occurs in, a little more for rare ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparse_ir.encoders.checkpoint import (
    ModelSettings,
    lasting_name,
    require_new,
    resolve_body,
    save_model,
)
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.encoders.masked_lm import PredictionTransform, body_states, load_body, tokenize
from sparse_ir.encoders.pretrained import n_positions
from sparse_ir.encoders.sparse_head import max_logits
from sparse_ir.errors import InvalidInputError

LEAST_TEXTS = 50
_GELU_SHIFT = 8.0  # gelu(x + 8) = x + 8, and the layer normalisation takes the 8 away again
_RIDGE = 1e-2  # relative to the mean diagonal
_OWN_LOGIT = 8.0  # how far a token's own logit stands above the mean
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Calibration:
    """Which share of texts a term should fire in: ``min(most, scale x df + floor)``."""

    scale: float = 1.5
    floor: float = 0.004
    most: float = 0.6


def init_head_model(
    body: str,
    texts: Sequence[str],
    output: str | Path,
    *,
    query_idf: str | Path | None = None,
    name: str = "",
    max_length: int = 256,
    anchor_weight: float = 0.4,
    calibration: Calibration | None = None,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Path:
    """A model folder with the closed-form head and a query table is at ``output``.

    Args:
        body: ``package:NAME``, folder or hub name of a sentence encoder.
        texts: Texts like those to be encoded later, at least 50, better 2,000; half of them fit the
            ridge regression, the others set the biases.
        output: Folder to be made.
        query_idf: JSON file {token: idf} for the query table; None computes the idf of the texts.
        name: Of the model; None takes the folder's.
        max_length: Tokens of a text that are read, as far as the body has positions.
        anchor_weight: g of anchored search.
        calibration: Target document frequencies.
        seed: Of the texts' order.
        on_progress: Told how many more texts are done.

    Raises:
        InvalidInputError: too few texts, the folder exists, a body or table that cannot be read, or
            a body whose embeddings are not one a token.
    """
    if len(texts) < LEAST_TEXTS:
        raise InvalidInputError(f"{len(texts)} texts came; want at least {LEAST_TEXTS}")
    require_new(Path(output))
    torch.manual_seed(seed)
    order = np.random.default_rng(seed).permutation(len(texts))
    model, tokenizer = load_body(resolve_body(body), device="cpu")  # as the closed forms
    n_tokens, n_rows = len(tokenizer), model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    if n_rows != n_tokens:
        raise InvalidInputError(
            f"{body} has {n_rows} embeddings for {n_tokens} tokens; want one each: cut them with "
            f"resize_token_embeddings({n_tokens}) of transformers"
        )
    max_length = min(max_length, n_positions(model))
    given_idf = _read_idf(Path(query_idf), tokenizer) if query_idf else None
    tokens = tokenize(tokenizer, [texts[i] for i in order], max_length)
    half = len(tokens) // 2
    init = _HeadInit(model, tokenizer, on_progress or (lambda n: None))
    transform = init.fit_transform(tokens[:half])
    bias = init.calibrate_bias(transform, tokens[half:], calibration or Calibration())
    idf = init.idf(tokens) if given_idf is None else given_idf
    folder = Path(output)
    save_model(
        folder,
        ModelSettings(
            name or folder.name,
            lasting_name(body),
            max_length,
            "log1p_relu",
            anchor_weight,
            collection_idf=True,
        ),
        {
            "dense.weight": _half(transform.weight),
            "dense.bias": _half(transform.bias),
            "norm.weight": _half(transform.norm),
            "decoder.bias": _half(bias),
        },
        LookupEncoder(tokenizer.backend_tokenizer, idf, counts=True),
    )
    return folder


class _HeadInit:
    """The three closed forms over one body."""

    def __init__(self, body: Any, tokenizer: Any, tell: Callable[[int], None]) -> None:
        self._body = body
        self._tokenizer = tokenizer
        self._embeddings: Tensor = body.get_input_embeddings().weight.detach()
        self._special = torch.tensor(tokenizer.all_special_ids)
        self._tell = tell

    @torch.inference_mode()
    def fit_transform(self, tokens: Sequence[Sequence[int]]) -> PredictionTransform:
        """The weighted ridge map from states to input embeddings, as BERT's transform."""
        states, ids = self._token_states(tokens)
        mean = states.mean(0)
        x = states - mean
        y = self._embeddings[ids] - self._embeddings.mean(0)
        n_terms, width = self._embeddings.shape
        frequent_less = torch.bincount(ids, minlength=n_terms)[ids].float().rsqrt()[:, None]
        gram = x.T @ (x * frequent_less)
        gram += _RIDGE * gram.diagonal().mean() * torch.eye(width)
        ridge = torch.linalg.solve(gram, x.T @ (y * frequent_less))
        ridge /= (x @ ridge).std()
        transform = PredictionTransform(
            ridge.T.contiguous(), _GELU_SHIFT - mean @ ridge, torch.ones(width)
        )
        sample = torch.randperm(len(ids))[:4000]
        logits = transform(states[sample]) @ self._embeddings.T
        own = logits[torch.arange(len(sample)), ids[sample]]
        transform.norm *= _OWN_LOGIT / (own - logits.mean(1)).mean()
        return transform

    @torch.inference_mode()
    def calibrate_bias(
        self,
        transform: PredictionTransform,
        tokens: Sequence[Sequence[int]],
        calibration: Calibration,
    ) -> Tensor:
        """(V,) the bias with which each term fires in its wanted share of the texts."""
        pooled = torch.cat(
            [
                max_logits(transform(states), mask, self._embeddings)
                for states, mask in self._batches(tokens)
            ]
        )
        df = self._document_frequency(tokens) / len(tokens)
        share = (calibration.scale * df + calibration.floor).clamp(max=calibration.most)
        rank = (share * len(tokens)).long().clamp(min=1, max=len(tokens) - 1)
        greatest_first = pooled.sort(0, descending=True).values
        return -greatest_first[rank, torch.arange(len(rank))]

    def idf(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """(V,) ln(1 + (N - df + .5) / (df + .5)) of the texts, 0 for special tokens."""
        df, n = self._document_frequency(tokens), len(tokens)
        idf = torch.log1p((n - df + 0.5) / (df + 0.5))
        idf[self._special] = 0
        return idf.numpy().astype(np.float32)

    def _token_states(self, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """((n, H) states, (n,) ids) of all tokens that are not special."""
        states, ids = [], []
        for (batch, mask), start in zip(
            self._batches(tokens), range(0, len(tokens), _BATCH), strict=True
        ):
            padded = torch.full(mask.shape, int(self._special[0]))
            for i, one in enumerate(tokens[start : start + _BATCH]):
                padded[i, : len(one)] = torch.tensor(one)
            keep = mask.bool() & ~torch.isin(padded, self._special)
            states.append(batch[keep])
            ids.append(padded[keep])
        return torch.cat(states), torch.cat(ids)

    def _batches(self, tokens: Sequence[Sequence[int]]) -> Any:
        for start in range(0, len(tokens), _BATCH):
            batch = tokens[start : start + _BATCH]
            yield body_states(self._body, batch, self._tokenizer.pad_token_id)
            self._tell(len(batch))

    def _document_frequency(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        df = torch.zeros(len(self._embeddings))
        for one in tokens:
            df[list(set(one))] += 1
        return df


def _read_idf(path: Path, tokenizer: Any) -> NDArray[np.float32]:
    """(V,) the file's idf by token; 0 for special tokens and for those it does not name."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = tokenizer.get_vocab()
        idf = np.zeros(len(vocabulary), np.float32)
        for token, number in vocabulary.items():
            idf[number] = max(float(table.get(token, 0)), 0)
    except (json.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{path}: want a JSON object of token: idf ({error})") from error
    idf[tokenizer.all_special_ids] = 0
    return idf


def _half(tensor: Tensor) -> NDArray[np.float16]:
    return tensor.cpu().numpy().astype(np.float16)
