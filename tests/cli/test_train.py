"""Training, mining and adapting from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_model import make_tiny_judge, make_tiny_model

from sparse_ir.cli.train import train
from sparse_ir.errors import InvalidInputError

TEXTS = [
    ("fast red fox", "the red fox runs fast over water"),
    ("dog at night", "the dog sleeps under water at night"),
    ("quick puppy", "a quick puppy runs over the day"),
    ("animal", "an animal sleeps day and night"),
]


@pytest.fixture
def experiment(cli):
    make_tiny_model(cli.folder)
    with (cli.folder / "train.jsonl").open("w") as file:
        file.writelines(json.dumps({"query": q, "positives": [d]}) + "\n" for q, d in TEXTS)
    (cli.folder / "train.toml").write_text(
        'teachers = [{kind = "bm25"}]\n'
        f'[model]\nstart = "{cli.folder / "tiny"}"\noutput = "out"\nmax_length = 16\n'
        '[[data]]\npath = "train.jsonl"\n'
        "[batch]\ntokens = 40\nmax_length = 16\n"
        "[optimizer]\nsteps = 4\nsave_every = 2\n"
    )
    return cli.folder / "train.toml"


def test_a_trained_model_indexes_and_searches(cli, experiment):
    assert "model in" in cli("train", experiment).stderr
    assert "settings" in (cli.folder / "out" / "README.md").read_text().lower()
    with (cli.folder / "docs.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"_id": f"d{i}", "text": d}) + "\n" for i, (_, d) in enumerate(TEXTS)
        )
    cli("index", "docs.jsonl", "--model", "out")
    hits = json.loads(cli("search", "quick puppy", "--json").stdout.splitlines()[0])
    assert "d2" in json.dumps(hits)


def test_runs_go_on_where_they_were(cli, experiment):
    text = experiment.read_text().replace("steps = 4", "steps = 4\nruns = 3")
    experiment.write_text(text)
    work = cli.folder / ".sparse-ir-train"
    cli("train", experiment)
    whole = load_file(cli.folder / "out" / "head.safetensors")
    newest = work / "run-1" / "checkpoint-4"
    before = newest.stat().st_mtime_ns
    shutil.rmtree(work / "run-2")  # as if it had been stopped while the teachers read
    shutil.rmtree(cli.folder / "out")
    cli("train", experiment, "--resume")
    assert newest.stat().st_mtime_ns == before
    again = load_file(cli.folder / "out" / "head.safetensors")
    for name, tensor in whole.items():
        np.testing.assert_allclose(again[name], tensor, atol=1e-3)
    assert "holds checkpoints" in cli.refuses("train", experiment)


def test_what_is_in_the_way_is_said_before_the_teachers_read(cli, experiment, monkeypatch):
    monkeypatch.setattr("sparse_ir.training.trainer.make_trainer", None)  # not callable
    (cli.folder / "out").mkdir()
    (cli.folder / "out" / "notes.txt").touch()
    with pytest.raises(InvalidInputError, match="out exists; want a folder that is to be made"):
        train(experiment)
    (cli.folder / "out" / "notes.txt").unlink()
    kept = cli.folder / ".sparse-ir-train" / "checkpoint-2" / "trainer_state.json"
    kept.parent.mkdir(parents=True)
    kept.touch()
    with pytest.raises(InvalidInputError, match="go on with --resume, or remove them"):
        train(experiment)


def test_the_card_says_what_was_used_and_no_licence_that_nobody_gave(cli, experiment):
    cli("train", experiment)
    card = (cli.folder / "out" / "README.md").read_text()
    assert "license:" not in card
    for line in ("It is the checkpoint of step 4.", "Teachers: bm25.", "- model.max_length = 16",
                 "- pretraining.steps = 0", "- selection.every = 500"):  # fmt: skip
        assert line in card
    shutil.rmtree(cli.folder / "out")
    shutil.rmtree(cli.folder / ".sparse-ir-train")
    given = experiment.read_text().replace("[model]", '[model]\nlicence = "cc-by-nc-4.0"')
    experiment.write_text(given)
    cli("train", experiment)
    assert "\nlicense: cc-by-nc-4.0\n" in (cli.folder / "out" / "README.md").read_text()


def test_mistakes_are_said_in_one_line(cli, experiment):
    assert "holds no checkpoint" in cli.refuses("train", experiment, "--resume")
    (cli.folder / "train.jsonl").write_text('{"query": "fox"}\n')
    assert "train.jsonl:1: no positives came" in cli.refuses("train", experiment)
    experiment.write_text("[model]\ncolour = 1\n")
    assert "train.toml: " in cli.refuses("train", experiment)
    assert "nowhere" in cli.refuses("train", "nowhere.toml")


def test_a_finished_model_goes_to_the_hub(cli, experiment, monkeypatch):
    pushed = []
    monkeypatch.setattr(
        "sparse_ir.training.hub.push", lambda folder, name: pushed.append((folder, name)) or "there"
    )
    train(experiment, push_to_hub="me/mini")
    assert pushed == [(cli.folder / "out", "me/mini")]
    assert "want OWNER/NAME" in cli.refuses("train", experiment, "--push-to-hub", "mini")


def test_adapting_says_what_it_measured(cli, experiment):
    tiny = cli.folder / "tiny"
    words = ["fox", "dog", "red", "fast", "runs", "sleeps", "water", "night", "puppy"]
    with (cli.folder / "docs.jsonl").open("w") as file:
        for i in range(40):
            text = " ".join(words[i % 9 :] + words[: i % 9 + i // 9])
            file.write(json.dumps({"_id": f"d{i}", "text": text}) + "\n")
    told = cli(
        "adapt", "docs.jsonl", "-o", "adapted", "--model", tiny, "--steps", 2,
        "--teacher", tiny.parent / "body",
    ).stderr  # fmt: skip
    assert "on 10 questions made of documents that were held out" in told
    assert [told.count(name) for name in ("as it was", "adapted ", "mean")] == [1, 1, 1]
    assert told.count("<- in the output") == 1
    assert not (cli.folder / "adapted.work").exists()
    assert "`sparse-ir adapt`" in (cli.folder / "adapted" / "README.md").read_text()
    cli("index", "docs.jsonl", "--model", "adapted")
    assert "adapted exists; want a folder that is to be made" in cli.refuses(
        "adapt", "docs.jsonl", "-o", "adapted", "--model", tiny
    )


def test_two_processes_train_one_model(cli, experiment):
    """By torchrun, with a cache of the teacher's vectors that both would write."""
    tiny = cli.folder / "tiny"
    teachers = f'{{kind = "dense", model = "{tiny.parent / "body"}"}}, {{kind = "bm25"}}'
    text = experiment.read_text().replace('{kind = "bm25"}', teachers)
    experiment.write_text(text + "[sparsity]\nquery_l1 = 1e-3\nregularizer = 'df_flops'\n")
    program = Path(sys.executable).parent / "sparse-ir"
    if not program.exists():
        pytest.skip(f"{program} is not installed")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    done = subprocess.run(
        [*launch, program, "train", experiment],
        cwd=cli.folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "model in" in done.stderr
    with (cli.folder / "docs.jsonl").open("w") as file:
        file.write(json.dumps({"_id": "d", "text": TEXTS[0][1]}) + "\n")
    cli("index", "docs.jsonl", "--model", "out")
    assert cli("search", "fast red fox", "--json").stdout


def test_a_teacher_may_be_a_function_beside_the_file(cli, experiment):
    """Wherever the command is given."""
    (cli.folder / "taught.py").write_text(
        "def lengths(queries, documents):\n"
        "    return [[len(text) for text in documents] for query in queries]\n"
    )
    named = '{kind = "callable", model = "taught:lengths"}'
    experiment.write_text(experiment.read_text().replace('{kind = "bm25"}', named))
    cli("train", experiment, cwd=cli.folder.parent)
    assert "Teachers: callable `taught:lengths`" in (cli.folder / "out" / "README.md").read_text()
    experiment.write_text(experiment.read_text().replace("taught:lengths", "taught:widths"))
    shutil.rmtree(cli.folder / "out")
    shutil.rmtree(cli.folder / ".sparse-ir-train")
    assert "'taught:widths' cannot be imported" in cli.refuses("train", experiment)


def test_a_budget_that_no_checkpoint_is_within_is_said(cli, experiment):
    dev = cli.folder / "dev"
    (dev / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", [d for _, d in TEXTS]), ("queries", [q for q, _ in TEXTS])):
        (dev / f"{name}.jsonl").write_text(
            "".join(json.dumps({"_id": f"{i}", "text": t}) + "\n" for i, t in enumerate(texts))
        )
    (dev / "qrels" / "dev.tsv").write_text("".join(f"{i}\t{i}\t1\n" for i in range(len(TEXTS))))
    tables = "[[validation]]\npath = 'dev'\n[selection]\nevery = 2\nmax_terms = 0.5\n"
    experiment.write_text(experiment.read_text() + tables)
    told = cli("train", experiment).stderr
    assert "no checkpoint is within the budget: the best has" in told
    assert " terms of 0.5, FLOPS " in told


def test_mined_negatives_are_training_data(cli, experiment):
    tiny, judge = cli.folder / "tiny", make_tiny_judge(cli.folder)
    cli(
        "mine", "train.jsonl", "-o", "mined.jsonl", "--index", "idx", "--model", tiny,
        "--cross-encoder", judge, "--margin", 2, "--first", 1, "--last", 4,
        "--count", 2,
    )  # fmt: skip
    text = experiment.read_text().replace("train.jsonl", "mined.jsonl").replace("bm25", "file")
    experiment.write_text(text)
    cli("train", experiment)
    card = (cli.folder / "out" / "README.md").read_text()
    assert "Teachers: file." in card
    assert f"| mined | {len(TEXTS)} | {len(TEXTS)} | 0 |" in card


def test_negatives_are_mined_without_a_judge(cli, experiment):
    tiny = cli.folder / "tiny"
    cli(
        "mine", "train.jsonl", "-o", "mined.jsonl", "--index", "idx", "--model", tiny,
        "--judge", "none", "--first", 1, "--last", 4, "--count", 2,
    )  # fmt: skip
    records = [json.loads(line) for line in (cli.folder / "mined.jsonl").read_text().splitlines()]
    assert len(records) == len(TEXTS)
    assert all(set(r["negatives"]).isdisjoint(r["positives"]) for r in records)
    assert any(r["negatives"] for r in records)
    assert "ranks are 5 to 4" in cli.refuses(
        "mine", "train.jsonl", "-o", "m.jsonl", "--index", "idx", "--first", 5, "--last", 4
    )


def test_negatives_of_a_folder_are_of_all_its_documents_or_the_judged_ones(cli, experiment):
    beir = cli.folder / "beir"
    (beir / "qrels").mkdir(parents=True)
    stored = [{"_id": f"d{i}", "text": text} for i, (_, text) in enumerate(TEXTS)]
    asked = [{"_id": f"q{i}", "text": query} for i, (query, _) in enumerate(TEXTS[:2])]
    for name, records in (("corpus", stored), ("queries", asked)):
        (beir / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    (beir / "qrels" / "train.tsv").write_text("q0\td0\t1\nq1\td1\t1\n")
    others = {text for _, text in TEXTS[2:]}
    for options, n_documents in (((), len(TEXTS)), (("--judged-only",), 2)):
        cli(
            "mine", "beir", "-o", "mined.jsonl", "--index", f"idx{n_documents}", "--judge", "none",
            "--model", cli.folder / "tiny", "--first", 1, "--last", 9, *options,
        )  # fmt: skip
        assert f"{n_documents} documents" in cli("info", "--index", f"idx{n_documents}").stdout
        lines = (cli.folder / "mined.jsonl").read_text().splitlines()
        mined = {text for line in lines for text in json.loads(line)["negatives"]}
        assert bool(mined & others) == (n_documents > 2)


def test_the_dense_leg_learns_from_what_the_sparse_one_finds(cli, experiment):
    tiny, body = cli.folder / "tiny", cli.folder / "body"
    cli(
        "mine", "train.jsonl", "-o", "mined.jsonl", "--index", "idx", "--model", tiny,
        "--judge", "none", "--first", 1, "--last", 4, "--count", 2,
    )  # fmt: skip
    begin = ("train-dense", "mined.jsonl", "-o", "dense", "--model", body, "--steps", 2)
    assert "model in dense" in cli(*begin).stderr
    with (cli.folder / "docs.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"_id": f"d{i}", "text": d}) + "\n" for i, (_, d) in enumerate(TEXTS)
        )
    cli("index", "docs.jsonl", "--model", tiny, "--dense", "--dense-model", "dense")
    found = cli("search", "quick puppy", "--dense", "--json").stdout.splitlines()
    assert len(found) == len(TEXTS)
    assert "/dense', not" in cli.refuses(
        "index", "docs.jsonl", "--model", tiny, "--dense", "--dense-model", body
    )
    assert "dense exists; want a folder that is to be made" in cli.refuses(*begin)


@pytest.mark.parametrize("terms", [(), ("--target-terms", 5)])
def test_a_model_of_others_cannot_be_adapted(cli, experiment, terms):
    (cli.folder / "docs.jsonl").write_text('{"_id": "a", "text": "a fox"}\n')
    body = cli.folder / "body"
    assert f"{body} has no head of ours; want a model folder" in cli.refuses(
        "adapt", "docs.jsonl", "-o", "adapted", "--model", body, *terms
    )


def test_too_small_a_corpus_cannot_be_adapted_to(cli, experiment):
    (cli.folder / "docs.jsonl").write_text('{"_id": "a", "text": "a fox"}\n')
    assert "1 documents came; want at least 32" in cli.refuses(
        "adapt", "docs.jsonl", "-o", "adapted", "--model", cli.folder / "tiny"
    )
