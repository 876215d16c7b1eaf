"""Other people's layouts, read and written, against the real sentence-transformers package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from sparse_ir.encoders.convert import save_for_sentence_transformers
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.encoders.head_init import init_head_model
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.errors import InvalidInputError

st = pytest.importorskip("sentence_transformers", reason="the extra dev is not installed")
modules = pytest.importorskip("sentence_transformers.sparse_encoder.modules")

TEXTS = ["the red fox", "", "dogs sleeps over water day and night fox fox", "quick puppy runs"]
TOLERANCE = 1e-4
OLD_NAMES = {
    "sentence_transformers.base.modules.router.Router": "sentence_transformers.models.Router",
    "sentence_transformers.base.modules.transformer.Transformer": (
        "sentence_transformers.sparse_encoder.models.MLMTransformer"
    ),
    "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling": (
        "sentence_transformers.sparse_encoder.models.SpladePooling"
    ),
    "sentence_transformers.sparse_encoder.modules.sparse_static_embedding.SparseStaticEmbedding": (
        "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding"
    ),
}


def load(folder, role):
    return load_encoder(str(folder), role=role, precision="float32", device="cpu")


def require_same(folder, model):
    """Both sides, ours and theirs, number by number."""
    theirs = {"document": model.encode_document(TEXTS), "query": model.encode_query(TEXTS)}
    for role, expected in theirs.items():
        found = load(folder, role).encode(TEXTS).toarray()
        np.testing.assert_allclose(found, expected.to_dense().numpy(), atol=TOLERANCE)
        assert found.any()


def random_weights(tokenizer):
    return torch.rand(len(tokenizer), generator=torch.Generator().manual_seed(1))


def table_of(tokenizer):
    return modules.SparseStaticEmbedding(tokenizer, weight=random_weights(tokenizer))


@pytest.fixture
def siamese(masked_lm_folder):
    def make(**pooling):
        network = st.base.modules.Transformer(str(masked_lm_folder), transformer_task="fill-mask")
        return st.SparseEncoder(modules=[network, modules.SpladePooling(**pooling)], device="cpu")

    return make


@pytest.fixture
def router(masked_lm_folder):
    network = st.base.modules.Transformer(str(masked_lm_folder), transformer_task="fill-mask")
    both = st.base.modules.Router.for_query_document(
        query_modules=[table_of(network.tokenizer)],
        document_modules=[network, modules.SpladePooling()],
    )
    return st.SparseEncoder(modules=[both], device="cpu")


@pytest.mark.parametrize(
    "pooling",
    [
        {},
        {"activation_function": "log1p_relu"},
        {"pooling_strategy": "sum"},
    ],
)
def test_reads_siamese_models(siamese, pooling, tmp_path):
    model = siamese(**pooling)
    model.save_pretrained(str(tmp_path / "saved"))
    require_same(tmp_path / "saved", model)


def test_reads_routers(router, tmp_path):
    router.save_pretrained(str(tmp_path / "saved"))
    require_same(tmp_path / "saved", router)
    assert isinstance(load(tmp_path / "saved", "query"), LookupEncoder)


def test_reads_prompts_and_most_terms(siamese, tmp_path):
    model = siamese()
    model.prompts = {"query": "the quick ", "document": "water "}
    model.max_active_dims = 4
    model.save_pretrained(str(tmp_path / "saved"))
    require_same(tmp_path / "saved", st.SparseEncoder(str(tmp_path / "saved"), device="cpu"))
    assert load(tmp_path / "saved", "document").encode(TEXTS).nnz <= 4 * len(TEXTS)


def test_reads_prompts_and_most_terms_of_queries_that_are_looked_up(router, tmp_path):
    router.prompts = {"query": "the quick ", "document": "water "}
    router.max_active_dims = 3
    router.save_pretrained(str(tmp_path / "saved"))
    require_same(tmp_path / "saved", st.SparseEncoder(str(tmp_path / "saved"), device="cpu"))
    encoder = load(tmp_path / "saved", "query")
    assert encoder.encode(["fox"]).nnz == 3
    encoder.save(tmp_path / "kept")  # as an index keeps it
    kept = LookupEncoder.load(tmp_path / "kept")
    assert (kept.encode(TEXTS) != encoder.encode(TEXTS)).nnz == 0


def test_reads_the_length_limit(siamese, tmp_path):
    model = siamese()
    model.max_seq_length = 5
    model.save_pretrained(str(tmp_path / "saved"))
    encoder = load(tmp_path / "saved", "document")
    require_same(tmp_path / "saved", st.SparseEncoder(str(tmp_path / "saved"), device="cpu"))
    assert encoder.max_length == 5


def test_reads_old_class_paths_and_modules_in_the_root(router, masked_lm_folder, tmp_path):
    """As OpenSearch's repositories are laid: the transformer in the root, names of 5.0."""
    folder = tmp_path / "old"
    router.save_pretrained(str(tmp_path / "new"))
    shutil.copytree(tmp_path / "new", folder)
    for file in (folder / "document_0_Transformer").iterdir():
        shutil.move(file, folder / file.name)
    (folder / "document_0_Transformer").rmdir()
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 64, "do_lower_case": False})
    )
    pooling = folder / "document_1_SpladePooling" / "config.json"
    pooling.write_text(
        pooling.read_text().replace("embedding_dimension", "word_embedding_dimension")
    )
    config = json.loads((folder / "router_config.json").read_text())
    config["types"] = {
        name.replace("document_0_Transformer", ""): OLD_NAMES[kind]
        for name, kind in config["types"].items()
    }
    config["structure"]["document"][0] = ""
    (folder / "router_config.json").write_text(json.dumps(config))
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["type"] = OLD_NAMES[listed[0]["type"]]
    (folder / "modules.json").write_text(json.dumps(listed))
    require_same(folder, st.SparseEncoder(str(folder), device="cpu"))
    require_same(folder, router)


