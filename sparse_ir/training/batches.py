"""Batches: documents that are hard for one another, and all their queries as rows.

Queries that are looked up cost nothing, so a batch is made of documents: some seeds, and of each
seed documents that a teacher finds for its query. Every query is scored against every document, and
each document is encoded once.

Source: topic-aware batches: Hofstaetter et al. 2021, "TAS-B", arXiv:2104.06967, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import isnan, nan
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sparse_ir.errors import InvalidInputError
from sparse_ir.training import teachers
from sparse_ir.training.config import BatchTable, DistillationTable
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.mixture import Mixture, TaughtSet
from sparse_ir.training.student import collate_texts
from sparse_ir.training.teachers import PairScorer, Rows, Scores

_CHUNK = 256  # queries scored against all documents at once


def hard_neighbours(
    examples: TrainingSet, scorers: Sequence[PairScorer], *, per_teacher: int = 16
) -> list[Rows]:
    """Of each document, the negatives of its queries, and others like it.

    Those are the best documents for its first query by every cheap teacher; the more negatives
    there are, the fewer of them. A document without a query is its own neighbour.
    """
    asked = examples.queries_of_documents()
    rows = np.array([row for row, queries in enumerate(asked) if queries], np.int64)
    first = np.array([asked[row][0] for row in rows], np.int64)
    best = dict(zip(rows.tolist(), _best(first, scorers, per_teacher, examples), strict=True))
    near = []
    for row, queries in enumerate(asked):
        given = list(dict.fromkeys(d for query in queries for d in examples.negatives[query]))
        near.append(np.r_[given, best.get(row, [row])[len(given) :]].astype(np.int64))
    return near


def _best(
    queries: Rows, scorers: Sequence[PairScorer], per_teacher: int, examples: TrainingSet
) -> Rows:
    """(Q, cheap teachers x ``per_teacher``) the documents that each finds for the queries."""
    everything = np.arange(len(examples.documents))
    kept = min(per_teacher, len(everything))
    parts = [np.empty((len(queries), 0), np.int64)]
    for scorer in (one for one in scorers if one.is_cheap):
        found = np.empty((len(queries), kept), np.int64)
        for start in range(0, len(queries), _CHUNK):
            scores = scorer.scores(queries[start : start + _CHUNK], everything)
            found[start : start + _CHUNK] = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        parts.append(found)
    return np.concatenate(parts, axis=1)


class Batches(Dataset[dict[str, Any]]):
    """``n_batches`` batches, each decided by seed and number alone, so that a run can be resumed.

    Args:
        sets: What is learned from.
        tokenizer: The document encoder's.
        shape: Of a batch; its seed does not count.
        distillation: How the teachers' scores become a target.
        n_batches: Length.
        network_queries: Whether queries' token ids are needed.
        seed: Of everything drawn.
    """

    def __init__(
        self,
        sets: Sequence[TaughtSet],
        tokenizer: Any,
        shape: BatchTable,
        distillation: DistillationTable,
        *,
        n_batches: int,
        network_queries: bool = False,
        seed: int = 0,
    ) -> None:
        self._mixture = Mixture(sets, seed)
        self.sets, self.n_queries = sets, self._mixture.n_queries
        self._asked = [taught.examples.queries_of_documents() for taught in sets]
        self._tokenizer = tokenizer
        self._shape = shape
        self._distillation = distillation
        self._n_batches = n_batches
        self._network_queries = network_queries
        self._mean_tokens = [self._measure(taught.examples) for taught in sets]
        self._seeds = [self._seeds_of(number) for number in range(len(sets))]

    def __len__(self) -> int:
        return self._n_batches

    def __getitem__(self, number: int) -> dict[str, Any]:
        chosen, draw = self._mixture.draw(number)
        taught = self.sets[chosen]
        documents = self._draw_documents(chosen, draw)
        queries, hidden = self._draw_queries(chosen, documents, draw)
        texts = [taught.examples.documents[d].content for d in documents]
        ids, mask = collate_texts(
            self._tokens(texts, self._shape.max_length), self._tokenizer.pad_token_id
        )
        asked = [taught.examples.queries[q] for q in queries]
        columns, counts = self._query_counts(asked)
        batch = {
            "input_ids": ids,
            "attention_mask": mask,
            "columns": columns,
            "query_counts": counts,
            **_taught(taught, queries, documents, hidden, self._distillation),
            "query_numbers": torch.from_numpy(self._mixture.query_numbers(chosen, queries)),
        }
        if self._network_queries:
            batch["query_ids"], batch["query_mask"] = collate_texts(
                self._tokens(asked, self._shape.max_length), self._tokenizer.pad_token_id
            )
        return batch

    def _draw_documents(self, chosen: int, draw: np.random.Generator) -> Rows:
        taught, shape = self.sets[chosen], self._shape
        wanted = int(np.clip(shape.tokens / self._mean_tokens[chosen], 4, shape.max_documents))
        documents: dict[int, None] = {}
        for seed in draw.permutation(self._seeds[chosen]):
            if len(documents) >= wanted:
                break
            documents[int(seed)] = None
            near = draw.permutation(taught.near[seed])[: shape.neighbours]
            documents.update(dict.fromkeys(near.tolist()))
        return np.array(list(documents)[:wanted], np.int64)

    def _draw_queries(
        self, chosen: int, documents: Rows, draw: np.random.Generator
    ) -> tuple[Rows, NDArray[np.bool_]]:
        """(rows of queries, (Q, D) which pairs are hidden)."""
        examples, shape = self.sets[chosen].examples, self._shape
        queries: dict[int, None] = {}
        for document in documents:
            asked = draw.permutation(self._asked[chosen][document])
            labelled, pseudo = asked < examples.n_labelled, asked >= examples.n_labelled
            for row in asked[labelled][: shape.labelled_queries]:
                queries[int(row)] = None
            for row in asked[pseudo][: shape.pseudo_queries]:
                queries[int(row)] = None
        rows = np.array(list(queries), np.int64)
        share = shape.hide_source
        return rows, hidden_sources(examples, rows, documents, share=share, draw=draw)

    def _seeds_of(self, chosen: int) -> Rows:
        """The documents about which something is asked: each batch has one at least."""
        labelled, pseudo = self._shape.labelled_queries, self._shape.pseudo_queries
        examples = self.sets[chosen].examples
        seeds = [
            row
            for row, asked in enumerate(self._asked[chosen])
            if any(labelled if query < examples.n_labelled else pseudo for query in asked)
        ]
        if not seeds:
            raise InvalidInputError(
                f"nothing is asked about the documents of {examples.name}; want labelled queries "
                "or pseudo_queries, and batches that draw some of them"
            )
        return np.array(seeds, np.int64)

    def _query_counts(self, asked: Sequence[str]) -> tuple[Tensor, Tensor]:
        """((C,) the terms of all queries, (Q, C) how often each has each)."""
        encoded = self._tokenizer(list(asked), add_special_tokens=False, verbose=False)["input_ids"]
        columns = np.unique(np.concatenate([np.array(ids, np.int64) for ids in encoded]))
        counts = np.zeros((len(asked), len(columns)), np.float32)
        for row, ids in enumerate(encoded):
            np.add.at(counts[row], np.searchsorted(columns, ids), 1)
        return torch.from_numpy(columns), torch.from_numpy(counts)

    def _tokens(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(texts, truncation=True, max_length=limit)[
            "input_ids"
        ]
        return ids

    def _measure(self, examples: TrainingSet) -> float:
        """Mean tokens of a document, of at most 200."""
        sample = examples.documents[:: max(1, len(examples.documents) // 200)]
        tokens = self._tokens([d.content for d in sample], self._shape.max_length)
        return float(np.mean([len(one) for one in tokens]))


def hidden_sources(
    examples: TrainingSet,
    queries: Rows,
    documents: Rows,
    *,
    share: float,
    draw: np.random.Generator,
) -> NDArray[np.bool_]:
    """(Q, D) which pairs are a share of the pseudo-queries and the documents they come from."""
    hidden = np.zeros((len(queries), len(documents)), bool)
    for i, query in enumerate(queries):
        if query >= examples.n_labelled and draw.random() < share:
            source = np.isin(documents, examples.positives[query])
            hidden[i] = source & ~source.all()  # something must be left
    return hidden


def _taught(
    taught: TaughtSet,
    queries: Rows,
    documents: Rows,
    hidden: NDArray[np.bool_],
    table: DistillationTable,
) -> dict[str, Any]:
    given = [scorer.scores(queries, documents) for scorer in taught.scorers]
    masked: list[Scores] = [np.where(hidden, -np.inf, s).astype(np.float32) for s in given]
    target = teachers.ensemble(masked, taught.weights, how=table.normalization)
    positives = [np.isin(documents, taught.examples.positives[query]) for query in queries]
    is_positive = np.array(positives, bool).reshape(hidden.shape) & ~hidden
    target = np.where(np.isnan(target), -np.inf, target * table.scale)
    return {
        "teacher": torch.from_numpy(target.astype(np.float32)),
        "positives": torch.from_numpy(is_positive),
        "lexical": torch.from_numpy(taught.lexical.scores(queries, documents)),
        "agreement": _mean_agreement(masked),
    }


def _mean_agreement(scores: Sequence[Scores]) -> float:
    """Of each two teachers; 1 of one alone, NaN if none can tell."""
    pairs = [teachers.agreement(one, other) for one, other in combinations(scores, 2)]
    telling = [value for value in pairs if not isnan(value)]
    return float(np.mean(telling)) if telling else nan if pairs else 1.0
