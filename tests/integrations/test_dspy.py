"""DSPy's programs on our retrieval model, with its dummy language model."""

from __future__ import annotations

import pytest

from sparse_ir.errors import InvalidInputError
from sparse_ir.integrations.dspy import SparseIRRM


def test_passages(opened):
    rm = SparseIRRM(opened, k=2, filter="year > 2000")
    hits = opened.search("red fox", 2, filter="year > 2000")
    found = rm("red fox")
    assert [(one.long_text, one.doc_id, one.score) for one in found] == [
        (hit.text, hit.doc_id, hit.score) for hit in hits
    ]
    assert found[0].metadata["year"] == 2020
    assert [one.doc_id for one in rm("dog", k=1, filter={"year": 1999})] == ["b"]
    with pytest.raises(InvalidInputError, match="k is 0"):
        rm("fox", k=0)


@pytest.mark.filterwarnings("ignore")  # its own
def test_a_program(opened):
    dspy = pytest.importorskip("dspy", reason="dspy is not installed")
    from dspy.utils import DummyLM

    class RAG(dspy.Module):
        def __init__(self):
            self.retrieve = dspy.Retrieve(k=2)
            self.answer = dspy.ChainOfThought("context, question -> answer")

        def forward(self, question):
            context = self.retrieve(question, filter="year >= 2020").passages
            return self.answer(context=context, question=question)

    lm = DummyLM([{"reasoning": "it says so", "answer": "A fox."}])
    with dspy.context(lm=lm, rm=SparseIRRM(opened)):
        assert RAG()(question="Who runs? The red fox?").answer == "A fox."
    prompt = str(lm.history[-1]["messages"])
    assert "a red fox runs fast" in prompt
    assert "a fox and a dog" in prompt
    assert "the dog sleeps" not in prompt
