"""Pre-training on texts alone: what a sparse head can learn before any query is seen.

Two objectives over one pass of the body: the hidden words (masked language model), and the text's
own bag of words from its max-pooled logits, which are what the sparse head pools too.

Source: Liu et al. 2023, "RetroMAE-2 / DupMAE", arXiv:2211.08769, section 3.2 (bag of words: mean
over the text's words of -log softmax, weight 0.1); its decoder is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sparse_ir.errors import InvalidInputError
from sparse_ir.training.config import PretrainingTable
from sparse_ir.training.max_pool import max_pooled_logits
from sparse_ir.training.student import Student, collate_texts

_IGNORED = -100


def pretrain(
    student: Student,
    texts: Sequence[str],
    table: PretrainingTable,
    *,
    seed: int = 0,
    on_step: Callable[[float], None] | None = None,
) -> None:
    """The student's body and head know the texts' words better.

    Args:
        student: Is changed.
        texts: At least as many as a step takes.
        table: What it learns, and in how many steps.
        seed: Of order and masks.
        on_step: Told each step's loss.

    Raises:
        InvalidInputError: too few texts.
    """
    if len(texts) < table.batch_size:
        raise InvalidInputError(
            f"{len(texts)} texts came; want at least {table.batch_size}, a batch"
        )
    draw = torch.Generator().manual_seed(seed)
    parameters = [p for name, p in student.named_parameters() if not name.startswith(_SCALARS)]
    optimizer = torch.optim.AdamW(parameters, lr=table.rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=table.steps)
    student.train()
    for _ in range(table.steps):
        chosen = torch.randperm(len(texts), generator=draw)[: table.batch_size].tolist()
        encoded = student.tokenizer(
            [texts[i] for i in chosen], truncation=True, max_length=table.max_length
        )["input_ids"]
        ids, mask = collate_texts(encoded, student.tokenizer.pad_token_id)
        loss = pretraining_loss(
            student, ids, mask, masked=table.masked, bag_weight=table.bag_weight, draw=draw
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if on_step:
            on_step(float(loss.detach()))


def pretraining_loss(
    student: Student,
    ids: Tensor,
    mask: Tensor,
    *,
    masked: float,
    bag_weight: float,
    draw: torch.Generator,
) -> Tensor:
    """Masked language model plus bag of words, scalar.

    Args:
        student: Whose body and head are asked.
        ids: (B, T), on the CPU as ``draw``.
        mask: (B, T) 1 for tokens.
        masked: Share hidden.
        bag_weight: Of the bag of words.
        draw: Of which tokens are hidden.
    """
    special = torch.tensor(student.tokenizer.all_special_ids)
    words = mask.bool() & ~torch.isin(ids, special)
    is_hidden = words & (torch.rand(ids.shape, generator=draw) < masked)
    ids, mask, words, is_hidden = (
        tensor.to(student.bias.device) for tensor in (ids, mask, words, is_hidden)
    )
    seen = ids.masked_fill(is_hidden, student.tokenizer.mask_token_id)
    states = student.hidden(seen, mask)
    embeddings = student.body.get_input_embeddings().weight
    logits = states[is_hidden].float() @ embeddings.T + student.bias
    guess = nn.functional.cross_entropy(logits, ids[is_hidden]) if len(logits) else logits.sum()
    pooled = max_pooled_logits(states, mask, embeddings, student.bias)
    return guess + bag_weight * bag_of_words_loss(pooled, ids.masked_fill(~words, _IGNORED))


def bag_of_words_loss(pooled: Tensor, ids: Tensor) -> Tensor:
    """Mean over texts of the mean over their distinct words of -log softmax(pooled)[word].

    Args:
        pooled: (B, V) max-pooled logits.
        ids: (B, T) tokens; negative ones count nothing.
    """
    log_p = torch.log_softmax(pooled, dim=1)
    losses = []
    for row, tokens in zip(log_p, ids, strict=True):
        distinct = tokens[tokens >= 0].unique()
        if len(distinct):
            losses.append(-row[distinct].mean())
    return torch.stack(losses).mean() if losses else pooled.sum() * 0


_SCALARS = ("query_logits", "log_")
