"""A whole run on a tiny model: it learns, resumes where it was, and saves what searches."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_model import make_tiny_judge

from sparse_ir import Document, SparseRetriever, ingest
from sparse_ir.encoders.checkpoint import model_settings
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.training.batches import hard_neighbours
from sparse_ir.training.checkpoints import average_checkpoints, checkpoints
from sparse_ir.training.config import SelectionTable, TrainConfig
from sparse_ir.training.pretraining import pretraining_loss
from sparse_ir.training.run import one_device, train_model
from sparse_ir.training.student import Student
from sparse_ir.training.teachers import BM25Teacher, normalized
from sparse_ir.training.trainer import make_trainer
from sparse_ir.training.validation import DevResult, read_dev_set, summary

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
ASKED = {"pretraining": {"steps": 1}}
PRETRAINING = {"batch_size": 4, "rate": 1e-2, "max_length": 16}
TEXTS = [
    ("fast red fox", "the red fox runs fast over water"),
    ("dog at night", "the dog sleeps under water at night"),
    ("quick puppy", "a quick puppy runs over the day"),
    ("animal", "an animal sleeps day and night"),
]


@pytest.fixture
def config(model_folder, jsonl, tmp_path):
    def make(**changed):
        data = jsonl(*({"query": q, "positives": [d]} for q, d in TEXTS))
        tables = {
            "model": {"start": str(model_folder), "output": tmp_path / "out", "max_length": 16},
            "data": [{"path": data, "licence": "CC0"}],
            "teachers": [{"kind": "bm25"}],
            "batch": {"tokens": 40, "neighbours": 1, "max_length": 16},
            "sparsity": {"target_terms": 6},
            "optimizer": {
                "steps": 8,
                "save_every": 4,
                "log_every": 2,
                "bfloat16": False,
                "body_rate": 1e-3,
                "head_rate": 1e-2,
            },
            "work": tmp_path / "work",
        }
        for name, table in changed.items():
            old = tables.get(name)
            tables[name] = {**old, **table} if isinstance(old, dict) else table
        return TrainConfig.model_validate(tables)

    return make


def beir(folder):
    folder.mkdir()
    with (folder / "corpus.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"_id": f"d{i}", "text": d}) + "\n" for i, (_, d) in enumerate(TEXTS)
        )
    with (folder / "queries.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"_id": f"q{i}", "text": q}) + "\n" for i, (q, _) in enumerate(TEXTS)
        )
    (folder / "qrels").mkdir()
    (folder / "qrels" / "dev.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\td{i}\t1\n" for i in range(len(TEXTS)))
    )
    return folder


def losses_of(trainer):
    return [entry["ranking"] for entry in trainer.state.log_history if "ranking" in entry]


@pytest.mark.parametrize(("asked", "pays"), [(None, True), (None, False), (True, False)])
def test_bfloat16_where_it_pays(config, monkeypatch, asked, pays):
    """Elsewhere its products on a CPU take up to a hundred times as long as float32's."""
    found = torch.bfloat16 if pays else torch.float32
    monkeypatch.setattr("sparse_ir.training.trainer.choose_dtype", lambda wanted, device: found)
    tables = config(optimizer={"bfloat16": asked})
    assert make_trainer(tables).args.bf16 is (pays if asked is None else asked)


@pytest.mark.parametrize("chunk", [None, 2])
def test_training_in_bfloat16_is_near_that_in_float32(config, tmp_path, chunk):
    ended, dtypes = [], [torch.float32, torch.bfloat16]
    for dtype in dtypes:
        folder, seen = tmp_path / str(dtype), set()
        asked = {"bfloat16": dtype == torch.bfloat16}
        model = {"chunk": chunk, "output": folder / "out"}
        trainer = make_trainer(config(optimizer=asked, model=model, work=folder))
        product = trainer.student.body.encoder.layer[0].output.dense

        def note(module, inputs, output, seen=seen):
            if torch.is_grad_enabled():  # else the scales of the scores are looked for
                seen.add(output.dtype)

        product.register_forward_hook(note)
        before = {name: p.detach().clone() for name, p in trainer.student.named_parameters()}
        assert train_model(trainer, finish=False)
        assert seen == {dtype}
        after = trainer.student.named_parameters()
        ended.append(torch.cat([(p.detach() - before[name]).flatten() for name, p in after]))
        assert all(p.dtype == torch.float32 for p in trainer.student.parameters())
    assert torch.cosine_similarity(*ended, dim=0) > 0.9


