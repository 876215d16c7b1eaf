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

from sparse_ir.encoders.batches import batches
from sparse_ir.encoders.hub_layout import Network
from sparse_ir.encoders.lookup import TermSpan, vocabulary_of
from sparse_ir.encoders.options import LEAST_LENGTH, EncoderOptions, require_integer
from sparse_ir.encoders.precision import choose_dtype
from sparse_ir.encoders.pretrained import (
    load_network,
    load_pretrained,
    n_positions,
    quiet_transformers,
    read_length,
    require_finite,
    require_same_tokens,
    text_reader,
)
from sparse_ir.encoders.screening import choose_screen
from sparse_ir.encoders.sparse_head import SparseHead, to_term_weights
from sparse_ir.encoders.tensor_files import save_network
from sparse_ir.errors import InvalidInputError
from sparse_ir.vectors import TermWeights

_WIDTHS = 16


class MaskedLMEncoder:
    """Encodes texts by ``log1p(relu(max over tokens of logits))``.

    Args:
        body: Gives (B, T, H) states for token ids and mask, in its own precision.
        transform: From the body's states to what the decoder multiplies, in float32.
        head: The decoder with its pooling.
        tokenizer: A fast tokenizer of transformers.
        max_length: Tokens read of a text, special ones included; >= 3.
        top_terms: Terms kept of a text, the greatest; None keeps all.
        prune_ratio: Terms below this share of a text's greatest weight are dropped.
        prompt: Put before every text.
        lower_case: Whether texts are lower-cased first.
        masked_lm: The model of transformers that body, transform and head are parts of, if any.
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
        prune_ratio: float = 0.0,
        prompt: str = "",
        lower_case: bool = False,
        masked_lm: Any = None,
    ) -> None:
        require_integer("max_length", max_length, LEAST_LENGTH)
        self.body = body.eval()
        self.transform = transform
        self.head = head
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.top_terms = top_terms
        self.prompt = prompt
        self.lower_case = lower_case
        self.masked_lm = masked_lm
        self.vocabulary = vocabulary_of(tokenizer.backend_tokenizer)
        self._prune_ratio = prune_ratio
        self._reader = text_reader(tokenizer, max_length, prompt=prompt, lower_case=lower_case)
        self.room = self._reader.room
        """Tokens of a text that are read, special ones and the prompt's left out."""

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
        tokens = self._reader.read(texts)
        on_cpu = self.head.embeddings.device.type == "cpu"
        order: list[int] = []
        parts = [sp.csr_array((0, len(self.vocabulary)), dtype=np.float32)]
        for batch in batches(tokens, batch_size, on_cpu=on_cpu):
            order += batch
            weights = self.weights([tokens[i] for i in batch])
            parts.append(
                to_term_weights(weights, top_terms=self.top_terms, prune_ratio=self._prune_ratio)
            )
            if on_progress:
                on_progress(len(batch))
        return sp.vstack(parts, format="csr")[np.argsort(order)]

    @torch.inference_mode()
    def weights(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """(B, V) float32 weights of a batch of token id lists."""
        states, mask = body_states(self.body, tokens, self.tokenizer.pad_token_id or 0)
        return self.head(self.transform(states.float()), mask)

    @property
    def changes_texts(self) -> bool:
        """Whether more than the tokenizer comes before the network."""
        return bool(self.prompt or self.lower_case)

    @property
    def n_cut(self) -> int:
        """Texts so far of which not all tokens were read."""
        return self._reader.n_cut

    def own_terms(self, text: str) -> set[int]:
        """The terms that the text contains."""
        return self._reader.own_terms(text)

    @property
    def precision(self) -> str:
        """The type of the numbers that are multiplied, as ``bfloat16``."""
        return str(self.head.embeddings.dtype).removeprefix("torch.")

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where in the text each of its tokens begins and ends, special ones left out."""
        return self._reader.token_spans(text)

    def term_spans(self, text: str) -> list[TermSpan]:
        """Which terms the text contains, and the words that they are parts of."""
        return self._reader.term_spans(text)

    @torch.inference_mode()
    def sources(self, text: str, terms: Sequence[int]) -> dict[int, tuple[int, int]]:
        """term -> where in the text the token is whose logit became the term's weight.

        Terms that a special token brought are left out: they come from the text as a whole; so are
        those that it does not bring at all, as a document's neighbours may.
        """
        if not terms:
            return {}
        ids, spans = self._reader.read_with_spans(text)
        states, _ = body_states(self.body, [ids], self.tokenizer.pad_token_id or 0)
        states = self.transform(states[0, : len(ids)].float()).to(self.head.embeddings.dtype)
        logits, best = (self.head.embeddings[list(terms)] @ states.T).float().max(1)
        is_read = (logits + self.head.bias[list(terms)] > 0).tolist()
        return {
            term: spans[at]
            for term, at, own in zip(terms, best.tolist(), is_read, strict=True)
            if own and spans[at][0] >= 0 and spans[at][0] < spans[at][1]
        }


def tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids with special tokens, cut at ``max_length``."""
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def body_states(
    body: nn.Module, tokens: Sequence[Sequence[int]], pad: int
) -> tuple[Tensor, Tensor]:
    """((B, T, H) last hidden states, (B, T) mask) of token id lists.

    T is a multiple of 16, where there are positions for so many: products of every shape that comes
    have a plan of their own in memory.
    """
    device = next(body.parameters()).device
    longest = max(1, *map(len, tokens))
    width = min(-(-longest // _WIDTHS) * _WIDTHS, n_positions(body))
    rows = [[*one, *[pad] * (width - len(one))] for one in tokens]
    ids = torch.tensor(rows, device=device)
    lengths = torch.tensor([len(one) for one in tokens], device=device)
    mask = (torch.arange(ids.shape[1], device=device) < lengths[:, None]).long()
    states: Tensor = body(input_ids=ids, attention_mask=mask).last_hidden_state
    return states, mask


def load_body(
    source: str, tokenizer_file: Path | None = None, *, device: str = "auto"
) -> tuple[nn.Module, Any]:
    """(body, tokenizer) of transformers, which can be trained, in float32.

    Args:
        source: Folder or hub name.
        tokenizer_file: A ``tokenizer.json`` outside the folder; None if it is inside.
        device: As ``EncoderOptions``.

    Raises:
        InvalidInputError: transformers cannot load it, or a weight is not finite.
    """
    return load_pretrained("AutoModel", source, tokenizer_file, device=device)


def save_body(body: Any, tokenizer: Any, folder: Path) -> None:
    """The body is in ``folder`` in float16, with its tokenizer's settings but not its words."""
    halves = {name: t.detach().cpu().half() for name, t in body.state_dict().items()}
    with quiet_transformers():
        save_network(body, folder, state_dict=halves)
    roles = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(roles, indent=2) + "\n")


def load_masked_lm(
    network: Network, options: EncoderOptions, *, tokenizer_file: Path | None = None
) -> MaskedLMEncoder:
    """The encoder of a masked language model with its own head.

    Raises:
        InvalidInputError: it cannot be loaded, has no head or one of an unknown kind, or fewer
            rows in its decoder than the tokenizer has tokens.
    """
    source = str(network.folder)
    model, tokenizer = load_pretrained(
        "AutoModelForMaskedLM", source, tokenizer_file, device=options.device
    )
    decoder = model.get_output_embeddings()
    if decoder is None:
        raise InvalidInputError(f"{source} has no decoder; want a masked language model")
    n_terms = require_same_tokens(source, tokenizer, len(decoder.weight))
    dtype = choose_dtype(options.precision, decoder.weight.device)
    bias = decoder.bias if decoder.bias is not None else decoder.weight.new_zeros(n_terms)
    matrix = decoder.weight.detach()[:n_terms]
    return MaskedLMEncoder(
        model.base_model.to(dtype),
        _transform_of(model),
        SparseHead(
            matrix.to(dtype),
            bias[:n_terms],
            activation=network.activation,
            pooling=network.pooling,
            silent=() if network.keeps_special else tokenizer.all_special_ids,
            screen=choose_screen(matrix, dtype),
        ),
        tokenizer,
        max_length=read_length(
            n_positions(model.base_model), network.max_length, options.max_length
        ),
        top_terms=options.top_terms or network.top_terms,
        prune_ratio=options.prune_ratio or 0.0,
        prompt=network.prompt,
        lower_case=network.lower_case,
        masked_lm=model,
    )


def load_with_head(
    network: Network,
    head: Mapping[str, NDArray[np.float32]],
    options: EncoderOptions,
    *,
    tokenizer_file: Path | None = None,
) -> MaskedLMEncoder:
    """The encoder of a body and a head that was made for it.

    Args:
        network: The body, its token limit and activation.
        head: ``dense.weight`` (H, H), ``dense.bias`` (H,), ``norm.weight`` (H,) and
            ``decoder.bias`` (V,); the decoder's matrix is the body's input embeddings.
        options: What the user chose.
        tokenizer_file: A ``tokenizer.json`` outside the body's folder.

    Raises:
        InvalidInputError: body or head cannot be loaded, or they do not fit together.
    """
    body, tokenizer = load_network(str(network.folder), tokenizer_file, device=options.device)
    embeddings = body.get_input_embeddings().weight.detach()
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
    require_finite(str(network.folder), tensors)
    tensors = {name: tensor.to(embeddings.device) for name, tensor in tensors.items()}
    dtype = choose_dtype(options.precision, embeddings.device)
    return MaskedLMEncoder(
        body.to(dtype),
        PredictionTransform(tensors["dense.weight"], tensors["dense.bias"], tensors["norm.weight"]),
        SparseHead(
            embeddings.to(dtype),
            tensors["decoder.bias"],
            activation=network.activation,
            silent=tokenizer.all_special_ids,
            screen=choose_screen(embeddings, dtype),
        ),
        tokenizer,
        max_length=read_length(n_positions(body), network.max_length, options.max_length),
        top_terms=options.top_terms,
        prune_ratio=options.prune_ratio or 0.0,
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
