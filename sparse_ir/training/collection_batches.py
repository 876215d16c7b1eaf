"""Collection batches: queries against all documents of their set, of which few are encoded anew.

The documents of a batch are few of those that a query is confused with. Here all are compared, as
they were encoded before the first step; those about which the student is most wrong are drawn to be
encoded again, and learn from every query of the batch. What they learn is pulled back to what they
were, since the others do not move: without that they lost a third of their terms in forty steps.

Source: vectors of earlier steps as negatives: Wang et al. 2020, "Cross-Batch Memory for Embedding
Learning", arXiv:1912.06798.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch.utils.data import Dataset

from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.training.config import TrainConfig
from sparse_ir.training.encoded_set import Comparison, EncodedSet
from sparse_ir.training.student import collate_texts
from sparse_ir.training.teachers import Rows, normalized


class CollectionBatches(Dataset[dict[str, Any]]):
    """Batches of a training, each decided by seed and number alone, so that a run can be resumed.

    Args:
        encoded: What is learned from, as encoded by the student before the first step.
        queries: The table by which ``encoded`` asks.
        tokenizer: The document encoder's.
        config: The experiment.
        n_batches: Length.
    """

    def __init__(
        self,
        encoded: Sequence[EncodedSet],
        queries: LookupEncoder,
        tokenizer: Any,
        config: TrainConfig,
        *,
        n_batches: int,
    ) -> None:
        self._encoded = encoded
        self.sets = [one.taught for one in encoded]
        counts = [len(taught.examples.queries) for taught in self.sets]
        self.n_queries = sum(counts)
        self._offsets = np.cumsum([0, *counts])
        shares = np.array([taught.share for taught in self.sets])
        self._shares = shares / shares.sum()
        self._table = queries.weights
        self._tokenizer = tokenizer
        self._config = config
        self._n_batches = n_batches
        seed = config.batch.seed
        self._seed = config.optimizer.seed if seed is None else seed

    def __len__(self) -> int:
        return self._n_batches

    def __getitem__(self, number: int) -> dict[str, Any]:
        draw = np.random.default_rng((self._seed, number))
        chosen = int(draw.choice(len(self.sets), p=self._shares))
        one = self._encoded[chosen]
        found = one.compare(self._config, self._config.collection, draw)
        errors = self._errors(found)
        compared = found.compared
        drawn, tokens = self._draw(one, compared, errors[compared], draw)
        ids, mask = collate_texts(tokens, self._tokenizer.pad_token_id)
        target = found.target[:, compared]
        positives = [np.isin(compared, one.taught.examples.positives[row]) for row in found.rows]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "columns": torch.from_numpy(found.terms.astype(np.int64)),
            "query_counts": torch.from_numpy(self._as_search_weighs(one, found)),
            "teacher": torch.from_numpy(target),
            "positives": torch.from_numpy(np.array(positives) & np.isfinite(target)),
            "lexical": torch.from_numpy(found.lexical[:, compared]),
            "agreement": found.agreement,
            "query_numbers": torch.from_numpy(found.rows + self._offsets[chosen]),
            "others": torch.from_numpy(found.vectors[compared].toarray()),
            "places": torch.from_numpy(np.searchsorted(compared, drawn)),
            "before": torch.from_numpy(one.documents[drawn].toarray()),
            "share": float(errors[drawn].sum() / max(errors.sum(), 1e-9)),
        }

    def _errors(self, found: Comparison) -> NDArray[np.float32]:
        """(D,) how much student and teachers differ over a document, in all queries."""
        share, how = self._config.loss.residual, self._config.distillation.normalization
        scale = self._config.distillation.scale
        is_compared = np.isfinite(found.target)
        wanted = softmax(found.target, axis=1)
        total = np.zeros(found.target.shape[1], np.float32)
        for part, scores in ((share, found.anchored), (1 - share, found.learned)):
            masked = np.where(is_compared, scores, -np.inf).astype(np.float32)
            given = softmax(scale * normalized(masked, how), axis=1)
            total += part * np.abs(given - wanted).sum(0)
        return total

    def _draw(
        self,
        one: EncodedSet,
        compared: Rows,
        errors: NDArray[np.float32],
        draw: np.random.Generator,
    ) -> tuple[Rows, list[list[int]]]:
        """Some of these documents, ascending, and their tokens; the root of the error decides."""
        shape = self._config.batch
        with np.errstate(divide="ignore"):
            order = np.argsort(-(0.5 * np.log(errors) + draw.gumbel(size=len(errors))))
        likely = compared[order[: shape.max_documents]]
        texts = [one.taught.examples.documents[d].content for d in likely]
        tokens = self._tokenizer(texts, truncation=True, max_length=shape.max_length)["input_ids"]
        longest = np.maximum.accumulate([len(ids) for ids in tokens])
        n = max(1, int((longest * np.arange(1, len(tokens) + 1) <= shape.tokens).sum()))
        ascending = np.argsort(likely[:n])
        return likely[ascending], [tokens[i] for i in ascending]

    def _as_search_weighs(self, one: EncodedSet, found: Comparison) -> NDArray[np.float32]:
        """(Q, C) counts, times what adapting the table to the collection makes of a weight."""
        adapted = one.weights.numpy()[found.terms] / self._table[found.terms]
        counts: NDArray[np.float32] = (found.asked.toarray() * adapted).astype(np.float32)
        return counts