def test_a_model_may_be_read_by_whom_the_umask_lets(config, tmp_path):
    """Also what safetensors wrote, which by itself is its owner's alone."""
    before = os.umask(0o027)
    try:
        train_model(make_trainer(config()))
        ingest(tmp_path / "index", [Document("a", "fox")], model=str(tmp_path / "out"))
    finally:
        os.umask(before)
    files = [*(tmp_path / "out").rglob("*"), *(tmp_path / "index" / "query_encoder").rglob("*")]
    assert {path.name for path in files} >= {"head.safetensors", "model.safetensors"}
    assert {path.stat().st_mode & 0o777 for path in files if path.is_file()} == {0o640}


def test_the_loss_falls_and_the_model_searches(config, tmp_path):
    trainer = make_trainer(config(optimizer={"steps": 60}))
    steps, lines = [], []
    assert train_model(trainer, on_step=steps.append, on_log=lines.append)
    assert len(steps) == 60
    assert len(lines) == 30
    assert re.fullmatch(
        r"step 2: ranking \S+, pressure \S+, terms \S+, flops \S+, teacher_agreement \S+", lines[0]
    )
    losses = losses_of(trainer)
    assert losses[-1] < losses[0]
    entry = trainer.state.log_history[0]
    assert {"terms", "flops", "greatest_df", "lambda", "g", "teacher_agreement"} <= set(entry)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| train | 4 | 4 | 0 | 1.00 | CC0 |" in card
    documents = [Document(f"d{i}", text) for i, (_, text) in enumerate(TEXTS)]
    ingest(tmp_path / "index", documents, model=str(tmp_path / "out"))
    with SparseRetriever.open(tmp_path / "index") as retriever:
        found = [hits[0].doc_id for hits in retriever.search([q for q, _ in TEXTS], k=1)]
    assert found == [d.doc_id for d in documents]


def test_the_saved_encoders_give_the_students_own_weights(config, tmp_path):
    trainer = make_trainer(config())
    train_model(trainer)
    student, texts = trainer.student.eval(), [d for _, d in TEXTS]
    batch = student.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = student.term_weights(batch["input_ids"], batch["attention_mask"]).numpy()
    got = load_encoder(str(tmp_path / "out")).encode(texts).toarray()
    np.testing.assert_allclose(got, expected, atol=0.02)  # float16 on disk
    table = load_encoder(str(tmp_path / "out"), "query").weights
    np.testing.assert_allclose(table, student.query_table().detach().numpy(), rtol=1e-6)


REMEMBERING = {
    "loss": {"contrast_kind": "individual", "contrast": 1.0},
    "sparsity": {"regularizer": "df_flops", "weight": 1.0, "target_terms": 0},
    "optimizer": {"average_last": 2, "keep_checkpoints": 2},
}


