"""Five queries and six documents, and a teacher of given scores, for whole collections."""

from __future__ import annotations

import numpy as np

from sparse_ir.corpus import Document
from sparse_ir.training.examples import TrainingSet

QUERIES = ["the red fox", "dog sleeps at night", "quick quick puppy", "fox over water", "red dog"]
POSITIVES = [(0,), (1,), (2,), (3,), (1,)]
TEXTS = [
    "the red fox runs fast",
    "the dog sleeps at night",
    "a quick puppy runs",
    "water under the fox",
    "night and day",
    "an animal over water",
]


class Scores:
    """A teacher that knows all pairs."""

    is_cheap = True

    def __init__(self, values):
        self.values = values

    def scores(self, queries, documents):
        return self.values[np.ix_(queries, documents)].astype(np.float32)


def toy_set(*, n_labelled):
    documents = [Document(f"d{i}", text) for i, text in enumerate(TEXTS)]
    return TrainingSet("toy", documents, QUERIES, POSITIVES, n_labelled=n_labelled)
