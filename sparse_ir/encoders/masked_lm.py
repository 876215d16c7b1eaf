"""MaskedLMEncoder: SPLADE. A masked language model's logits, pooled over a text's tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging

from sparse_ir.encoders.lookup import vocabulary_of
from sparse_ir.encoders.sparse_head import SparseHead, to_term_weights
from sparse_ir.errors import InvalidInputError
from sparse_ir.vectors import TermWeights


class MaskedLMEncoder:
    """Encodes texts by ``log1p(relu(max over tokens of logits))``.

    Args:
        body: Gives (B, T, H) states for token ids and mask.
        transform: From the body's states to what the decoder multiplies.
        head: The decoder with its pooling.
        tokenizer: A fast tokenizer of transformers.
        max_length: Tokens read of a text, special ones included; >= 3.
        top_terms: Terms kept of a text, the greatest; None keeps all.
    """

    def __init__(
        self,
        body: nn.Module,
        transform: Callable[[Tensor], Tensor],
        head: SparseHead,
        tokenizer: Any,
        *,
        max_length: int = 256,
        top_terms: int | None = None,
    ) -> None:
        if max_length < 3:
            raise InvalidInputError(f"max_length is {max_length}; want an integer >= 3")
        self._body = body.eval()
        self._transform = transform
        self._head = head
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._top_terms = top_terms
        self.vocabulary = vocabulary_of(tokenizer.backend_tokenizer)

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> TermWeights:
        """(n, V) float32 csr_array, in the order of the texts.

        Args:
            texts: n texts, cut at ``max_length`` tokens.
            batch_size: Texts encoded at once, >= 1; those of like length go together.
            on_progress: Told after each batch how many more texts are done.
        """
        if batch_size < 1:
            raise InvalidInputError(f"batch_size is {batch_size}; want an integer >= 1")
        if not texts:
            return sp.csr_array((0, len(self.vocabulary)), dtype=np.float32)
        tokens = tokenize(self._tokenizer, texts, self._max_length)
        longest_first = sorted(range(len(texts)), key=lambda i: -len(tokens[i]))
        parts = []
        for start in range(0, len(texts), batch_size):
            batch = longest_first[start : start + batch_size]
            weights = self.weights([tokens[i] for i in batch])
            parts.append(to_term_weights(weights, top_terms=self._top_terms))
            if on_progress:
                on_progress(len(batch))
        return sp.vstack(parts, format="csr")[np.argsort(longest_first)]

    @torch.inference_mode()
    def weights(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """(B, V) float32 weights of a batch of token id lists."""
        states, mask = body_states(self._body, tokens, self._tokenizer.pad_token_id)
        return self._head(self._transform(states), mask)


def tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids with special tokens, cut at ``max_length``."""
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def body_states(
    body: nn.Module, tokens: Sequence[Sequence[int]], pad: int
) -> tuple[Tensor, Tensor]:
    """((B, T, H) last hidden states, (B, T) mask) of token id lists, padded to the longest."""
    device = next(body.parameters()).device
    ids = nn.utils.rnn.pad_sequence(
        [torch.tensor(one) for one in tokens], batch_first=True, padding_value=pad
    ).to(device)
    lengths = torch.tensor([len(one) for one in tokens], device=device)
    mask = (torch.arange(ids.shape[1], device=device) < lengths[:, None]).long()
    states: Tensor = body(input_ids=ids, attention_mask=mask).last_hidden_state
    return states, mask


def load_body(source: str, tokenizer_file: Path | None = None) -> tuple[nn.Module, Any]:
    """(body, tokenizer) from a folder or hub name, on the best device there is.

    Args:
        source: Folder or hub name.
        tokenizer_file: A ``tokenizer.json`` outside the folder; None if it is inside.

    Raises:
        InvalidInputError: transformers cannot load it.
    """
    return _load(AutoModel, source, tokenizer_file)


def save_body(body: Any, tokenizer: Any, folder: Path) -> None:
    """The body is in ``folder`` in float16, with its tokenizer's settings but not its words."""
    halves = {name: t.detach().cpu().half() for name, t in body.state_dict().items()}
    body.save_pretrained(folder, state_dict=halves)
    roles = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(roles, indent=2) + "\n")