@pytest.mark.parametrize("changed", [{}, REMEMBERING])
def test_resuming_gives_what_an_unbroken_run_gives(config, tmp_path, changed):
    """Also of losses that remember earlier batches; the mean knows no checkpoint of Ctrl-C."""
    elsewhere = {"work": tmp_path / "whole", "model": {"output": tmp_path / "whole_out"}}
    whole = make_trainer(config(**elsewhere, **changed))
    train_model(whole)

    broken = make_trainer(config(**changed))

    def interrupt(_):
        if broken.state.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert not train_model(broken, on_step=interrupt)
    assert not (tmp_path / "out").exists()
    (tmp_path / "work" / "checkpoint-4").mkdir()  # as a kill leaves one
    assert [path.name for path in checkpoints(tmp_path / "work")] == ["checkpoint-3"]
    resumed = make_trainer(config(**changed))
    assert train_model(resumed, resume=True)
    assert losses_of(resumed)[-1] == pytest.approx(losses_of(whole)[-1], rel=1e-3)
    for name, tensor in whole.student.state_dict().items():
        torch.testing.assert_close(resumed.student.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_of_another_loss_is_refused(config, tmp_path):
    trainer = make_trainer(config())
    train_model(trainer, finish=False)
    other = make_trainer(config(loss={"contrast_kind": "individual"}))
    with pytest.raises(InvalidInputError, match=r"has no anchored\.log_sums: .* without --resume"):
        other.objective.load_state(trainer.objective.state())


def test_nothing_to_resume_from_is_an_error(config):
    with pytest.raises(InvalidInputError, match="holds no checkpoint"):
        train_model(make_trainer(config()), resume=True)


def test_checkpoints_of_another_training_are_in_the_way(config):
    train_model(make_trainer(config(optimizer={"steps": 12})))
    with pytest.raises(InvalidInputError, match="holds checkpoints of another training"):
        train_model(make_trainer(config()))


def test_the_mean_is_over_all_runs(config, tmp_path):
    """By hand: each run alone, with the next seed in a folder of its own."""
    both = config(optimizer={"runs": 2, "seed": 3, "average_last": 2, "keep_checkpoints": 2})
    first, second = both.each_run()
    train_model(make_trainer(first), finish=False)
    assert not (tmp_path / "out").exists()
    trainer = make_trainer(second, earlier=[first.work])
    train_model(trainer)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "It is the mean of 4 checkpoints of 2 runs" in card
    states = []
    for number, seed in enumerate((3, 4)):
        alone = config(work=tmp_path / f"alone-{seed}", optimizer={"seed": seed})
        train_model(make_trainer(alone))
        for folder in checkpoints(alone.work):
            states.append(load_file(folder / "model.safetensors"))
            [same] = (tmp_path / f"work/run-{number}").glob(folder.name)
            torch.testing.assert_close(load_file(same / "model.safetensors"), states[-1])
    mean = sum(state["bias"] for state in states) / 4
    torch.testing.assert_close(trainer.student.bias.detach(), mean)
    assert not torch.equal(states[1]["bias"], states[3]["bias"])


def test_attention_on_a_cpu_is_that_of_the_model(config):
    """In bfloat16, near enough to the eager attention in float32, and in float32 equal to it."""
    student = make_trainer(config()).student.eval()
    batch = student.tokenizer([text for _, text in TEXTS], padding=True, return_tensors="pt")
    assert not batch["attention_mask"].all()

    def weights(dtype=None):
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            return student.term_weights(batch["input_ids"], batch["attention_mask"]).float()

    ours, rounded = weights(), weights(torch.bfloat16)
    student.body.set_attn_implementation("eager")
    torch.testing.assert_close(ours, weights(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rounded, ours, rtol=0.1, atol=0.1)


def test_validation_searches_for_real_and_the_budget_decides(config, tmp_path):
    dev = [{"path": beir(tmp_path / "dev"), "max_queries": 4, "max_documents": 4}]
    trainer = make_trainer(config(validation=dev, selection={"every": 4, "max_terms": 1000}))
    values = trainer.validate()
    assert 0 < values["anchored"] <= 1
    assert values["lexical"] > 0
    assert values["selection"] == pytest.approx((values["anchored"] + values["learned"]) / 2)
    for budget in ({"max_terms": 0.5}, {"max_terms": 1000, "max_flops": 1e-6}):
        strict = make_trainer(config(validation=dev, selection={"every": 4, **budget}))
        assert strict.validate()["selection"] == pytest.approx(values["selection"] - 1)
    train_model(trainer)
    assert trainer.validate()["lexical"] == values["lexical"]  # BM25 learns nothing
    assert "Measured" in (tmp_path / "out" / "README.md").read_text()


def test_a_judged_query_without_a_text_is_refused(tmp_path):
    folder = beir(tmp_path / "dev")
    with (folder / "qrels" / "dev.tsv").open("a") as file:
        file.write("q9\td0\t1\n")
    with pytest.raises(
        DataFormatError, match=r"dev\.tsv:6: query 'q9' came; want one of .*queries"
    ):
        read_dev_set(folder, split="dev", max_queries=9, max_documents=9)


def test_the_anchor_weight_is_the_one_that_dev_sets_choose(config, tmp_path):
    dev = DevResult(0.4, 0.5, {0.2: 0.30, 0.6: 0.40}, 100, 1.0)
    other = DevResult(0.6, 0.7, {0.2: 0.61, 0.6: 0.50}, 50, 0.2)
    got = summary({"a": dev, "b": other})
    assert got["anchor_weight"] == 0.2  # .91 against .90
    assert got["anchored"] == pytest.approx(0.455)
    assert (got["b_anchored"], got["learned"], got["terms"]) == (0.61, 0.6, 75)
    assert (got["lexical"], got["b_lexical"]) == (0.5, 0.6)

    sets = [{"path": beir(tmp_path / "dev")}]
    selection = {"every": 8, "max_terms": 1000, "anchor_weights": [0.7]}
    assert train_model(make_trainer(config(validation=sets, selection=selection)))
    assert model_settings(str(tmp_path / "out")).anchor_weight == 0.7


def test_the_finished_model_prunes_and_is_judged_so(config, tmp_path):
    sets, selection = [{"path": beir(tmp_path / "dev")}], {"every": 8, "max_terms": 1000}
    terms = {}
    for ratio in (0.0, 0.6):
        work, model = tmp_path / f"work-{ratio}", {"prune_ratio": ratio}
        made = config(model=model, work=work, validation=sets, selection=selection)
        trainer = make_trainer(made)
        train_model(trainer)
        assert model_settings(str(tmp_path / "out")).prune_ratio == ratio
        found = load_encoder(str(tmp_path / "out")).encode([d for _, d in TEXTS])
        terms[ratio] = trainer.measured["terms"]
        assert terms[ratio] == pytest.approx(found.nnz / len(TEXTS), abs=0.3)  # float16 on disk
    assert terms[0.6] < terms[0.0] - 1


@pytest.mark.parametrize("better", [True, False])
def test_the_query_table_is_fitted_unless_dev_sets_are_against_it(config, tmp_path, better):
    asked = config(query_fit={"steps": 5}, validation=[{"path": beir(tmp_path / "dev")}])
    trainer = make_trainer(asked.model_copy(update={"selection": SelectionTable(every=8)}))
    last = tmp_path / "work" / "checkpoint-8" / "model.safetensors"

    def validate():
        trained = load_file(last)["query_logits"] if last.is_file() else None
        is_fitted = trained is not None and not torch.allclose(
            trainer.student.query_logits, trained
        )
        return {"selection": 0.5 if not is_fitted else 0.6 if better else 0.4, "anchor_weight": 0.4}

    trainer.validate = validate
    told = Counter()
    train_model(trainer, finish=False)
    trainer.finish(lambda stage, n: told.update({stage: n}))
    assert told == {"documents encoded": len(TEXTS), "steps of fitting queries": 5}
    before = Student(str(config().model.start))
    average_checkpoints(before, checkpoints(tmp_path / "work")[-1:])
    trained = before.lookup_encoder().weights
    got = load_encoder(str(tmp_path / "out"), "query").weights
    if better:
        assert np.abs(got - trained).max() > 1e-3
    else:
        np.testing.assert_allclose(got, trained, atol=1e-5)
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("Its query table was fitted to whole collections." in card) == better


def test_without_dev_sets_the_anchor_weight_stays(config, tmp_path, model_folder):
    trainer = make_trainer(config(optimizer={"scalar_rate": 1.0}))
    train_model(trainer)
    kept = model_settings(str(model_folder)).anchor_weight
    assert trainer.student.anchor_weight != pytest.approx(kept, rel=0.1)
    assert model_settings(str(tmp_path / "out")).anchor_weight == kept


@pytest.mark.parametrize(("mean", "best"), [(0.5, "checkpoint-4"), (0.95, "mean")])
def test_the_model_is_the_mean_or_the_best_whichever_dev_sets_prefer(config, tmp_path, mean, best):
    optimizer = {"steps": 8, "save_every": 2, "keep_checkpoints": 4, "average_last": 3}
    sets, work = [{"path": beir(tmp_path / "dev")}], tmp_path / "work"
    selection = {"every": 2, "max_terms": 1000}
    trainer = make_trainer(config(optimizer=optimizer, validation=sets, selection=selection))
    during = iter([0.1, 0.9, 0.2, 0.3])

    def bias(name):
        return load_file(work / name / "model.safetensors")["bias"]

    def validate():
        if value := next(during, None):
            return {"selection": value}
        is_single = torch.equal(trainer.student.bias, bias("checkpoint-4"))
        return {"selection": 0.9 if is_single else mean, "anchor_weight": 0.4}

    trainer.validate = validate
    train_model(trainer)
    if best == "mean":
        expected = sum(bias(f"checkpoint-{step}") for step in (4, 6, 8)) / 3
    else:
        expected = bias(best)
    torch.testing.assert_close(trainer.student.bias.detach(), expected)


def test_the_best_checkpoint_is_the_model_where_no_mean_is_asked_for(config, tmp_path):
    sets = [{"path": beir(tmp_path / "dev")}]
    selection = {"every": 4, "max_terms": 1000}
    trainer = make_trainer(config(validation=sets, selection=selection))
    work, during = tmp_path / "work", iter([0.9, 0.1])

    def bias(name):
        return load_file(work / name / "model.safetensors")["bias"]

    def validate():
        if value := next(during, None):
            return {"selection": value}
        is_first = torch.equal(trainer.student.bias, bias("checkpoint-4"))
        return {"selection": 0.9 if is_first else 0.1}

    trainer.validate = validate
    train_model(trainer)
    assert not torch.equal(bias("checkpoint-4"), bias("checkpoint-8"))
    torch.testing.assert_close(trainer.student.bias.detach(), bias("checkpoint-4"))
    assert "It is the checkpoint of step 4" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", ["model", "batch", "pretraining"])
def test_texts_longer_than_the_body_reads_are_refused(config, name):
    with pytest.raises(InvalidInputError, match=rf"{name}\.max_length is 1000; .* at most \d+"):
        make_trainer(config(**{name: {"max_length": 1000} | ASKED.get(name, {})}))


def test_what_comes_before_the_first_step_is_where_the_student_is(config):
    """On a GPU batches are not."""
    trainer, calibrated = make_trainer(config()), []
    trainer._prepare_inputs = lambda batch: {"moved": batch}
    trainer.student.calibrate = calibrated.extend
    trainer.prepare()
    assert calibrated
    assert all(list(batch) == ["moved"] for batch in calibrated)


def test_training_is_logged_for_tensorboard(config, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train_model(make_trainer(config()))
    [file] = (tmp_path / "work").rglob("events.out.tfevents.*")
    log = events.EventAccumulator(str(file)).Reload()
    assert {"train/loss", "train/terms", "train/teacher_agreement"} <= set(log.Tags()["scalars"])
    assert [event.step for event in log.Scalars("train/loss")] == [2, 4, 6, 8]


def test_pretraining_comes_before_training(config):
    plain, pretrained = (
        make_trainer(config(pretraining=PRETRAINING | {"steps": steps})) for steps in (0, 20)
    )
    batch = plain.student.tokenizer([d for _, d in TEXTS], padding=True, return_tensors="pt")
    guesses = []
    told = []
    for trainer in (plain, pretrained):
        trainer.prepare(lambda stage, n: told.append(stage))
        loss = pretraining_loss(
            trainer.student,
            batch["input_ids"],
            batch["attention_mask"],
            masked=0.5,
            bag_weight=0.1,
            draw=torch.Generator().manual_seed(1),
        )
        guesses.append(float(loss.detach()))
    assert guesses[1] < guesses[0]
    assert told == ["steps of pre-training"] * 20


@pytest.mark.parametrize("target", [0, 6])
def test_a_target_of_no_terms_leaves_lambda_as_it_is(config, target):
    trainer = make_trainer(config(sparsity={"target_terms": target, "weight": 0.25}))
    train_model(trainer)
    logged = [row["lambda"] for row in trainer.state.log_history if "lambda" in row]
    assert logged
    assert (logged == [0.25] * len(logged)) == (target == 0)


@pytest.mark.parametrize("by_model", [False, True])
def test_the_terms_steered_to_are_those_that_pruning_leaves(config, by_model):
    asked = {"model": {"prune_ratio": 0.8}} if by_model else {}
    ratio = None if by_model else 0.8
    trainer = make_trainer(config(sparsity={"target_terms": 6, "counted_ratio": ratio}, **asked))
    batch = trainer.train_dataset[0]
    scored = trainer.student(**batch)
    _, numbers = trainer.objective(scored, batch, step=0)
    rows = scored.documents.detach().numpy()
    left = [sum(weight >= 0.8 * max(row) for weight in row if weight > 0) for row in rows]
    assert np.mean(left) < (rows > 0).sum(1).mean()
    assert numbers["terms"] == pytest.approx(np.mean(left))
    assert float(trainer.objective.state()["controller"][1]) == pytest.approx(np.mean(left))


def test_ctrl_c_in_pretraining_is_what_it_is_elsewhere(config, tmp_path):
    trainer = make_trainer(config(pretraining=PRETRAINING | {"steps": 3}))
    # What Python begins with, unless a shell started the tests in the background: that ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_model(trainer, on_stage=lambda stage, n: os.kill(os.getpid(), signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not checkpoints(tmp_path / "work")


def test_a_process_trains_on_one_device(config, monkeypatch):
    """transformers would split a batch of queries and documents that belong together."""
    trainer = make_trainer(config())
    trainer.args._n_gpu = 4
    assert one_device(trainer.args).n_gpu == 1


def words_in_common(queries, documents):
    """A teacher: of each query's words, how many a document has."""
    return [[len({*q.split()} & {*d.split()}) for d in documents] for q in queries]


NOT_A_FUNCTION = 3


def documents_of(trainer, batch):
    """The numbers of a batch's documents."""
    [taught] = trainer.train_dataset.sets
    tokenizer = trainer.student.tokenizer
    numbers = {
        tuple(tokenizer(document.content)["input_ids"]): row
        for row, document in enumerate(taught.examples.documents)
    }
    return np.array([numbers[tuple(filter(None, ids))] for ids in batch["input_ids"].tolist()])


def test_any_function_can_be_a_teacher(config):
    named = {"kind": "callable", "model": f"{__name__}:words_in_common"}
    trainer = make_trainer(config(teachers=[named], distillation={"scale": 2.0}))
    batch, [taught] = trainer.train_dataset[0], trainer.train_dataset.sets
    queries = [taught.examples.queries[row] for row in batch["query_numbers"]]
    texts = [taught.examples.documents[row].content for row in documents_of(trainer, batch)]
    counts = np.array(words_in_common(queries, texts), float)
    low, high = counts.min(1, keepdims=True), counts.max(1, keepdims=True)
    expected = 2 * (counts - low) / (high - low)
    np.testing.assert_allclose(batch["teacher"], expected, rtol=1e-4, atol=1e-4)
    assert train_model(trainer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:score", "cannot be imported .*want module:function"),
        (f"{__name__}:nothing", "cannot be imported .*want module:function"),
        ("a b", "cannot be imported .*want module:function"),
        (f"{__name__}:NOT_A_FUNCTION", "is no function"),
    ],
)
def test_a_teacher_that_is_no_function_is_refused(config, name, message):
    with pytest.raises(InvalidInputError, match=message):
        make_trainer(config(teachers=[{"kind": "callable", "model": name}]))


@pytest.mark.parametrize("normalization", ["minmax", "zscore", "rank"])
def test_teachers_of_all_kinds_teach_together(config, model_folder, normalization):
    pytest.importorskip("sentence_transformers")
    body = str(model_folder.parent / "body")
    judge = make_tiny_judge(model_folder.parent)
    teachers = [
        {"kind": "dense", "model": body, "max_length": 16},
        {"kind": "sparse", "model": str(model_folder), "max_length": 16},
        {"kind": "cross_encoder", "model": str(judge), "max_length": 16},
        {"kind": "bm25"},
        {"kind": "file"},
        {"kind": "callable", "model": f"{__name__}:words_in_common"},
    ]
    how = {"normalization": normalization}
    trainer = make_trainer(config(teachers=teachers, distillation=how))
    batch, [taught] = trainer.train_dataset[0], trainer.train_dataset.sets
    queries, documents = batch["query_numbers"].numpy(), documents_of(trainer, batch)
    given = [
        normalized(scorer.scores(queries, documents), normalization) for scorer in taught.scorers
    ]
    known = [scores for scores in given if np.isfinite(scores).all()]
    assert len(known) == 5  # this file gives no scores
    np.testing.assert_allclose(batch["teacher"], 30 * np.mean(known, axis=0), atol=1e-3)
    assert train_model(trainer)
    assert np.isfinite(losses_of(trainer)).all()


def test_scores_of_a_file_are_the_target(config, jsonl, tmp_path):
    """Of JSONL in its records, of a BEIR folder in a run beside it: the same."""
    teacher = [{"kind": "file"}]
    folder, run = beir(tmp_path / "set"), tmp_path / "teacher.trec"
    told = {(q, d): 2.0 * q - d for q in range(4) for d in range(4)}
    run.write_text("".join(f"q{q} Q0 d{d} 1 {s} t\n" for (q, d), s in told.items()))
    records = [
        {
            "query": query,
            "positives": [text],
            "negatives": [d for j, (_, d) in enumerate(TEXTS) if j != i],
            "scores": [told[i, i], *(told[i, j] for j in range(4) if j != i)],
        }
        for i, (query, text) in enumerate(TEXTS)
    ]
    for data in (
        {"path": jsonl(*records, name="scored.jsonl")},
        {"path": folder, "split": "dev", "scores": run},
    ):
        trainer = make_trainer(config(data=[data], teachers=teacher, batch={"tokens": 400}))
        batch = trainer.train_dataset[0]
        documents = documents_of(trainer, batch)  # all sets have them in the order of TEXTS
        for row, query in enumerate(batch["query_numbers"].tolist()):
            scores = np.array([told[query, document] for document in documents])
            expected = 30 * (scores - scores.min()) / (scores.max() - scores.min())
            np.testing.assert_allclose(batch["teacher"][row], expected, rtol=1e-4, atol=1e-4)


def test_who_labels_one_by_one_gets_hard_batches_by_bm25(config):
    named = {"kind": "callable", "model": f"{__name__}:words_in_common"}
    trainer = make_trainer(config(teachers=[named]))
    [taught] = trainer.train_dataset.sets
    expected = hard_neighbours(taught.examples, [BM25Teacher().read(taught.examples)])
    assert [one.tolist() for one in taught.near] == [one.tolist() for one in expected]


def test_all_runs_read_what_a_teacher_has_read_once(config, model_folder, tmp_path):
    teacher = {"kind": "dense", "model": str(model_folder.parent / "body"), "max_length": 16}
    first, second = config(optimizer={"runs": 2}, teachers=[teacher]).each_run()
    read = []
    for one in (first, second):
        make_trainer(one, on_progress=read.append)
    assert sum(read) > 0
    again = []
    make_trainer(second, on_progress=again.append)
    assert not again
    assert (tmp_path / "work" / "vectors").is_dir()


def test_chunks_change_memory_and_not_gradients(config):
    gradients = []
    for chunk in (None, 2):
        trainer = make_trainer(config(model={"chunk": chunk}))
        batch = trainer.train_dataset[0]
        trainer.compute_loss(trainer.student, batch).backward()
        gradients.append(
            [p.grad.clone() for p in trainer.student.parameters() if p.grad is not None]
        )
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["decoupled", "individual", "soft"])
@pytest.mark.parametrize("regularizer", ["flops", "df_flops", "l1"])
def test_every_loss_and_regulariser_trains(config, kind, regularizer):
    trainer = make_trainer(
        config(
            loss={"contrast_kind": kind, "margin_mse": 0.05, "contrast": 1.0},
            sparsity={"regularizer": regularizer, "query_l1": 1e-3},
            optimizer={"steps": 2, "save_every": 2},
        )
    )
    assert train_model(trainer)
    assert np.isfinite(losses_of(trainer)).all()


def test_a_hidden_pair_is_no_part_of_the_soft_contrast(config):
    trainer = make_trainer(config(loss={"contrast_kind": "soft"}))
    scores = torch.tensor([[2.0, 1.0, 0.5]], requires_grad=True)
    teacher = torch.tensor([[-torch.inf, 30.0, 15.0]])
    loss = trainer.objective.contrast("learned", scores, {"teacher": teacher, "positives": None})
    log_p = torch.log_softmax(torch.tensor([1.0, 0.5]), 0)
    expected = -(log_p[0] * 1.0 + log_p[1] * 0.5) / 1.5
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert scores.grad[0, 0] == 0


@pytest.mark.parametrize("regularizer", ["flops", "joint_flops"])
def test_siamese_students_encode_queries_by_the_network(config, tmp_path, regularizer):
    sparsity = {"query_l1": 1e-4, "regularizer": regularizer}
    trainer = make_trainer(config(model={"queries": "network"}, sparsity=sparsity))
    before = trainer.student.query_logits.detach().clone()
    assert train_model(trainer)
    assert torch.equal(trainer.student.query_logits, before)
    model, questions = str(tmp_path / "out"), [q for q, _ in TEXTS]
    asked, read = (load_encoder(model, role).encode(questions) for role in ("query", "document"))
    np.testing.assert_array_equal(asked.toarray(), read.toarray())
    again = Student(model)  # can be trained on, either way
    torch.testing.assert_close(again.query_table(), trainer.student.query_table())


def test_the_parts_of_siamese_regularisers_by_hand(config):
    trainer = make_trainer(
        config(model={"queries": "network"}, sparsity={"regularizer": "joint_flops"})
    )
    scored = trainer.student(**trainer.train_dataset[0])
    expected = (scored.queries.mean(0) * scored.documents.mean(0)).sum()
    torch.testing.assert_close(trainer.objective.regularizer(scored), expected)
    plain = make_trainer(config(model={"queries": "network"}, sparsity={"regularizer": "flops"}))
    expected = (scored.documents.mean(0) ** 2).sum()  # no table has part in it
    torch.testing.assert_close(plain.objective.regularizer(scored), expected)


def test_scores_are_not_rounded_in_bfloat16(config):
    trainer = make_trainer(config())
    batch = trainer.train_dataset[0]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scored = trainer.student(**batch)
    expected = scored.queries.float() @ scored.documents.float()[:, batch["columns"]].T
    assert scored.learned.dtype == torch.float32
    scale = trainer.student.log_learned_scale.detach().exp()
    torch.testing.assert_close(scored.learned, scale * expected)


def test_adapters_leave_the_body_as_it_was_until_they_are_merged(config, tmp_path, model_folder):
    pytest.importorskip("peft")
    trainer = make_trainer(config(model={"lora_rank": 2}))
    body = trainer.student.body
    before = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    assert train_model(trainer)
    moved = {n for n, tensor in body.state_dict().items() if not torch.equal(tensor, before[n])}
    assert moved
    assert all("lora_" in name for name in moved)
    adapters = {name for name in before if "lora_" in name}
    assert moved == adapters
    texts = [d for _, d in TEXTS]
    student = trainer.student.eval()
    batch = student.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = student.term_weights(batch["input_ids"], batch["attention_mask"]).numpy()
    got = load_encoder(str(tmp_path / "out")).encode(texts).toarray()
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_the_mean_of_checkpoints_is_the_mean_of_their_tensors(config, tmp_path, model_folder):
    train_model(make_trainer(config()))
    folders = checkpoints(tmp_path / "work")
    assert len(folders) == 2
    student = Student(str(model_folder))
    average_checkpoints(student, folders)
    one, other = (load_file(folder / "model.safetensors") for folder in folders)
    torch.testing.assert_close(student.bias.detach(), (one["bias"] + other["bias"]) / 2)


def test_a_model_without_a_head_of_ours_is_refused(model_folder):
    with pytest.raises(InvalidInputError, match="has no head of ours"):
        Student(str(model_folder.parent / "body"))
