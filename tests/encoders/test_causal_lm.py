"""CausalLMEncoder against the formulas, one text at a time, on tiny random models."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file

from sparse_ir.encoders.causal_lm import CausalLMEncoder, CausalSettings
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.errors import InvalidInputError

TEXTS = ["the red fox", "dogs sleeps over water day and night", "", "quick puppy runs"]
KINDS = {
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
}


def bytes_tokenizer():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=special,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", sep_token="[SEP]", mask_token="[MASK]"
    )


@pytest.fixture(params=KINDS)
def causal_folder(request, tmp_path, make_tokenizer):
    torch.manual_seed(0)
    config, model = KINDS[request.param]
    # transformers reads any tokenizer of a Qwen2 as one of bytes.
    tokenizer = bytes_tokenizer() if request.param == "qwen2" else make_tokenizer()
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


def add_latent_attention(folder, n_latents=5, width=16, heads=2, head_width=6):
    """Random tensors by NV-Embed's names, in a file beside the model's."""
    torch.manual_seed(5)
    inner, wide = heads * head_width, 4 * width
    attention, feed = "cross_attend_blocks.0", "cross_attend_blocks.1"
    shapes = {
        "latents": (n_latents, width),
        f"{attention}.fn.to_q.weight": (inner, width),
        f"{attention}.fn.to_kv.weight": (2 * inner, width),
        f"{attention}.fn.to_out.weight": (width, inner),
        f"{feed}.fn.net.0.weight": (2 * wide, width),
        f"{feed}.fn.net.0.bias": (2 * wide,),
        f"{feed}.fn.net.2.weight": (width, wide),
        f"{feed}.fn.net.2.bias": (width,),
    }
    for norm in (f"{attention}.norm", f"{attention}.norm_context", f"{feed}.norm"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    whole = {f"latent_attention_model.{name}": tensor for name, tensor in tensors.items()}
    save_file(whole, folder / "latent.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["latent_attention_config"] = {"num_cross_heads": heads}
    (folder / "config.json").write_text(json.dumps(config))
    return {name: tensor.double().numpy() for name, tensor in tensors.items()}


def normed(x, tensors, name):
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def latent_attention(states, tensors, heads=2):
    """One token, one head and one latent at a time; the mean over the tokens."""
    attention, feed = "cross_attend_blocks.0", "cross_attend_blocks.1"
    latents = [normed(row, tensors, f"{attention}.norm_context") for row in tensors["latents"]]
    both = [tensors[f"{attention}.fn.to_kv.weight"] @ row for row in latents]
    pooled = []
    for state in states:
        query = tensors[f"{attention}.fn.to_q.weight"] @ normed(state, tensors, f"{attention}.norm")
        width = len(query) // heads
        found = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            keys = [kv[: len(query)][part] for kv in both]
            values = [kv[len(query) :][part] for kv in both]
            shares = np.exp([query[part] @ key / np.sqrt(width) for key in keys])
            found.append(sum(s * v for s, v in zip(shares / shares.sum(), values, strict=True)))
        read = state + tensors[f"{attention}.fn.to_out.weight"] @ np.concatenate(found)
        inner = tensors[f"{feed}.fn.net.0.weight"] @ normed(read, tensors, f"{feed}.norm")
        inner, gate = np.split(inner + tensors[f"{feed}.fn.net.0.bias"], 2)
        gelu = np.array([0.5 * g * (1 + math.erf(g / math.sqrt(2))) for g in gate])
        out = tensors[f"{feed}.fn.net.2.weight"] @ (inner * gelu)
        pooled.append(read + out + tensors[f"{feed}.fn.net.2.bias"])
    return np.mean(pooled, 0)


def text_states(folder, text, recipe, attention):
    """Of the tokens that are pooled: the second copy's, or those between the prompt's halves."""
    model, tokenizer = parts(folder)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if recipe == "echo":
        before, after = [tokenizer.bos_token_id, *ids], []
    else:
        encoder = CausalLMEncoder(model, tokenizer, CausalSettings())
        before, after = encoder._before, encoder._after
    states, _ = states_and_logits(model, [*before, *ids, *after], attention)
    return states[len(before) : len(before) + len(ids)].double().numpy()


@pytest.mark.parametrize("attention", ["causal", "full"])
@pytest.mark.parametrize("recipe", ["echo", "prompt_reps"])
def test_dense_vectors_pooled_otherwise(causal_folder, recipe, attention):
    texts = [text for text in TEXTS if text]
    states = [text_states(causal_folder, text, recipe, attention) for text in texts]
    settings(causal_folder, recipe=recipe, attention=attention, dense="mean")
    plain, dense = load(causal_folder).encode_both(TEXTS, batch_size=3)
    expected = [one.mean(0) for one in states]
    np.testing.assert_allclose(dense[[0, 1, 3]], expected, atol=1e-5)
    assert not dense[2].any()  # the empty text
    if recipe == "echo":
        settings(causal_folder, recipe=recipe, attention=attention, dense="last")
        _, dense = load(causal_folder).encode_both(TEXTS, batch_size=3)
        np.testing.assert_allclose(dense[[0, 1, 3]], [one[-1] for one in states], atol=1e-5)
    tensors = add_latent_attention(causal_folder)
    settings(causal_folder, recipe=recipe, attention=attention)
    sparse, dense = load(causal_folder).encode_both(TEXTS, batch_size=3)
    expected = [latent_attention(one, tensors) for one in states]
    np.testing.assert_allclose(dense[[0, 1, 3]], expected, rtol=1e-3, atol=1e-3)
    assert not dense[2].any()
    assert (sparse != plain).nnz == 0


def test_latent_attention_that_does_not_fit(causal_folder):
    settings(causal_folder, dense="latent")
    with pytest.raises(InvalidInputError, match="the checkpoint has no latent attention"):
        load(causal_folder)
    settings(causal_folder, dense="best")
    with pytest.raises(InvalidInputError, match="dense is 'best'"):
        load(causal_folder)
    settings(causal_folder)
    add_latent_attention(causal_folder, width=24)
    with pytest.raises(InvalidInputError, match="latent attention is 24 wide, the model 16"):
        load(causal_folder)
    add_latent_attention(causal_folder, heads=5)
    with pytest.raises(InvalidInputError, match="the tensor"):
        broken = load_file(causal_folder / "latent.safetensors")
        broken.pop("latent_attention_model.cross_attend_blocks.1.norm.bias")
        save_file(broken, causal_folder / "latent.safetensors")
        load(causal_folder)


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
    encoder, text = load(causal_folder, max_length=3), "the red fox runs over"
    end = encoder.token_spans(text)[2][1]
    settings(causal_folder, recipe="echo")
    np.testing.assert_allclose(
        load(causal_folder, max_length=3).encode([text]).toarray(),
        load(causal_folder).encode([text[:end]]).toarray(),
        atol=1e-6,
    )
    encoder.encode([text, "fox"])
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
    # Another prompt, where the tokenizer knows "query" from "passage".
    is_same = load(causal_folder, "query")._before == load(causal_folder)._before
    assert np.allclose(queries, vectors.encode(TEXTS)) == is_same


@pytest.fixture
def gpt2_folder(tmp_path, make_tokenizer):
    """Of 64 positions; its architecture is named GPT2LMHeadModel."""
    torch.manual_seed(0)
    shape = {"n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = transformers.GPT2Config(vocab_size=23, bos_token_id=2, eos_token_id=3, **shape)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    make_tokenizer().save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


@pytest.mark.parametrize("recipe", ["echo", "prompt_reps"])
def test_no_more_tokens_than_positions(gpt2_folder, recipe):
    settings(gpt2_folder, recipe=recipe)
    encoder = load(gpt2_folder)
    assert isinstance(encoder, CausalLMEncoder)
    added = 0 if recipe == "echo" else len(encoder._before) + len(encoder._after)
    copies = 2 if recipe == "echo" else 1
    assert copies * encoder.max_length + added <= 64 < copies * (encoder.max_length + 1) + added + 1
    long = " ".join(["red fox"] * 100)
    kept = long[: encoder.token_spans(long)[encoder.max_length - 1][1]]
    np.testing.assert_allclose(
        encoder.encode([long]).toarray(), encoder.encode([kept]).toarray(), atol=1e-6
    )
    with pytest.raises(InvalidInputError, match="max_length is 64; this model has"):
        load(gpt2_folder, max_length=64)


def test_a_prompt_that_fills_all_positions(gpt2_folder):
    config = transformers.GPT2Config(vocab_size=23, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(gpt2_folder)
    with pytest.raises(InvalidInputError, match="has 16 positions, which its prompt fills"):
        load(gpt2_folder)


@pytest.mark.parametrize("top_terms", ["abc", 0, -1, 2.5, True])
def test_top_terms_that_are_no_number_of_terms(gpt2_folder, top_terms):
    settings(gpt2_folder, recipe="echo", top_terms=top_terms)
    with pytest.raises(InvalidInputError, match=rf"top_terms is {top_terms!r}; want an integer"):
        load(gpt2_folder)
