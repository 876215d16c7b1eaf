from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from sparse_ir.errors import InvalidInputError
from sparse_ir.training.config import PretrainingTable
from sparse_ir.training.pretraining import bag_of_words_loss, pretrain
from sparse_ir.training.student import Student

TEXTS = [
    "the red fox runs fast over water",
    "the dog sleeps under water at night",
    "a quick puppy runs over the day",
    "an animal sleeps day and night",
]


def test_the_bag_of_words_by_hand():
    pooled = torch.tensor([[1.0, 2.0, 0.0], [0.5, 0.0, 0.0]])
    ids = torch.tensor([[1, 1, 2, -100], [0, -100, -100, -100]])
    log_p = log_softmax(pooled.numpy(), axis=1)
    expected = np.mean([-(log_p[0, 1] + log_p[0, 2]) / 2, -log_p[1, 0]])
    assert bag_of_words_loss(pooled, ids).item() == pytest.approx(expected, rel=1e-6)


def test_words_become_more_likely(model_folder):
    student, losses = Student(str(model_folder)), []
    table = PretrainingTable(steps=60, batch_size=4, rate=1e-2, bag_weight=1.0)
    pretrain(student, TEXTS, table, on_step=losses.append)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_too_few_texts_are_refused(model_folder):
    with pytest.raises(InvalidInputError, match="2 texts came"):
        pretrain(Student(str(model_folder)), TEXTS[:2], PretrainingTable(steps=1, batch_size=4))
