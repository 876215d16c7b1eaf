"""CausalLMEncoder against the formulas, one text at a time, on tiny random models."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers

from sparse_ir.encoders.causal_lm import CausalLMEncoder, CausalSettings
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.errors import InvalidInputError

TEXTS = ["the red fox", "dogs sleeps over water day and night", "", "quick puppy runs"]
KINDS = {
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
}


@pytest.fixture(params=KINDS)
def causal_folder(request, tmp_path, make_tokenizer):
    torch.manual_seed(0)
    config, model = KINDS[request.param]
    tokenizer = make_tokenizer()
    tokenizer.bos_token = "[CLS]"
    made = model(
        config(
            vocab_size=len(tokenizer) + 9,  # padded, as large models are
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
        )
    )
    torch.nn.init.normal_(made.get_output_embeddings().weight, std=1.0)
    made.save_pretrained(tmp_path / request.param)
    tokenizer.save_pretrained(tmp_path / request.param)
    return tmp_path / request.param


def parts(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def settings(folder, **values):
    (folder / "causal_lm.json").write_text(json.dumps(values))


def load(folder, role="document", **options):
    return load_encoder(str(folder), role, precision="float32", device="cpu", **options)


@torch.no_grad()
def states_and_logits(model, ids, attention="causal"):
    mask = None
    if attention == "full":
        mask = torch.zeros(1, 1, len(ids), len(ids))
    out = model(input_ids=torch.tensor([ids]), attention_mask=mask, output_hidden_states=True)
    return out.hidden_states[-1][0], out.logits[0]


def echo(folder, text, attention):
    """log1p(relu(max over the second copy's logits)), and the mean of its states."""
    model, tokenizer = parts(folder)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    n_terms = len(tokenizer)
    if not ids:
        return np.zeros(n_terms), np.zeros(model.config.hidden_size)
    states, logits = states_and_logits(model, [tokenizer.bos_token_id, *ids, *ids], attention)
    second = slice(1 + len(ids), 1 + 2 * len(ids))
    weights = torch.log1p(torch.relu(logits[second, :n_terms].amax(0)))
    weights[tokenizer.all_special_ids] = 0
    return weights.numpy(), states[second].mean(0).numpy()


@pytest.mark.parametrize("attention", ["causal", "full"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_echo(causal_folder, attention, batch_size):
    settings(causal_folder, recipe="echo", attention=attention)
    sparse, dense = load(causal_folder).encode_both(TEXTS, batch_size=batch_size)
    expected = [echo(causal_folder, text, attention) for text in TEXTS]
    np.testing.assert_allclose(sparse.toarray(), [w for w, _ in expected], atol=1e-5)
    np.testing.assert_allclose(dense, [d for _, d in expected], atol=1e-5)
    assert sparse.nnz


def test_full_attention_is_another_thing(causal_folder):
    settings(causal_folder, recipe="echo")
    causal = load(causal_folder).encode(TEXTS).toarray()
    settings(causal_folder, recipe="echo", attention="full")
    assert np.abs(load(causal_folder).encode(TEXTS).toarray() - causal).max() > 1e-3


def prompt_reps(folder, text, noun, words):
    """The next token's logits behind the prompt, of the text's own words alone."""
    model, tokenizer = parts(folder)
    before = f'{noun.capitalize()}: "'
    after = (
        f'". Use one word to represent the {noun} in a retrieval task. '
        'Make sure your word is in lowercase.\nThe word is "'
    )
    ids = [tokenizer.bos_token_id]
    for part in (before, text, after):
        ids += tokenizer(part, add_special_tokens=False)["input_ids"]
    states, logits = states_and_logits(model, ids)
    weights = torch.log1p(torch.relu(logits[-1, : len(tokenizer)])).numpy()
    if words is not None:
        own = [t for w in words for t in tokenizer(w, add_special_tokens=False)["input_ids"]]
        weights[[i for i in range(len(weights)) if i not in own]] = 0
    weights[tokenizer.all_special_ids] = 0
    return weights, states[-1].numpy()


@pytest.mark.parametrize("role", ["document", "query"])
def test_prompt_reps(causal_folder, role):
    noun = {"document": "passage", "query": "query"}[role]
    texts = ["the red fox", "over the water day and night"]
    words = [["red", "fox"], ["over", "water", "day", "night"]]
    sparse, dense = load(causal_folder, role).encode_both(texts)
    expected = [
        prompt_reps(causal_folder, *one) for one in zip(texts, [noun] * 2, words, strict=True)
    ]
    np.testing.assert_allclose(sparse.toarray(), [w for w, _ in expected], atol=1e-5)
    np.testing.assert_allclose(dense, [d for _, d in expected], atol=1e-5)
    settings(causal_folder, recipe="prompt_reps", own_terms_only=False, top_terms=3)
    found = load(causal_folder, role).encode(texts).toarray()
    for row, text in zip(found, texts, strict=True):
        all_terms, _ = prompt_reps(causal_folder, text, noun, None)
        assert sorted(row[row > 0]) == pytest.approx(sorted(all_terms[all_terms > 0])[-3:])


@pytest.mark.filterwarnings("ignore::FutureWarning")  # between peft and transformers
def test_lora_adapters_are_merged(causal_folder, tmp_path):
    peft = pytest.importorskip("peft", reason="the extra llm is not installed")
    model, _ = parts(causal_folder)
    torch.manual_seed(1)
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False
    )
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(tmp_path / "adapter")
    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == str(causal_folder)
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    transformers.AutoTokenizer.from_pretrained(causal_folder).save_pretrained(tmp_path / "merged")
    found = load(tmp_path / "adapter").encode(TEXTS)
    expected = [echo(tmp_path / "merged", text, "causal")[0] for text in TEXTS]
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-5)
    plain = [echo(causal_folder, text, "causal")[0] for text in TEXTS]
    assert np.abs(found.toarray() - plain).max() > 1e-3


def test_a_chat_template_wraps_the_prompt(causal_folder):
    model, tokenizer = parts(causal_folder)
    tokenizer.chat_template = "{% for m in messages %}[MASK] {{ m.content }} [SEP]{% endfor %} fox "
    encoder = CausalLMEncoder(model, tokenizer, CausalSettings())
    whole = tokenizer.decode([*encoder._before, *encoder._after])
    assert whole.startswith("[MASK]")
    assert "[SEP] fox" in whole


def test_long_texts_are_cut_and_counted(causal_folder):
    encoder = load(causal_folder, max_length=3)
    settings(causal_folder, recipe="echo")
    np.testing.assert_allclose(
        load(causal_folder, max_length=3).encode(["the red fox runs over"]).toarray(),
        load(causal_folder).encode(["the red fox"]).toarray(),
        atol=1e-6,
    )
    encoder.encode(["the red fox runs over", "fox"])
    assert encoder.n_cut == 1
    assert encoder.encode([]).shape == (0, len(encoder.vocabulary))


def test_bad_settings(causal_folder):
    settings(causal_folder, recipe="parrot")
    with pytest.raises(InvalidInputError, match="recipe is 'parrot'"):
        load(causal_folder)
    settings(causal_folder, recipes="echo")
    with pytest.raises(InvalidInputError, match=r"causal_lm.json: .* want the fields"):
        load(causal_folder)


def test_the_dense_half_as_a_dense_model(causal_folder):
    from sparse_ir.encoders.dense_encoder import load_dense_encoder
    from sparse_ir.encoders.options import EncoderOptions

    options = EncoderOptions(precision="float32", device="cpu")
    vectors = load_dense_encoder(str(causal_folder), "document", options)
    expected = load(causal_folder).encode_both(TEXTS)[1]
    assert vectors.dimension == 16
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors.encode(TEXTS), expected / lengths, atol=1e-5)
    queries = load_dense_encoder(str(causal_folder), "query", options).encode(TEXTS)
    assert not np.allclose(queries, vectors.encode(TEXTS))  # another prompt
