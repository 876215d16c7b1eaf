"""The student: a document encoder whose every part can be trained, and its queries."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from sparse_ir.encoders.checkpoint import (
    HEAD_FILE,
    OWN_BODY,
    QUERY_FOLDER,
    ModelSettings,
    Queries,
    body_source,
    model_folder,
    model_settings,
    save_model,
)
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.encoders.masked_lm import PredictionTransform, load_body
from sparse_ir.encoders.sparse_head import ACTIVATIONS
from sparse_ir.encoders.tensor_files import load_tensors
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.training.losses import distillation
from sparse_ir.training.max_pool import max_pooled_logits


class Scored(NamedTuple):
    """What a student makes of a batch."""

    documents: Tensor
    """(D, V) term weights."""
    queries: Tensor
    """(Q, C) term weights on the batch's columns."""
    learned: Tensor
    """(Q, D) scale x learned scores."""
    anchored: Tensor
    """(Q, D) another scale x (BM25 + g x learned)."""


class Student(nn.Module):
    """A body with a sparse head, a table of query weights, and the two scalars of anchored search.

    Args:
        model: A folder of ours, or the name of a shipped model.
        network_queries: Whether queries are encoded as documents are (siamese), not looked up.
        chunk: Documents whose activations exist at once, the last ones; the others are computed
            anew when their turn comes in the backward pass. None keeps all.
    """

    asked: Tensor
    silent: Tensor

    def __init__(
        self, model: str, *, network_queries: bool = False, chunk: int | None = None
    ) -> None:
        super().__init__()
        require_head(model)
        folder = model_folder(model)
        self.settings = model_settings(model)
        self.body: Any
        self.body, self.tokenizer = _load_own_body(folder, self.settings)
        self.body.train()
        prepare_for_training(self.body)
        if getattr(self.body, "pooler", None) is not None:
            self.body.pooler = None
        head = {
            n: torch.from_numpy(a.astype(np.float32))
            for n, a in load_tensors(folder / HEAD_FILE).items()
        }
        self.dense = nn.Linear(*head["dense.weight"].shape)
        self.dense.load_state_dict({"weight": head["dense.weight"], "bias": head["dense.bias"]})
        self.norm = nn.Parameter(head["norm.weight"])
        self.bias = nn.Parameter(head["decoder.bias"])
        self.lookup = LookupEncoder.load(folder / QUERY_FOLDER)
        table = torch.from_numpy(self.lookup.weights)
        self.query_logits = nn.Parameter(_inverse_softplus(table))
        self.register_buffer("asked", table > 0, persistent=False)
        silent = torch.zeros(len(table))
        silent[self.tokenizer.all_special_ids] = -torch.inf
        self.register_buffer("silent", silent, persistent=False)
        self.log_learned_scale = nn.Parameter(torch.tensor(0.0))
        self.log_scale = nn.Parameter(torch.tensor(0.0))
        self.log_anchor = nn.Parameter(torch.tensor(self.settings.anchor_weight).log())
        self.network_queries = network_queries
        self._chunk = chunk

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        columns: Tensor,
        query_counts: Tensor,
        lexical: Tensor,
        query_ids: Tensor | None = None,
        query_mask: Tensor | None = None,
        **_: Any,
    ) -> Scored:
        """Scores a batch.

        Args:
            input_ids: (D, T) of documents.
            attention_mask: (D, T).
            columns: (C,) terms that the queries contain.
            query_counts: (Q, C) how often.
            lexical: (Q, D) BM25.
            query_ids: (Q, S), for network queries only.
            query_mask: (Q, S).
        """
        documents = self.term_weights(input_ids, attention_mask)
        if self.network_queries:
            assert query_ids is not None
            assert query_mask is not None
            queries, matching = self.term_weights(query_ids, query_mask), documents
        else:
            queries, matching = query_counts * self.query_table()[columns], documents[:, columns]
        with torch.autocast(documents.device.type, enabled=False):  # a softmax sees the difference
            learned = queries.float() @ matching.float().T
        anchored = self.log_scale.exp() * (lexical + self.log_anchor.exp() * learned)
        return Scored(documents, queries, self.log_learned_scale.exp() * learned, anchored)

    @torch.no_grad()
    def calibrate(self, batches: Sequence[Mapping[str, Any]]) -> None:
        """The three scalars are those of a grid with which the student is closest to the teacher.

        Scores that are too steep for the teacher's distribution are flattened by training in the
        quickest way, by dropping terms: documents came out with 40 of 200 without this.
        """
        scored = [(self(**batch), batch) for batch in batches]
        steps = torch.logspace(-2, 0.5, 26)

        def loss(scores: Callable[[Scored, Mapping[str, Any]], Tensor]) -> float:
            return sum(float(distillation(scores(s, b), b["teacher"])) for s, b in scored)

        before = self.log_learned_scale.exp()
        learned = min(steps, key=lambda a: loss(lambda s, b: a / before * s.learned))
        anchored = min(
            itertools.product(steps, steps),
            key=lambda ag: loss(lambda s, b: ag[0] * (b["lexical"] + ag[1] / before * s.learned)),
        )
        self.log_learned_scale.fill_(learned.log())
        self.log_scale.fill_(anchored[0].log())
        self.log_anchor.fill_(anchored[1].log())

    def term_weights(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, V) float32 weights of texts."""
        if self._chunk is None or not torch.is_grad_enabled():
            return self._encode(input_ids, attention_mask)
        parts = (torch.split(tensor, self._chunk) for tensor in (input_ids, attention_mask))
        *earlier, last = zip(*parts, strict=True)
        weights = [checkpoint(self._encode, *chunk, use_reentrant=False) for chunk in earlier]
        return torch.cat([*weights, self._encode(*last)])  # whose turn is first: it is kept

    @property
    def transform(self) -> PredictionTransform:
        """From the body's states to what the decoder multiplies."""
        return PredictionTransform(self.dense.weight, self.dense.bias, self.norm)

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T, H) what the decoder multiplies."""
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        hidden = self.transform(states)
        kind = hidden.device.type
        if torch.is_autocast_enabled(kind):
            hidden = hidden.to(torch.get_autocast_dtype(kind))
        return hidden

    def _encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.hidden(input_ids, attention_mask)
        embeddings = self.body.get_input_embeddings().weight
        weights = torch.relu(
            max_pooled_logits(hidden, attention_mask, embeddings, self.bias + self.silent)
        )
        for _ in range(ACTIVATIONS[self.settings.activation]):
            weights = torch.log1p(weights)
        return weights

    def query_table(self) -> Tensor:
        """(V,) float32 >= 0: the weight of a token in a query."""
        return nn.functional.softplus(self.query_logits) * self.asked

    @torch.no_grad()
    def set_query_table(self, weights: NDArray[np.float32]) -> None:
        """A token weighs so much in a query, (V,) float32 >= 0; those that weigh nothing stay."""
        self.query_logits.copy_(_inverse_softplus(torch.from_numpy(weights)))

    @property
    def anchor_weight(self) -> float:
        """g of the loss, as learned so far.

        It fits the teacher's distribution over a batch; for the few best of a whole collection two
        or three times as much did best. So a model keeps the g that it started with, or gets the
        one that dev sets choose.
        """
        return float(self.log_anchor.detach().exp())

    def add_adapters(self, rank: int) -> None:
        """Of the body only low-rank adapters are trained from now on.

        Source: Hu et al. 2022, "LoRA", arXiv:2106.09685.

        Raises:
            MissingDependencyError: peft is not installed.
        """
        try:
            import peft
        except ImportError as error:
            raise MissingDependencyError("peft", extra="train", purpose="LoRA") from error
        config = peft.LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules=["query", "key", "value", "dense"]
        )
        self.body = peft.get_peft_model(self.body, config)

    def lookup_encoder(self) -> LookupEncoder:
        """The queries' encoder, as learned so far."""
        return self.lookup.with_weights(self.query_table().detach().cpu().numpy())

    def save(self, folder: Path, **changed: Any) -> None:
        """The model is in ``folder``, in half precision, with its own body.

        Args:
            folder: To be made.
            changed: Settings that differ from those of the model that training began with.
        """
        queries: Queries = "network" if self.network_queries else "lookup"
        settings = dataclasses.replace(self.settings, body=OWN_BODY, queries=queries, **changed)
        save_model(
            folder,
            settings,
            self._head(),
            self.lookup_encoder(),
            body=self._merged_body(),
            tokenizer=self.tokenizer,
        )

    def _merged_body(self) -> Any:
        """The body with its adapters, if there are any, multiplied out."""
        if not hasattr(self.body, "merge_and_unload"):
            return self.body
        return copy.deepcopy(self.body).merge_and_unload()

    def _head(self) -> dict[str, Any]:
        tensors = {
            "dense.weight": self.dense.weight,
            "dense.bias": self.dense.bias,
            "norm.weight": self.norm,
            "decoder.bias": self.bias,
        }
        return {n: t.detach().cpu().numpy().astype(np.float16) for n, t in tensors.items()}


