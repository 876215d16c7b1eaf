"""What a student makes of a batch, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from sparse_ir.training.student import Student, collate_texts

TEXTS = ["the red fox runs fast over water", "a quick puppy runs over the day", "an animal sleeps"]
QUERIES = ["red fox", "quick quick puppy"]
LEXICAL = torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 0.5]])


@pytest.fixture
def student(model_folder):
    return Student(str(model_folder)).eval()


@pytest.fixture
def batch(student):
    ids, mask = collate_texts(student.tokenizer(TEXTS)["input_ids"], 0)
    asked = student.tokenizer(QUERIES, add_special_tokens=False)["input_ids"]
    columns = np.unique(np.concatenate(asked))
    counts = [[float(row.count(term)) for term in columns] for row in asked]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "columns": torch.from_numpy(columns),
        "query_counts": torch.tensor(counts),
        "lexical": LEXICAL,
        "teacher": torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 1.2]]),
    }


def raw_scores(student, batch):
    """(Q, D) term by term, from the documents' weights and the query table."""
    weights = student.term_weights(batch["input_ids"], batch["attention_mask"]).detach().numpy()
    table = student.query_table().detach().numpy()
    scores = np.zeros((len(QUERIES), len(TEXTS)))
    for row, query in enumerate(QUERIES):
        for term in student.tokenizer(query, add_special_tokens=False)["input_ids"]:
            scores[row] += table[term] * weights[:, term]
    return scores


def test_both_modes_scores_by_hand(student, batch):
    """anchored = its scale x (BM25 + g x learned)."""
    with torch.no_grad():
        student.log_learned_scale.fill_(0.7)
        student.log_scale.fill_(-1.2)
        student.log_anchor.fill_(0.4)
        scored = student(**batch)
    raw = raw_scores(student, batch)
    np.testing.assert_allclose(scored.learned, np.exp(0.7) * raw, rtol=1e-4)
    expected = np.exp(-1.2) * (LEXICAL.numpy() + np.exp(0.4) * raw)
    np.testing.assert_allclose(scored.anchored, expected, rtol=1e-4)


def test_calibration_takes_the_scales_of_the_grid_that_are_nearest_to_the_teacher(student, batch):
    """Whatever the scales were before."""
    steps, raw = np.logspace(-2, 0.5, 26), raw_scores(student, batch)
    told = log_softmax(batch["teacher"].double().numpy(), axis=1)

    def divergence(scores):
        return (np.exp(told) * (told - log_softmax(scores, axis=1))).sum(1).mean()

    learned = min(steps, key=lambda a: divergence(a * raw))
    anchored = min(
        ((a, g) for a in steps for g in steps),
        key=lambda ag: divergence(ag[0] * (LEXICAL.numpy() + ag[1] * raw)),
    )
    student.log_learned_scale.data.fill_(0.3)
    student.calibrate([batch])
    got = [student.log_learned_scale, student.log_scale, student.log_anchor]
    expected = np.log([learned, *anchored])
    np.testing.assert_allclose([float(one.detach()) for one in got], expected, atol=1e-5)
