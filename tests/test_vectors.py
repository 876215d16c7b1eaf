"""Term weights: whatever comes in is checked, and equals its dense form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparse_ir.errors import InvalidInputError
from sparse_ir.vectors import append_terms, as_term_weights, to_mappings, unit

DENSE = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.sampled_from([0, 0, 0.5, 1, 3]),
)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@given(DENSE)
def test_every_form_of_a_batch_is_the_same(dense):
    tensor = torch.from_numpy(dense)
    layouts = [tensor, tensor.to_sparse_coo(), tensor.to_sparse_csr()]
    halves = [layout.to(kind) for layout in layouts for kind in (torch.half, torch.bfloat16)]
    mappings = [{j: float(w) for j, w in enumerate(row) if w} for row in dense]
    forms = [
        dense,
        dense.astype(np.float64),
        dense.astype(np.float16),
        dense.astype(np.longdouble),
        sp.csr_array(dense),
        sp.csc_matrix(dense),
        sp.coo_array(dense),
        *layouts,
        *halves,
        mappings,
    ]
    for form in forms:
        weights = as_term_weights(form, n_terms=dense.shape[1])
        assert isinstance(weights, sp.csr_array)
        assert weights.dtype == np.float32
        assert weights.has_canonical_format
        assert (weights.toarray() == dense).all()
        assert weights.nnz == np.count_nonzero(dense)
    assert to_mappings(weights) == mappings


def test_unit_vectors_have_length_1_and_zeros_stay():
    assert unit(np.array([[3, -4], [0, 0]], np.float16)).tolist() == [
        [pytest.approx(0.6), pytest.approx(-0.8)],
        [0, 0],
    ]
    random = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    found = unit(random)
    assert found.dtype == np.float32
    for vector, row in zip(found.tolist(), random.tolist(), strict=True):
        assert vector == pytest.approx([x / math.hypot(*row) for x in row], rel=1e-6)


def test_unsorted_rows_are_sorted_and_the_input_stays():
    batch = sp.csr_array((np.array([1.0, 2.0]), np.array([3, 1]), np.array([0, 2])), shape=(1, 4))
    assert as_term_weights(batch).indices.tolist() == [1, 3]
    assert batch.indices.tolist() == [3, 1]


@given(DENSE, st.data())
def test_append_terms_equals_a_wider_matrix(dense, data):
    n, width = dense.shape
    terms = st.dictionaries(st.integers(width, width + 5), st.sampled_from([1.0, 2.5]))
    extra = data.draw(st.lists(terms, min_size=n, max_size=n))
    indptr, terms, values = append_terms(as_term_weights(dense), extra)
    wide = np.zeros((n, width + 6), np.float32)
    wide[:, :width] = dense
    for i, row in enumerate(extra):
        for term, value in row.items():
            wide[i, term] = value
    expected = sp.csr_array(wide)
    assert indptr.tolist() == expected.indptr.tolist()
    assert terms.tolist() == expected.indices.tolist()
    assert values.tolist() == expected.data.tolist()
    assert (indptr.dtype, terms.dtype, values.dtype) == (np.int64, np.uint32, np.float32)


def csr_of_terms(*terms):
    """One row of 8 columns; scipy does not look at the numbers."""
    return sp.csr_array((np.ones(len(terms)), np.array(terms), [0, len(terms)]), shape=(1, 8))


@pytest.mark.parametrize(
    ("batch", "kwargs", "message"),
    [
        (np.array([[1.0, -2.0]]), {}, r"row 0, term 1 has weight -2.0; want a finite weight >= 0"),
        (np.array([[1.0], [np.nan]]), {}, "row 1, term 0 has weight nan"),
        (np.array([[np.inf]]), {}, "weight inf"),
        (np.ones((1, 3)), {"n_terms": 4}, "3 columns; want 4"),
        ([{5: 1.0}], {"n_terms": 5}, r"term number 5 is outside 0..4"),
        ([{-1: 1.0}], {"n_terms": 5}, r"term number -1 is outside 0..4"),
        ([{1: 1.0}], {}, "n_terms is missing"),
        ([{"a": 1.0}], {"n_terms": 5}, "'str' object cannot be interpreted as an integer; want"),
        ([{1.9: 1.0}], {"n_terms": 5}, "'float' object cannot be interpreted as an integer; want"),
        ([{2**70: 1.0}], {"n_terms": 5}, "too large.*; want"),
        ([{1: "x"}], {"n_terms": 5}, "could not convert string to float: 'x'; want"),
        ([{1: 1j}], {"n_terms": 5}, "not 'complex'; want"),
        (np.float32(1), {}, r"have 0 dimension\(s\); want 2"),
        (np.array(1.0), {}, r"have 0 dimension\(s\); want 2"),
        (np.ones(3), {}, r"have 1 dimension\(s\); want 2"),
        (np.ones((1, 3, 2)), {}, r"have 3 dimension\(s\); want 2"),
        (torch.ones(1, 3, 2), {}, r"have 3 dimension\(s\); want 2"),
        (torch.ones(1, 3, 2).to_sparse_coo(), {}, r"have 3 dimension\(s\); want 2"),
        (np.array([["a"]]), {}, "are of type <U1; want integers or floats"),
        (np.array([[1.0]], object), {}, "are of type object; want integers or floats"),
        (np.array([[1j]]), {}, "are of type complex128; want integers or floats"),
        (torch.tensor([[1j]]), {}, "are of type complex64; want integers or floats"),
        (sp.csc_array([[1j]]), {}, "are of type complex128; want integers or floats"),
        (csr_of_terms(0, 8), {}, r"term number 8 is outside 0..7"),
        (csr_of_terms(-1, 7), {}, r"term number -1 is outside 0..7"),
        (csr_of_terms(2**40, 7), {}, r"term number 1099511627776 is outside 0..7"),
        ("text", {}, "came as str"),
        (7, {}, "came as int"),
        (
            sp.csr_array((np.ones(2), np.array([1, 1]), np.array([0, 2])), shape=(1, 4)),
            {},
            "row 0 names term 1 twice",
        ),
    ],
)
def test_refuses(batch, kwargs, message):
    with pytest.raises(InvalidInputError, match=message):
        as_term_weights(batch, **kwargs)