def test_reads_opensearch_files(masked_lm_folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(masked_lm_folder)
    (masked_lm_folder / "idf.json").write_text(json.dumps({"fox": 2.5, "red": 0.5, "dog": -1}))
    query = load(masked_lm_folder, "query")
    row = query.encode(["red fox fox night [SEP]"]).toarray()[0]
    ids = tokenizer.convert_tokens_to_ids(["red", "fox", "night", "[SEP]"])
    assert row[ids].tolist() == [0.5, 2.5, 1.0, 0.0]  # a token that is not named weighs 1
    assert query.weights[tokenizer.convert_tokens_to_ids("dog")] == 0
    (masked_lm_folder / "query_token_weights.txt").write_text("fox\t3.5\n[\t0.25\n")
    assert load(masked_lm_folder, "query").encode(["fox"]).max() == 3.5
    document = load(masked_lm_folder, "document")
    assert not document.encode(TEXTS)[:, tokenizer.all_special_ids].nnz
    (masked_lm_folder / "query_token_weights.txt").write_text("fox\t3.5\nfox 2\n")
    with pytest.raises(InvalidInputError, match=r"query_token_weights.txt:2: 'fox 2' came"):
        load(masked_lm_folder, "query")


def test_reads_an_idf_file_named_in_the_table(router, tmp_path):
    router.save_pretrained(str(tmp_path / "saved"))
    table = tmp_path / "saved" / "query_0_SparseStaticEmbedding"
    (table / "config.json").write_text(json.dumps({"frozen": False, "path": "idf.json"}))
    (table / "idf.json").write_text(json.dumps({"fox": 2.0}))
    row = load(tmp_path / "saved", "query").encode(["red fox fox"])
    assert row.data.tolist() == [2.0]  # a token that is not named weighs nothing there


def test_writes_what_sentence_transformers_reads(body_folder, tmp_path):
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS[:3]]
    init_head_model(str(body_folder), texts, tmp_path / "own")
    save_for_sentence_transformers(str(tmp_path / "own"), tmp_path / "theirs")
    theirs = st.SparseEncoder(str(tmp_path / "theirs"), device="cpu")
    expected = load(tmp_path / "own", "document").encode(TEXTS).toarray()
    found = theirs.encode_document(TEXTS).to_dense().numpy()
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert expected.any()
    query = theirs.encode_query(["red fox fox"]).to_dense().numpy()
    own = load(tmp_path / "own", "query")
    np.testing.assert_allclose(query, own.encode(["red fox"]).toarray(), atol=TOLERANCE)
    require_same(tmp_path / "theirs", theirs)
    named = json.loads((tmp_path / "theirs" / "idf.json").read_text())
    assert named["fox"] == pytest.approx(own.encode(["fox"]).max())
    lines = (tmp_path / "theirs" / "query_token_weights.txt").read_text().splitlines()
    assert len(lines) == len(named) == len(own.weights)


def test_writes_siamese_models(masked_lm_folder, tmp_path):
    save_for_sentence_transformers(str(masked_lm_folder), tmp_path / "theirs")
    require_same(tmp_path / "theirs", st.SparseEncoder(str(tmp_path / "theirs"), device="cpu"))
    require_same(masked_lm_folder, st.SparseEncoder(str(masked_lm_folder), device="cpu"))