def require_head(model: str) -> None:
    """Returns if the model can be a student.

    Raises:
        InvalidInputError: no such model, or one without a head and a query table of ours.
    """
    folder = model_folder(model)
    if not (folder / HEAD_FILE).is_file() or not (folder / QUERY_FOLDER).is_dir():
        raise InvalidInputError(
            f"{model} has no head of ours; want a model folder: sparse-ir init-head makes one"
        )


def collate_texts(tokens: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """((n, T) ids, (n, T) mask) of token lists, padded to the longest."""
    ids = nn.utils.rnn.pad_sequence(
        [torch.tensor(one) for one in tokens], batch_first=True, padding_value=pad
    )
    lengths = torch.tensor([len(one) for one in tokens])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def _load_own_body(folder: Path, settings: ModelSettings) -> tuple[Any, Any]:
    source, tokenizer_file = body_source(folder, settings)
    return load_body(str(source), tokenizer_file)


def prepare_for_training(body: Any) -> None:
    """No dropout (the run is shorter than the data), and the attention that is fast on a CPU."""
    for module in body.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if not torch.cuda.is_available():
        AttentionInterface.register("sdpa_trainable", _trainable_attention)
        AttentionMaskInterface.register("sdpa_trainable", sdpa_mask)
        body.set_attn_implementation("sdpa_trainable")


def _trainable_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """torch's fused attention, in float32 where there will be a gradient.

    On a CPU a gradient in bfloat16 is slow there, and so is eager attention on long texts.
    """
    dtype = query.dtype
    if torch.is_grad_enabled():
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast(query.device.type, enabled=False):
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return attended.to(dtype), None


def _inverse_softplus(values: Tensor) -> Tensor:
    values = values.clamp(min=1e-3)
    return values + torch.log(-torch.expm1(-values))
