"""ONNX graphs against the torch encoder, and encoding without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from sparse_ir.encoders.convert import save_for_sentence_transformers
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.encoders.head_init import init_head_model
from sparse_ir.encoders.onnx_encoder import OnnxEncoder
from sparse_ir.errors import InvalidInputError

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra dev is not installed")
from sparse_ir.encoders.onnx_export import export_onnx

TEXTS = ["the red fox", "", "dogs sleeps over water day and night fox fox", "quick puppy runs"]


def load(folder, role="document"):
    return load_encoder(str(folder), role, precision="float32", device="cpu")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_graph_gives_what_torch_gives(masked_lm_folder, tmp_path, batch_size):
    export_onnx(str(masked_lm_folder), tmp_path / "onnx")
    encoder = load(tmp_path / "onnx")
    assert isinstance(encoder, OnnxEncoder)
    expected = load(masked_lm_folder).encode(TEXTS).toarray()
    found = encoder.encode(TEXTS, batch_size=batch_size)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-4)
    assert found.has_canonical_format
    assert expected.any()
    query = load(tmp_path / "onnx", "query")
    np.testing.assert_allclose(query.encode(TEXTS).toarray(), expected, atol=1e-4)
    assert encoder.encode([]).shape == (0, expected.shape[1])


def test_a_model_with_a_query_table_and_without_torch(body_folder, tmp_path):
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS[:3]]
    init_head_model(str(body_folder), texts, tmp_path / "own")
    export_onnx(str(tmp_path / "own"), tmp_path / "onnx", top_terms=5)
    expected = load_encoder(str(tmp_path / "own"), precision="float32", top_terms=5)
    found = load(tmp_path / "onnx").encode(TEXTS)
    np.testing.assert_allclose(found.toarray(), expected.encode(TEXTS).toarray(), atol=1e-4)
    assert load(tmp_path / "onnx", "query").encode(["fox"]).nnz == 1
    code = (
        "import sys, sparse_ir\n"
        "print(sparse_ir.load_encoder('onnx').encode(['the red fox']).nnz)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert int(done.stdout) == found[[0]].nnz


def test_a_graph_gives_no_more_terms_than_the_model(masked_lm_folder, tmp_path):
    save_for_sentence_transformers(str(masked_lm_folder), tmp_path / "three")
    path = tmp_path / "three" / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_active_dims": 3}))
    export_onnx(str(tmp_path / "three"), tmp_path / "onnx", top_terms=5)
    expected = load(tmp_path / "three").encode(TEXTS).toarray()
    encoder = load(tmp_path / "onnx")
    np.testing.assert_allclose(encoder.encode(TEXTS).toarray(), expected, atol=1e-4)
    assert (expected > 0).sum(1).max() == encoder.top_terms == 3


@pytest.mark.parametrize("write", [export_onnx, save_for_sentence_transformers])
def test_what_is_stopped_leaves_no_folder_and_what_is_there_stays(
    masked_lm_folder, tmp_path, monkeypatch, write
):
    folder = tmp_path / "empty"
    folder.mkdir()

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sparse_ir.encoders.onnx_export._write_graph", stopped)
        patch.setattr("sparse_ir.encoders.convert._write_pooling", stopped)
        with pytest.raises(KeyboardInterrupt):
            write(str(masked_lm_folder), folder / "made")
    assert [one.name for one in folder.iterdir()] == []
    (folder / "made").mkdir()
    write(str(masked_lm_folder), folder / "made")
    with pytest.raises(InvalidInputError, match="made exists; want a folder that is to be made"):
        write(str(masked_lm_folder), folder / "made")
    assert load(folder / "made").encode(TEXTS).nnz


def test_threads_share_an_encoder(masked_lm_folder, tmp_path, among_threads):
    export_onnx(str(masked_lm_folder), tmp_path / "onnx")
    encoder, text = load(tmp_path / "onnx"), "the red fox runs over water day and night " * 20
    expected = encoder.encode([text])
    found = among_threads(
        lambda: abs(encoder.encode([text]) - expected).max(), lambda: encoder.term_spans(text)
    )
    assert max(found) < 1e-5
    assert encoder.n_cut == 201


def test_eight_bits_are_near(body_folder, tmp_path):
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS[:3]]
    init_head_model(str(body_folder), texts, tmp_path / "own")
    export_onnx(str(tmp_path / "own"), tmp_path / "onnx", int8=True)
    expected = load(tmp_path / "own").encode(TEXTS).toarray()
    found = load(tmp_path / "onnx").encode(TEXTS).toarray()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95


def test_broken_graphs(masked_lm_folder, tmp_path):
    export_onnx(str(masked_lm_folder), tmp_path / "onnx")
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(InvalidInputError, match="is no ONNX graph"):
        load(tmp_path / "onnx")
    (tmp_path / "onnx" / "model.onnx").unlink()
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "onnx")
