import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.encoders.batches import batches
from sparse_ir.errors import InvalidInputError

_texts = st.lists(st.integers(0, 3000), max_size=40).map(lambda n: [range(one) for one in n])


@given(_texts, st.integers(1, 9), st.booleans())
def test_every_text_is_in_one_batch_and_longer_ones_come_first(texts, batch_size, on_cpu):
    made = list(batches(texts, batch_size, on_cpu=on_cpu))
    order = [i for batch in made for i in batch]
    assert sorted(order) == list(range(len(texts)))
    assert [len(texts[i]) for i in order] == sorted(map(len, texts), reverse=True)
    assert all(1 <= len(batch) <= batch_size for batch in made)


@given(_texts)
def test_on_a_processor_a_batch_of_several_has_at_most_2048_tokens(texts):
    for batch in batches(texts, 32, on_cpu=True):
        assert len(batch) == 1 or len(batch) * max(len(texts[i]) for i in batch) <= 2048


def test_a_batch_size_below_1_is_refused():
    with pytest.raises(InvalidInputError, match="batch_size is 0"):
        list(batches([], 0, on_cpu=False))
