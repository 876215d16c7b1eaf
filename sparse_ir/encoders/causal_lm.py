"""CausalLMEncoder: sparse and dense vectors of decoder-only language models, both from one pass.

``echo``: the text is given twice, so that every token of the second copy has seen the whole text;
the second copy's logits are pooled as in SPLADE. ``prompt_reps``: the model is asked for one word
that stands for the text, without any training; the logits of that word are the sparse vector, the
state that they come from the dense one.

Source: Doshi et al. 2024, "Mistral-SPLADE", arXiv:2408.11119 (echo); Zhuang et al. 2024,
"PromptReps", arXiv:2404.18424 (the prompt, and only the text's own words kept). Where a checkpoint
brings latent attention (``latent_attention``), the dense vector is pooled by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.batches import batches
from sparse_ir.encoders.hub_layout import ADAPTER_FILE
from sparse_ir.encoders.json_files import read_object
from sparse_ir.encoders.latent_attention import LatentAttention, load_latent_attention
from sparse_ir.encoders.lookup import TermSpan, require_texts, term_spans, vocabulary_of
from sparse_ir.encoders.options import EncoderOptions, require_integer
from sparse_ir.encoders.pooling import mean
from sparse_ir.encoders.pretrained import (
    load_pretrained,
    n_positions,
    read_length,
    require_same_tokens,
)
from sparse_ir.encoders.sparse_head import SparseHead, to_term_weights
from sparse_ir.errors import InvalidInputError
from sparse_ir.vectors import TermWeights, unit

SETTINGS_FILE = "causal_lm.json"
Role = Literal["document", "query"]
_NOUNS = {"document": "passage", "query": "query"}
_ANSWER = 'The word is "'
_DENSE = {"echo": "mean", "prompt_reps": "last"}


@dataclass(frozen=True, slots=True)
class CausalSettings:
    """How a decoder-only model encodes; ``causal_lm.json`` in its folder.

    Args:
        recipe: ``echo``, the default of models with a LoRA adapter, or ``prompt_reps``.
        attention: ``causal`` as the model was trained to read, or ``full``: every token sees all.
        dense: What the dense vector is: the ``last`` state, the ``mean`` of the text's states, or
            their ``latent`` attention. None takes the latent one if the checkpoint has it, else
            that of the recipe: last for ``prompt_reps``, the second copy's mean for ``echo``.
        own_terms_only: ``prompt_reps``: whether only tokens of the text's own words are terms.
        top_terms: Terms kept of a text; None keeps all.
    """

    recipe: Literal["echo", "prompt_reps"] = "prompt_reps"
    attention: Literal["causal", "full"] = "causal"
    dense: Literal["last", "mean", "latent"] | None = None
    own_terms_only: bool = True
    top_terms: int | None = None

    def __post_init__(self) -> None:
        if self.recipe not in ("echo", "prompt_reps") or self.attention not in ("causal", "full"):
            raise InvalidInputError(
                f"recipe is {self.recipe!r}, attention is {self.attention!r}; want echo or "
                "prompt_reps, causal or full"
            )
        if self.dense not in ("last", "mean", "latent", None):
            raise InvalidInputError(f"dense is {self.dense!r}; want last, mean or latent")
        if self.top_terms is not None:
            require_integer("top_terms", self.top_terms, 1)


class CausalLMEncoder:
    """Encodes texts by a decoder-only language model.

    Args:
        model: With a body and output embeddings, of transformers.
        tokenizer: Its fast tokenizer.
        settings: The recipe.
        role: ``document`` or ``query``: what the prompt calls the text.
        options: What the user chose; ``max_length`` counts the text's own tokens.
        latent: The checkpoint's latent attention, if it has one.

    Raises:
        InvalidInputError: an unknown role, more tokens wanted than there are positions, or latent
            attention is wanted and not there or of another width.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: CausalSettings,
        *,
        role: Role = "document",
        options: EncoderOptions | None = None,
        latent: LatentAttention | None = None,
    ) -> None:
        if role not in get_args(Role):
            raise InvalidInputError(f"role is {role!r}; want document or query")
        self.tokenizer = tokenizer
        self.settings = settings
        self._options = options or EncoderOptions()
        self._before, self._after = _prompt(tokenizer, role)
        self.max_length = read_length(
            self._most_tokens(n_positions(model.base_model)), None, self._options.max_length
        )
        self.room = self.max_length
        self.top_terms = self._options.top_terms or settings.top_terms
        self.n_cut = 0
        """Texts so far of which not all tokens were read."""
        self.vocabulary = vocabulary_of(tokenizer.backend_tokenizer)
        self._body = model.base_model.eval()
        decoder = model.get_output_embeddings().weight.detach()[: len(self.vocabulary)]
        special = tokenizer.all_special_ids
        self._head = SparseHead(decoder, decoder.new_zeros(len(decoder)), silent=special)
        self._dense = settings.dense or ("latent" if latent else _DENSE[settings.recipe])
        self._latent = _fitting(latent, decoder) if self._dense == "latent" else None
        self._analyzer = Analyzer("english")

    @property
    def precision(self) -> str:
        """The type of the numbers that are multiplied, as ``bfloat16``."""
        return str(self._head.embeddings.dtype).removeprefix("torch.")

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> TermWeights:
        """(n, V) float32 csr_array, in the order of the texts."""
        return self.encode_both(texts, batch_size=batch_size, on_progress=on_progress)[0]

    @torch.inference_mode()
    def encode_both(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> tuple[TermWeights, NDArray[np.float32]]:
        """(n, V) sparse and (n, H) dense float32 vectors, from one pass.

        The dense vector is as ``CausalSettings.dense`` says, not normalised.
        """
        tokens = self._tokenized(texts)
        on_cpu = self._head.embeddings.device.type == "cpu"
        order: list[int] = []
        sparse = [sp.csr_array((0, len(self.vocabulary)), dtype=np.float32)]
        dense = [np.zeros((0, self._head.embeddings.shape[1]), np.float32)]
        for batch in batches(tokens, batch_size, on_cpu=on_cpu):
            order += batch
            some = [tokens[i] for i in batch]
            if self.settings.recipe == "echo":
                weights, states = self._echo(some)
            else:
                weights, states = self._prompt_reps(some, [texts[i] for i in batch])
            sparse.append(self._pruned(weights))
            dense.append(states.float().cpu().numpy())
            if on_progress:
                on_progress(len(batch))
        back = np.argsort(order)
        return sp.vstack(sparse, format="csr")[back], np.concatenate(dense)[back]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where in the text each of its tokens begins and ends."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans: list[tuple[int, int]] = encoded["offset_mapping"]
        return spans

    def term_spans(self, text: str) -> list[TermSpan]:
        """Which terms the text contains, and the words that they are parts of."""
        return term_spans(self.tokenizer(text, add_special_tokens=False).encodings[0])

    def own_terms(self, text: str) -> set[int]:
        """The terms that the text contains."""
        return set(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _tokenized(self, texts: Sequence[str]) -> list[list[int]]:
        require_texts(texts)
        if not texts:
            return []
        found = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        self.n_cut += sum(len(one) > self.max_length for one in found)
        return [one[: self.max_length] for one in found]

    def _most_tokens(self, positions: int) -> int:
        """Of a text, beside what the recipe adds."""
        if self.settings.recipe == "echo":
            most = (positions - 1) // 2
        else:
            most = positions - len(self._before) - len(self._after)
        if most < 1:
            raise InvalidInputError(
                f"the model has {positions} positions, which its prompt fills; want more, or echo"
            )
        return most

    def _echo(self, tokens: list[list[int]]) -> tuple[Tensor, Tensor]:
        first = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        states = self._states([first + one + one for one in tokens])
        seconds = [
            states[row, len(first) + len(one) : len(first) + 2 * len(one)]
            for row, one in enumerate(tokens)
        ]
        padded = nn.utils.rnn.pad_sequence(seconds, batch_first=True)
        lengths = torch.tensor([len(one) for one in tokens], device=padded.device)
        mask = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
        if not padded.shape[1]:  # nothing but empty texts
            padded, mask = states[:, :1], torch.zeros_like(lengths)[:, None]
        return self._head(padded, mask), self._pooled(padded, mask)

    def _prompt_reps(self, tokens: list[list[int]], texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        states = self._states([self._before + one + self._after for one in tokens])
        lengths = torch.tensor([len(one) for one in tokens], device=states.device)
        n_before = len(self._before)
        lasts = n_before + lengths + len(self._after) - 1
        last = states[torch.arange(len(tokens)), lasts]
        weights = self._head(last[:, None], last.new_ones(len(last), 1))
        if self.settings.own_terms_only:
            own = torch.zeros_like(weights)
            for row, text in enumerate(texts):
                own[row, self._word_tokens(text)] = 1
            weights = weights * own
        if self._dense == "last":
            return weights, last
        behind = states[:, n_before:]
        mask = torch.arange(behind.shape[1], device=states.device) < lengths[:, None]
        return weights, self._pooled(behind, mask)

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, H) from the states of the text's tokens, named by the mask, padded on the right."""
        if self._latent is not None:
            return self._latent(states, mask)
        if self._dense == "mean":
            return mean(states.float(), mask)
        rows = torch.arange(len(states), device=states.device)
        return states[rows, (mask.sum(1) - 1).clamp(min=0)] * mask.any(1)[:, None]

    def _word_tokens(self, text: str) -> list[int]:
        """Tokens of the text's words but stop words, as they stand behind a quotation mark."""
        words = sorted(set(self._analyzer.plain_words(text)))
        if not words:
            return []
        found = self.tokenizer(words, add_special_tokens=False)["input_ids"]
        return sorted({token for one in found for token in one})

    def _states(self, rows: list[list[int]]) -> Tensor:
        """(B, T, H) last hidden states, padded on the right."""
        device = self._head.embeddings.device
        rows = [row or [0] for row in rows]
        ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).to(device)
        attention: Tensor = mask.long()
        if self.settings.attention == "full":
            dtype = self._head.embeddings.dtype
            hidden = torch.zeros(mask.shape, dtype=dtype, device=device)
            hidden.masked_fill_(~mask, torch.finfo(dtype).min)
            attention = hidden[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        states: Tensor = self._body(
            input_ids=ids.to(device), attention_mask=attention, use_cache=False
        ).last_hidden_state
        return states

    def _pruned(self, weights: Tensor) -> TermWeights:
        return to_term_weights(
            weights, top_terms=self.top_terms, prune_ratio=self._options.prune_ratio or 0.0
        )


class CausalVectors:
    """The dense half of what a decoder-only model gives, as unit vectors.

    Args:
        encoder: Gives both halves.
    """

    def __init__(self, encoder: CausalLMEncoder) -> None:
        self._encoder = encoder
        self.dimension = encoder.encode_both([])[1].shape[1]
        """Numbers of a vector."""

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """(n, dimension) float32 unit vectors, in the order of the texts."""
        _, vectors = self._encoder.encode_both(
            texts, batch_size=batch_size, on_progress=on_progress
        )
        return unit(vectors)


def load_causal_lm(
    folder: Path,
    options: EncoderOptions,
    *,
    role: Role = "document",
    settings: CausalSettings | None = None,
) -> CausalLMEncoder:
    """The encoder of a decoder-only model, or of a LoRA adapter of one, merged into it.

    Raises:
        InvalidInputError: model, adapter or settings cannot be loaded or do not fit together.
        MissingDependencyError: an adapter, and peft is not installed.
    """
    source = str(folder)
    model, tokenizer = load_pretrained(
        "AutoModelForCausalLM", source, device=options.device, precision=options.precision
    )
    require_same_tokens(source, tokenizer, len(model.get_output_embeddings().weight))
    return CausalLMEncoder(
        model,
        tokenizer,
        settings or _settings(folder),
        role=role,
        options=options,
        latent=load_latent_attention(folder),
    )


def _fitting(latent: LatentAttention | None, decoder: Tensor) -> LatentAttention:
    if latent is None:
        raise InvalidInputError(
            "dense is 'latent', and the checkpoint has no latent attention; want last or mean"
        )
    if latent.width != decoder.shape[1]:
        raise InvalidInputError(
            f"the latent attention is {latent.width} wide, the model {decoder.shape[1]}; want the "
            "same"
        )
    return latent.to(decoder.device, decoder.dtype)


def _settings(folder: Path) -> CausalSettings:
    path = folder / SETTINGS_FILE
    if not path.is_file():
        has_adapter = (folder / ADAPTER_FILE).is_file()
        return CausalSettings("echo") if has_adapter else CausalSettings(top_terms=128)
    try:
        return CausalSettings(**read_object(path))
    except TypeError as error:
        raise InvalidInputError(f"{path}: {error}; want the fields of CausalSettings") from error


def _prompt(tokenizer: Any, role: Role) -> tuple[list[int], list[int]]:
    """The tokens before and behind the text."""
    noun, hole = _NOUNS[role], "\0"
    request = (
        f'{noun.capitalize()}: "{hole}". Use one word to represent the {noun} in a retrieval task. '
        "Make sure your word is in lowercase."
    )
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": request}]
        whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        begins = []  # the template writes its own
    else:
        whole = request + "\n"
        begins = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    before, _, after = f"{whole}{_ANSWER}".partition(hole)

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    return begins + ids(before), ids(after)