def load_masked_lm(
    source: str,
    *,
    max_length: int,
    activation: str = "log1p_relu",
    tokenizer_file: Path | None = None,
) -> MaskedLMEncoder:
    """The encoder of a masked language model with its own head, from a folder or hub name.

    Raises:
        InvalidInputError: transformers cannot load it, or it has another kind of head.
    """
    model, tokenizer = _load(AutoModelForMaskedLM, source, tokenizer_file)
    decoder = model.get_output_embeddings()
    if decoder is None:
        raise InvalidInputError(f"{source} has no decoder; want a masked language model")
    return MaskedLMEncoder(
        model.base_model,
        _transform_of(model),
        SparseHead(decoder.weight, decoder.bias, activation=activation),
        tokenizer,
        max_length=max_length,
    )


def load_with_head(
    source: str,
    head: Mapping[str, NDArray[np.float32]],
    *,
    max_length: int,
    activation: str,
    tokenizer_file: Path | None = None,
) -> MaskedLMEncoder:
    """The encoder of a body and a head that was made for it.

    Args:
        source: Folder or hub name of the body.
        head: ``dense.weight`` (H, H), ``dense.bias`` (H,), ``norm.weight`` (H,) and
            ``decoder.bias`` (V,); the decoder's matrix is the body's input embeddings.
        max_length: Tokens read of a text.
        activation: As ``SparseHead``.
        tokenizer_file: A ``tokenizer.json`` outside the body's folder.

    Raises:
        InvalidInputError: body or head cannot be loaded, or they do not fit together.
    """
    body, tokenizer = load_body(source, tokenizer_file)
    embeddings = body.get_input_embeddings().weight.detach()  # type: ignore[operator]
    tensors = {name: torch.from_numpy(a.astype(np.float32)) for name, a in head.items()}
    n_terms, width = embeddings.shape
    wanted = {
        "dense.weight": (width, width),
        "dense.bias": (width,),
        "norm.weight": (width,),
        "decoder.bias": (n_terms,),
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != wanted:
        raise InvalidInputError(f"the head has tensors {shapes}; the body wants {wanted}")
    tensors = {name: tensor.to(embeddings.device) for name, tensor in tensors.items()}
    return MaskedLMEncoder(
        body,
        PredictionTransform(tensors["dense.weight"], tensors["dense.bias"], tensors["norm.weight"]),
        SparseHead(
            embeddings,
            tensors["decoder.bias"],
            activation=activation,
            silent=tokenizer.all_special_ids,
        ),
        tokenizer,
        max_length=max_length,
    )


class PredictionTransform:
    """BERT's prediction head up to the decoder: dense layer, GELU, layer normalisation."""

    def __init__(self, weight: Tensor, bias: Tensor, norm: Tensor) -> None:
        self.weight = weight
        self.bias = bias
        self.norm = norm

    def __call__(self, states: Tensor) -> Tensor:
        """(..., H) -> (..., H)."""
        hidden = nn.functional.gelu(nn.functional.linear(states, self.weight, self.bias))
        return nn.functional.layer_norm(hidden, self.norm.shape, weight=self.norm, eps=1e-12)


def _transform_of(model: Any) -> Callable[[Tensor], Tensor]:
    """What a transformers masked language model does between its body and its decoder."""
    if hasattr(model, "cls"):  # BERT and its kin
        return model.cls.predictions.transform  # type: ignore[no-any-return]
    if hasattr(model, "vocab_transform"):  # DistilBERT
        return lambda states: model.vocab_layer_norm(
            model.activation(model.vocab_transform(states))
        )
    if hasattr(model, "lm_head"):  # RoBERTa
        head = model.lm_head
        return lambda states: head.layer_norm(nn.functional.gelu(head.dense(states)))
    if hasattr(model, "head"):  # ModernBERT
        return model.head  # type: ignore[no-any-return]
    raise InvalidInputError(
        f"{type(model).__name__} has a head of an unknown kind; want BERT, DistilBERT, RoBERTa or "
        "ModernBERT"
    )


def _load(kind: Any, source: str, tokenizer_file: Path | None) -> tuple[Any, Any]:
    """(model, tokenizer) of transformers, in float32, on the best device, for inference."""
    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # it reports the unused pooler, which helps no user
    logging.disable_progress_bar()
    try:
        tokenizer = _load_tokenizer(source, tokenizer_file)
        model = kind.from_pretrained(source, dtype=torch.float32)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InvalidInputError(f"cannot load the model {source}: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval(), tokenizer


def _load_tokenizer(source: str, file: Path | None) -> Any:
    if file is None:
        return AutoTokenizer.from_pretrained(source)
    roles = json.loads((Path(source) / "tokenizer_config.json").read_text(encoding="utf-8"))
    return PreTrainedTokenizerFast(tokenizer_file=str(file), **roles)
