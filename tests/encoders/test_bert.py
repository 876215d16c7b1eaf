"""Our own BERT gives what transformers' gives, and takes no other network for one."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from sparse_ir.encoders.bert import WEIGHTS_FILE, read_bert


def change_config(folder, **values):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def states_of(body, ids, mask):
    with torch.inference_mode():
        return body(input_ids=ids, attention_mask=mask).last_hidden_state


def padded_batch():
    draw = np.random.default_rng(0)
    ids = torch.from_numpy(draw.integers(0, 20, (5, 64)))
    lengths = torch.tensor([[64], [1], [2], [17], [40]])
    return ids, (torch.arange(64) < lengths).long()


@pytest.mark.parametrize("half", [False, True])
def test_it_gives_what_transformers_gives(body_folder, half):
    if half:  # as models of ours are stored
        body = transformers.BertModel.from_pretrained(body_folder).half()
        body.save_pretrained(body_folder)
    theirs = transformers.AutoModel.from_pretrained(body_folder, dtype=torch.float32).eval()
    ours = read_bert(body_folder)
    ids, mask = padded_batch()
    expected, found = (states_of(body, ids, mask) for body in (theirs, ours))
    read = mask.bool()
    assert torch.allclose(found[read], expected[read], atol=1e-5)
    alone = states_of(ours, ids[3:4, :17], mask[3:4, :17])
    assert torch.allclose(found[3, :17], alone[0], atol=1e-5)
    assert ours.config.max_position_embeddings == 64
    assert torch.equal(ours.get_input_embeddings().weight, theirs.get_input_embeddings().weight)


def test_the_body_of_a_masked_language_model(masked_lm_folder):
    body = read_bert(masked_lm_folder)
    if masked_lm_folder.name != "bert":
        assert body is None
        return
    theirs = transformers.AutoModel.from_pretrained(masked_lm_folder).eval()
    ids, mask = padded_batch()
    assert torch.allclose(states_of(body, ids, mask)[0], states_of(theirs, ids, mask)[0], atol=1e-5)


def test_loading_draws_no_random_numbers(body_folder):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    assert read_bert(body_folder) is not None
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "values",
    [
        {"model_type": "roberta"},
        {"model_type": None},
        {"hidden_act": "relu"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"num_attention_heads": 3},
        {"num_attention_heads": 0},
        {"hidden_size": "wide"},
        {"layer_norm_eps": None},
        {"num_hidden_layers": 3},
        {"num_hidden_layers": 10**9},
        {"vocab_size": 7},
        {"vocab_size": 10**9},  # more than there is memory for
        {"intermediate_size": 10**9},
    ],
)
def test_what_is_no_usual_bert_is_left_to_transformers(body_folder, values):
    change_config(body_folder, **values)
    assert read_bert(body_folder) is None


def test_an_older_checkpoint_holds_the_numbers_of_positions_too(body_folder):
    """As the package of the default dense model does."""
    path = body_folder / WEIGHTS_FILE
    expected = read_bert(body_folder).state_dict()
    save_file(load_file(path) | {"embeddings.position_ids": torch.arange(64)[None]}, path)
    found = read_bert(body_folder).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_weights_that_are_not_whole(body_folder):
    path = body_folder / WEIGHTS_FILE
    tensors = load_file(path)
    name = "encoder.layer.1.output.dense.bias"
    save_file({k: v for k, v in tensors.items() if k != name}, path)
    assert read_bert(body_folder) is None
    path.write_bytes(path.read_bytes()[:100])
    assert read_bert(body_folder) is None
    path.unlink()
    assert read_bert(body_folder) is None


@pytest.mark.model
@pytest.mark.parametrize(
    "encoded",
    [
        "sparse_ir.load_encoder('mini').encode(['vitamin d']).nnz > 2",
        "dense_encoder.load_dense_encoder().encode(['vitamin d']).shape == (1, 384)",
    ],
)
def test_the_default_models_start_without_the_networks_of_transformers(tmp_path, encoded):
    code = (
        "import sys, sparse_ir\n"
        "from sparse_ir.encoders import dense_encoder\n"
        f"assert {encoded}\n"
        "print('transformers.modeling_utils' in sys.modules, 'torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["False", "False"]
