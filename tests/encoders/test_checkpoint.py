"""Model folders of ours: what is saved is what is loaded."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from tiny_model import make_tiny_model

from sparse_ir.encoders.checkpoint import OWN_BODY, ModelSettings, model_settings, save_model
from sparse_ir.encoders.dense_encoder import fingerprint
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.encoders.hub_layout import Network
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.encoders.masked_lm import load_with_head
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.errors import InvalidInputError

TEXTS = ["the red fox", "dogs sleeps over water day and night", ""]
OWN = ModelSettings("own", OWN_BODY, 32, "log1p_log1p_relu", 0.3)


def query_of(tokenizer):
    weights = np.linspace(0, 1, len(tokenizer), dtype=np.float32)
    return LookupEncoder(tokenizer.backend_tokenizer, weights, counts=True)


def random_head(body, seed=0):
    make = np.random.default_rng(seed).standard_normal
    n_terms, width = body.get_input_embeddings().weight.shape
    shapes = {"dense.weight": (width, width), "dense.bias": (width,), "norm.weight": (width,)}
    head = {name: make(shape).astype(np.float16) for name, shape in shapes.items()}
    return {**head, "decoder.bias": make(n_terms).astype(np.float16)}


def test_a_model_holds_its_own_body_in_half_precision(body_folder, tmp_path):
    body = transformers.AutoModel.from_pretrained(body_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(body_folder)
    head = random_head(body)
    save_model(tmp_path / "own", OWN, head, query_of(tokenizer), body=body, tokenizer=tokenizer)
    assert body.dtype == torch.float32  # saving has not changed it
    size = (tmp_path / "own" / "body" / "model.safetensors").stat().st_size
    assert size < 2.2 * sum(p.numel() for p in body.parameters()) + 5000
    assert not (tmp_path / "own" / "body" / "tokenizer.json").exists()

    halved = body.half().float()
    halved.save_pretrained(tmp_path / "halved")
    tokenizer.save_pretrained(tmp_path / "halved")
    network = Network(tmp_path / "halved", "log1p_log1p_relu", max_length=32)
    expected = load_with_head(network, head, EncoderOptions(precision="float32")).encode(TEXTS)
    found = load_encoder(str(tmp_path / "own"), precision="float32").encode(TEXTS)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-6)
    assert found.nnz
    assert not found[:, tokenizer.all_special_ids].nnz


def test_a_model_drops_small_terms_of_documents_unless_told_otherwise(tmp_path):
    model_folder = make_tiny_model(tmp_path)
    shutil.copytree(model_folder, tmp_path / "pruned")
    file = tmp_path / "pruned" / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "prune_ratio": 0.5}))
    whole, pruned = str(model_folder), str(tmp_path / "pruned")
    expected = load_encoder(whole).encode(TEXTS).toarray()
    assert (load_encoder(pruned, prune_ratio=0.0).encode(TEXTS).toarray() == expected).all()
    small = expected < 0.5 * expected.max(axis=1, keepdims=True)
    assert small[:2].any()
    found = load_encoder(pruned).encode(TEXTS).toarray()
    np.testing.assert_array_equal(found, np.where(small, 0, expected))
    of_queries = [load_encoder(model, "query").encode(TEXTS) for model in (whole, pruned)]
    assert (of_queries[0] != of_queries[1]).nnz == 0
    assert model_settings(whole).fingerprint != model_settings(pruned).fingerprint


def test_a_body_with_its_own_head(masked_lm_folder, tmp_path):
    model = transformers.AutoModelForMaskedLM.from_pretrained(masked_lm_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(masked_lm_folder)
    own = ModelSettings("own", OWN_BODY, 32, "log1p_relu", 0.3)
    save_model(tmp_path / "own", own, None, query_of(tokenizer), body=model, tokenizer=tokenizer)
    expected = load_encoder(str(masked_lm_folder), precision="float32").encode(TEXTS).toarray()
    found = load_encoder(str(tmp_path / "own"), precision="float32").encode(TEXTS).toarray()
    np.testing.assert_allclose(found, expected, atol=5e-3)  # the body was rounded


def test_the_fingerprint_covers_the_body(body_folder, tmp_path):
    body = transformers.AutoModel.from_pretrained(body_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(body_folder)
    head, query = random_head(body), query_of(tokenizer)
    save_model(tmp_path / "a", OWN, head, query, body=body, tokenizer=tokenizer)
    save_model(tmp_path / "b", OWN, head, query, body=body, tokenizer=tokenizer)
    with torch.no_grad():
        next(body.parameters()).add_(1)
    save_model(tmp_path / "c", OWN, head, query, body=body, tokenizer=tokenizer)
    a, b, c = (model_settings(str(tmp_path / name)).fingerprint for name in "abc")
    assert a == b != c


def test_the_fingerprint_covers_a_body_elsewhere(body_folder, tmp_path):
    settings = dataclasses.replace(OWN, body=str(body_folder))
    save_model(tmp_path / "m", settings, None, None)
    before = model_settings(str(tmp_path / "m")).fingerprint
    (body_folder / "model.safetensors").write_bytes(b"others")
    assert model_settings(str(tmp_path / "m")).fingerprint != before


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_the_fingerprint_of_others_covers_their_weights(tmp_path, name):
    for folder, weights in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text("{}")
        (tmp_path / folder / name).write_bytes(weights)
    for of in (lambda folder: model_settings(folder).fingerprint, fingerprint):
        a, b, c = (of(str(tmp_path / folder)) for folder in "abc")
        assert a == b != c


@pytest.mark.parametrize("name", ["causal_lm.json", "tokenizer.json", "1_Pooling/config.json"])
def test_the_fingerprint_of_others_covers_their_settings(tmp_path, name):
    for folder, settings in (("a", "{}"), ("b", "{}"), ("c", '{"top_terms": 9}')):
        (tmp_path / folder / "1_Pooling").mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
        (tmp_path / folder / name).write_text(settings)
        (tmp_path / folder / "eval_results.json").write_text(folder)
    for of in (lambda folder: model_settings(folder).fingerprint, fingerprint):
        a, b, c = (of(str(tmp_path / folder)) for folder in "abc")
        assert a == b != c


def test_a_body_and_settings_that_deny_it(body_folder, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(body_folder)
    with pytest.raises(InvalidInputError, match=r"want './body' with a body"):
        save_model(tmp_path / "own", OWN, {}, query_of(tokenizer))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[]"])
def test_damaged_settings(tmp_path, content):
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"model\.json"):
        load_encoder(str(tmp_path))