@pytest.mark.parametrize("kind", ["siamese", "router"])
def test_writes_prompts_most_terms_and_lower_case(kind, siamese, router, tmp_path):
    model = siamese() if kind == "siamese" else router
    model.prompts = {"query": "the quick ", "document": "water "}
    model.max_active_dims = 3
    model.save_pretrained(str(tmp_path / "saved"))
    for path in (tmp_path / "saved").rglob("sentence_bert_config.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "do_lower_case": True}))
    save_for_sentence_transformers(str(tmp_path / "saved"), tmp_path / "theirs")
    require_same(tmp_path / "theirs", st.SparseEncoder(str(tmp_path / "theirs"), device="cpu"))
    for role in ("document", "query"):
        own, theirs = load(tmp_path / "saved", role), load(tmp_path / "theirs", role)
        np.testing.assert_array_equal(own.encode(TEXTS).toarray(), theirs.encode(TEXTS).toarray())
        assert np.diff(own.encode(["fox"]).indptr) == 3
    assert load(tmp_path / "theirs", "document").lower_case


def test_opensearch_files_name_the_tokens_without_weight(router, tmp_path):
    """It gives 1 to those that they do not name."""
    router.save_pretrained(str(tmp_path / "saved"))
    table = tmp_path / "saved" / "query_0_SparseStaticEmbedding"
    weights = random_weights(router.tokenizer)
    fox = router.tokenizer.convert_tokens_to_ids("fox")
    weights[fox] = 0
    save_file({"weight": weights}, table / "model.safetensors")
    save_for_sentence_transformers(str(tmp_path / "saved"), tmp_path / "theirs")
    opensearch = tmp_path / "theirs" / "document_0_Transformer"
    for name in ("idf.json", "query_token_weights.txt"):
        shutil.copy(tmp_path / "theirs" / name, opensearch)
        assert load(opensearch, "query").encode(["fox red"]).nnz == 1


def test_a_hub_name_is_found_in_the_cache(masked_lm_folder, tmp_path):
    """What the hub's own client keeps of a model once fetched is enough; no network."""
    repository = tmp_path / "home" / "hub" / "models--somebody--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(masked_lm_folder, repository / "snapshots" / commit)
    code = (
        "import sparse_ir\n"
        "for role in ('document', 'query'):\n"
        "    encoder = sparse_ir.load_encoder('somebody/tiny', role, precision='float32')\n"
        "    print(encoder.encode(['the red fox']).sum())\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    expected = load(masked_lm_folder, "document").encode(["the red fox"]).sum()
    assert [float(line) for line in done.stdout.split()] == pytest.approx([expected] * 2, rel=1e-4)


class TestBadModels:
    def test_dense_models(self, body_folder, tmp_path):
        dense = st.SentenceTransformer(
            modules=[
                network := st.base.modules.Transformer(str(body_folder)),
                st.models.Pooling(network.get_embedding_dimension()),
            ],
            device="cpu",
        )
        dense.save_pretrained(str(tmp_path / "dense"))
        for folder in (body_folder, tmp_path / "dense"):
            with pytest.raises(InvalidInputError, match=r"is a dense model.*init-head"):
                load(folder, "document")

    def test_weights_that_are_not_finite(self, masked_lm_folder):
        model = transformers.AutoModelForMaskedLM.from_pretrained(masked_lm_folder)
        with torch.no_grad():
            next(model.base_model.parameters())[0, 0] = torch.nan
        model.save_pretrained(masked_lm_folder)
        with pytest.raises(InvalidInputError, match="holds NaN or infinity"):
            load(masked_lm_folder, "document")

    def test_a_tokenizer_of_another_model(self, masked_lm_folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(masked_lm_folder)
        tokenizer.add_tokens(["unheard", "of"])
        tokenizer.save_pretrained(masked_lm_folder)
        with pytest.raises(InvalidInputError, match="the tokenizer has 25 tokens, the model 23"):
            load(masked_lm_folder, "document")

    def test_missing_files(self, router, masked_lm_folder, tmp_path):
        router.save_pretrained(str(tmp_path / "saved"))
        (tmp_path / "saved" / "document_1_SpladePooling" / "config.json").unlink()
        with pytest.raises(FileNotFoundError, match="SpladePooling"):
            load(tmp_path / "saved", "document")
        (masked_lm_folder / "model.safetensors").unlink()
        with pytest.raises(InvalidInputError, match="cannot load the model"):
            load(masked_lm_folder, "document")

    def test_a_length_limit_that_is_no_number(self, masked_lm_folder):
        path = masked_lm_folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": "512"}))
        with pytest.raises(InvalidInputError, match=r"model_max_length is '512'; want a number"):
            load(masked_lm_folder, "document")

    def test_most_terms_that_are_no_number(self, siamese, tmp_path):
        siamese().save_pretrained(str(tmp_path / "saved"))
        path = tmp_path / "saved" / "config_sentence_transformers.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "max_active_dims": "many"}))
        with pytest.raises(InvalidInputError, match="max_active_dims is 'many'; want an integer"):
            load(tmp_path / "saved", "document")

    def test_too_many_tokens_wanted(self, masked_lm_folder):
        with pytest.raises(InvalidInputError, match=r"max_length is 9999; this model has 6\d"):
            load_encoder(str(masked_lm_folder), max_length=9999)
