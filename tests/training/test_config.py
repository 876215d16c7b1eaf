from __future__ import annotations

from pathlib import Path

import pytest

from sparse_ir.errors import DataFormatError
from sparse_ir.training.config import read_config

ROOT = Path(__file__).parents[2]


def write(path, text):
    (path / "train.toml").write_text(text)
    return path / "train.toml"


def test_paths_are_relative_to_the_file(tmp_path):
    config = read_config(write(tmp_path, '[[data]]\npath = "a"\n[model]\noutput = "b"\n'))
    assert config.data[0].path == tmp_path / "a"
    assert config.model.output == tmp_path / "b"
    assert [teacher.kind for teacher in config.teachers] == ["dense", "bm25"]


def test_a_start_beside_the_file_is_found_there_and_a_shipped_one_by_name(tmp_path):
    (tmp_path / "mine").mkdir()
    text = '[[data]]\npath = "a"\n[model]\nstart = "{}"\n'
    assert read_config(write(tmp_path, text.format("mine"))).model.start == str(tmp_path / "mine")
    assert read_config(write(tmp_path, text.format("mini"))).model.start == "mini"


def test_a_teacher_beside_the_file_is_found_there(tmp_path):
    (tmp_path / "dense").mkdir()
    text = '[[data]]\npath = "a"\n[[teachers]]\nkind = "dense"\nmodel = "dense"\n'
    assert read_config(write(tmp_path, text)).teachers[0].model == str(tmp_path / "dense")


def test_runs_differ_in_their_seeds_and_folders(tmp_path):
    text = '[[data]]\npath = "a"\n[optimizer]\nseed = 5\nruns = 2\n[batch]\nseed = 7\n'
    runs = read_config(write(tmp_path, text)).each_run()
    assert [run.optimizer.seed for run in runs] == [5, 6]
    assert [run.batch.seed for run in runs] == [7, 8]
    assert [run.work.name for run in runs] == ["run-0", "run-1"]
    assert len({run.vectors_folder for run in runs}) == 1
    alone = read_config(write(tmp_path, '[[data]]\npath = "a"\n'))
    assert alone.each_run() == [alone]


def test_dev_sets_of_one_name_are_told_apart(tmp_path):
    def names(*places):
        tables = "".join(f"[[validation]]\npath='{p}'\nsplit='{s}'\n" for p, s in places)
        text = f"[[data]]\npath='a'\n{tables}"
        return read_config(write(tmp_path, text)).validation_names

    assert names(("x/set", "dev"), ("other", "dev")) == ["set", "other"]
    assert names(("x/set", "dev"), ("x/set", "train"), ("y/set", "dev"), ("z", "dev")) == [
        f"{tmp_path}/x/set (dev)", f"{tmp_path}/x/set (train)", f"{tmp_path}/y/set (dev)", "z",
    ]  # fmt: skip
    with pytest.raises(DataFormatError, match="has a path and split twice"):
        names(("x", "dev"), ("x", "dev"))


@pytest.mark.parametrize(
    "path",
    [
        "sparse_ir/models/mini/training.toml",
        "bench/claims.toml",
    ],
)
def test_the_recipes_are_valid(path):
    assert read_config(ROOT / path).data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model", "not TOML"),
        ("[model]\nstart = 'mini'\n", "data: Field required"),
        ("data = []\n", "data: Tuple should have at least 1 item"),
        ("[[data]]\npath='a'\ncolour=3\n", r"data\.0\.colour: Extra inputs are not permitted"),
        ("[[data]]\npath='a'\n[batch]\ntokens='x'\n", r"batch\.tokens: .*'x' came"),
        (
            "[[data]]\npath='a'\n[optimizer]\naverage_last=5\n",
            "average_last is 5; want at most keep",
        ),
        (
            "[[data]]\npath='a'\n[[validation]]\npath='b'\n[optimizer]\nsave_every=300\n",
            r"toml: selection\.every is 500; want a multiple of optimizer\.save_every = 300",
        ),
        ("[[data]]\npath='a'\npseudo_queries=['poem']\n", r"pseudo_queries.*'poem' came"),
        ("language='klingon'\n[[data]]\npath='a'\n", "language: .*'klingon'"),
        (
            "[[data]]\npath='a'\nscores='x'\n",
            "data.scores of a came; want a teacher of the kind file",
        ),
        (
            "[[data]]\npath='a'\n[[teachers]]\nkind='cross_encoder'\n",
            "kind cross_encoder came without a model",
        ),
        ("[[data]]\npath='a'\n[loss]\nresidual=2\n", r"loss\.residual: .*less than or equal to 1"),
        ("[[data]]\npath='a'\n[loss]\ndistillation=0\ncontrast=0\n", "loss: .* are all 0"),
        ("teachers=[]\n[[data]]\npath='a'\n", "teachers: .* at least 1 item"),
        ("[[data]]\npath='a'\nweights=[1.0]\n", "data.weights of a are 1; want 2, one a teacher"),
        (
            "[[data]]\npath='a'\n[sparsity]\nregularizer='joint_flops'\n",
            "joint_flops; want model.queries = network",
        ),
        (
            "[[data]]\npath='a'\n[sparsity]\nregularizer='l1'\nleast_terms=9\n",
            "least_terms came with l1; want idf_flops or flops",
        ),
        (
            "[[data]]\npath='a'\n[query_fit]\nsteps=9\n[model]\nqueries='network'\n",
            "query_fit.steps is 9; want 0, or model.queries = lookup",
        ),
        (
            "[[data]]\npath='a'\n[query_fit]\nsteps=9\n[[teachers]]\nkind='file'\n",
            "query_fit.steps is 9; want 0, or a teacher that is dense, sparse or bm25",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(DataFormatError, match=message):
        read_config(write(tmp_path, text))
