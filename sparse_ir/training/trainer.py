"""Training: transformers' Trainer with our loss, our sparsity, and validation by real search.

Resuming, mixed precision, data parallelism and logging are theirs.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.encoders.masked_lm import MaskedLMEncoder
from sparse_ir.encoders.precision import choose_device, choose_dtype
from sparse_ir.encoders.pretrained import n_positions
from sparse_ir.encoders.screening import choose_screen
from sparse_ir.encoders.sparse_head import SparseHead
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.batches import Batches, hard_neighbours
from sparse_ir.training.checkpoints import average_checkpoints, last_due, origin_of
from sparse_ir.training.config import DataTable, TeacherTable, TrainConfig
from sparse_ir.training.encoded_set import EncodedSet
from sparse_ir.training.examples import TrainingSet, read_training_set
from sparse_ir.training.mixture import TaughtSet
from sparse_ir.training.model_card import data_reports, model_card
from sparse_ir.training.objective import Objective
from sparse_ir.training.pretraining import pretrain
from sparse_ir.training.pseudo_queries import add_pseudo_queries, beginning
from sparse_ir.training.query_fit import fit_query_table
from sparse_ir.training.run import Progress, StageProgress, n_processes, one_device
from sparse_ir.training.student import Scored, Student
from sparse_ir.training.teachers import (
    BM25Teacher,
    CallableTeacher,
    CrossEncoderTeacher,
    DenseTeacher,
    FileTeacher,
    SparseTeacher,
    Teacher,
    fitted_weights,
)
from sparse_ir.training.validation import (
    Autocast,
    DevSet,
    read_dev_set,
    search_dev_set,
    summary,
)

_log = logging.getLogger(__name__)
FITTED = "Its query table was fitted to whole collections."
_CALIBRATION = 4  # batches by which the scales of the scores start
_PATIENCE = timedelta(days=1)
_AVERAGES = "moving_averages.safetensors"  # in a checkpoint: the objective's state


def make_trainer(
    config: TrainConfig, *, earlier: Sequence[Path] = (), on_progress: Progress | None = None
) -> StudentTrainer:
    """A trainer whose data are read and labelled by the teachers.

    Args:
        config: The experiment, or one run of it.
        earlier: Work folders of the runs before, whose last checkpoints are in the mean too.
        on_progress: Told how many more texts the dense and sparse teachers have read.

    Raises:
        DataFormatError: a line of the data is malformed.
        InvalidInputError: data or models do not fit together.
    """
    seed = config.optimizer.seed
    examples = [
        read_training_set(
            t.path, split=t.split, scores=t.scores, max_documents=t.max_documents, seed=seed
        )
        for t in config.data
    ]
    dev_sets = [
        read_dev_set(
            v.path,
            split=v.split,
            max_queries=v.max_queries,
            max_documents=v.max_documents,
            name=name,
        )
        for v, name in zip(config.validation, config.validation_names, strict=True)
    ]
    return trainer_of(config, examples, dev_sets, earlier=earlier, on_progress=on_progress)


def trainer_of(
    config: TrainConfig,
    examples: Sequence[TrainingSet],
    dev_sets: Sequence[DevSet],
    *,
    earlier: Sequence[Path] = (),
    validates: bool = True,
    on_progress: Progress | None = None,
) -> StudentTrainer:
    """As ``make_trainer``, with examples that are read already, one for each ``config.data``.

    ``validates`` is as in ``StudentTrainer``.
    """
    torch.manual_seed(config.optimizer.seed)
    student = Student(
        config.model.start,
        network_queries=config.model.queries == "network",
        chunk=config.model.chunk,
    )
    if config.model.lora_rank is not None:
        student.add_adapters(config.model.lora_rank)
    _require_positions(student, config)
    on_cpu = not torch.cuda.is_available()
    # The others wait until the first has read everything, and find what it has kept.
    with PartialState(cpu=on_cpu, timeout=_PATIENCE).main_process_first():
        teachers = [_teacher(table, config, on_progress) for table in config.teachers]
        sets = [
            taught_set(one, table, config, teachers, student.tokenizer)
            for one, table in zip(examples, config.data, strict=True)
        ]
    batches = Batches(
        sets,
        student.tokenizer,
        config.batch,
        config.distillation,
        n_batches=config.optimizer.steps * n_processes(),
        network_queries=student.network_queries,
        seed=config.optimizer.seed if config.batch.seed is None else config.batch.seed,
    )
    return StudentTrainer(student, batches, config, dev_sets, earlier, validates=validates)


def taught_set(
    examples: TrainingSet,
    table: DataTable,
    config: TrainConfig,
    teachers: Sequence[Teacher],
    tokenizer: Any,
) -> TaughtSet:
    """The examples with pseudo-queries, read by all teachers, with weights and neighbours."""
    seed = config.optimizer.seed
    if table.pseudo_queries:
        add_pseudo_queries(
            examples,
            table.pseudo_queries,
            per_document=table.pseudo_per_document,
            seed=seed,
            language=config.language,
            read=partial(beginning, tokenizer=tokenizer, max_length=config.batch.max_length),
        )
    scorers = [teacher.read(examples) for teacher in teachers]
    lexical = BM25Teacher(config.analyzer()).read(examples)
    weights = table.weights or tuple(t.weight for t in config.teachers)
    may_fit = table.weights is None and config.distillation.fit_weights
    if may_fit and examples.n_labelled and all(scorer.is_cheap for scorer in scorers):
        weights = fitted_weights(scorers, examples, seed=seed)
    _log.info("%s: teacher weights %s", examples.name, np.round(weights, 2))
    return TaughtSet(
        examples,
        scorers,
        weights,
        lexical,
        table.share,
        hard_neighbours(examples, [one for one in scorers if one.is_cheap] or [lexical]),
    )


class StudentTrainer(Trainer):  # type: ignore[misc]
    """Minimises ranking loss plus sparsity.

    Args:
        student: What is trained.
        batches: What it is trained on.
        config: The experiment.
        dev_sets: What checkpoints are chosen by.
        earlier: Work folders of the runs before.
        validates: Whether it validates during training, if there are dev sets.
    """

    control: Any

    def __init__(
        self,
        student: Student,
        batches: Batches,
        config: TrainConfig,
        dev_sets: Sequence[DevSet],
        earlier: Sequence[Path] = (),
        *,
        validates: bool = True,
    ) -> None:
        self.config = config
        self._works = [*earlier, config.work]
        self.student = student
        self.dev_sets = dev_sets
        self.objective = Objective(student, config, n_queries=batches.n_queries)
        self._logged: dict[str, list[float]] = {}
        self.measured: dict[str, float] = {}
        super().__init__(
            model=student,
            args=one_device(_arguments(config, validates=validates and bool(dev_sets))),
            train_dataset=batches,
            eval_dataset=batches if dev_sets else None,
            data_collator=_the_only,
            optimizers=(_optimizer(student, config), None),
        )
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, *_: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # a batch is decided by its number

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        """The loss of a batch; what it is made of is logged."""
        scored: Scored = model(**inputs)
        loss, numbers = self.objective(scored, inputs, step=self.state.global_step)
        for name, value in numbers.items():
            self._logged.setdefault(name, []).append(value)
        return (loss, scored) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **options: Any) -> None:
        """As the Trainer's, with the means since the last time."""
        if "loss" in logs:
            logs |= {name: round(float(np.nanmean(v)), 5) for name, v in self._logged.items()}
            self._logged = {}
        super().log(logs, *args, **options)

    # checkpoints

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if not self.args.should_save:  # asked of every process, done by one
            return
        save_file(self.objective.state(), Path(output_dir or self.args.output_dir) / _AVERAGES)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.objective.load_state(load_file(Path(resume_from_checkpoint) / _AVERAGES))

    def prepare(self, on_stage: StageProgress = lambda stage, n: None) -> None:
        """The student is pre-trained, if that is asked for, and its scores have their scales."""
        table = self.config.pretraining
        if table.steps:
            texts = [
                d.content for taught in self.train_dataset.sets for d in taught.examples.documents
            ]
            with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.args.bf16):
                pretrain(
                    self.student,
                    texts,
                    table,
                    seed=self.config.optimizer.seed,
                    on_step=lambda loss: on_stage("steps of pre-training", 1),
                )
        n = min(_CALIBRATION, len(self.train_dataset))
        batches = [self._prepare_inputs(self.train_dataset[number]) for number in range(n)]
        self.student.calibrate(batches)

    def finish(self, on_stage: StageProgress = lambda stage, n: None) -> None:
        """The mean of the last checkpoints of all runs is in the model's folder, with a card.

        Or this run's best single one, if dev sets say so; and its query table fitted, if that is
        asked for and dev sets do not say otherwise. ``measured`` is what they say of the chosen.
        """
        last = [folder for work in self._works for folder in last_due(work, self.config.optimizer)]
        candidates = {origin_of(last, len(self._works)): last}
        if best := self.state.best_model_checkpoint:
            candidates[origin_of([Path(best)], 1)] = [Path(best)]
        measured = {origin: self._measured_mean(one) for origin, one in candidates.items()}
        chosen = max(measured, key=lambda origin: measured[origin].get("selection", 0))
        average_checkpoints(self.student, candidates[chosen])
        self.measured = measured[chosen]
        if self.config.query_fit.steps and self.fit_queries(on_stage):
            chosen = f"{chosen} {FITTED}"
        self.save_student(self.measured, chosen)

    def fit_queries(self, on_stage: StageProgress = lambda stage, n: None) -> bool:
        """Whether the student's query table is fitted now: not if dev sets find it no better.

        ``measured``, what they say of the student as it is, is then what they say of it.
        """
        before = self.student.lookup_encoder()
        fitted = fit_query_table(
            before,
            [*self._encoded_sets(before, on_stage)],
            self.config,
            collection_idf=self.student.settings.collection_idf,
            on_step=lambda n: on_stage("steps of fitting queries", n),
        )
        self.student.set_query_table(fitted.weights)
        measured = self.validate() if self.dev_sets else {}
        if self.dev_sets and measured["selection"] <= self.measured["selection"]:
            self.student.set_query_table(before.weights)
            return False
        self.measured = measured
        return True

    def _encoded_sets(
        self, queries: LookupEncoder, on_stage: StageProgress
    ) -> Iterator[EncodedSet]:
        settings, (documents, _) = self.student.settings, self._encoders()
        for taught in self.train_dataset.sets:
            texts = [document.content for document in taught.examples.documents]
            yield EncodedSet.of(
                taught,
                documents.encode(texts, on_progress=lambda n: on_stage("documents encoded", n)),
                queries,
                anchor_weight=self.measured.get("anchor_weight", settings.anchor_weight),
                collection_idf=settings.collection_idf,
                analyzer=self.config.analyzer(),
            )

    def _encoders(self) -> tuple[Any, Any]:
        return student_encoders(self.student, self.config)

    def _measured_mean(self, folders: Sequence[Path]) -> dict[str, float]:
        average_checkpoints(self.student, folders)
        return self.validate() if self.dev_sets else {}

    def save_student(self, measured: dict[str, float], origin: str) -> None:
        """The student as it is now is in the model's folder, with a card.

        Args:
            measured: What dev sets say of it.
            origin: What it is, for the card: which checkpoints, of what.
        """
        table = self.config.model
        name = table.name or table.output.name
        g = measured.get("anchor_weight", self.student.settings.anchor_weight)
        self.student.save(
            table.output,
            name=name,
            max_length=_max_length(self.student, self.config),
            prune_ratio=_prune_ratio(self.student, self.config),
            anchor_weight=g,
        )
        reports = data_reports(self.train_dataset.sets, self.config)
        card = model_card(self.config, reports, measured, name=name, anchor_weight=g, origin=origin)
        (table.output / "README.md").write_text(card, encoding="utf-8")

    # validation

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Both modes' nDCG@10 on every dev set by real search, terms, FLOPS, and what decides."""
        metrics = {f"eval_{name}": value for name, value in self.validate().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def validate(self) -> dict[str, float]:
        """As ``evaluate``, without a trace."""
        encoder, queries = self._encoders()
        table = self.config.selection
        values = summary(
            {
                dev.name: search_dev_set(
                    dev,
                    encoder,
                    queries,
                    anchor_weights=table.anchor_weights,
                    collection_idf=self.student.settings.collection_idf,
                    analyzer=self.config.analyzer(),
                )
                for dev in self.dev_sets
            }
        )
        self.student.train()
        value = table.anchored_share * values["anchored"]
        value += (1 - table.anchored_share) * values["learned"]
        fits = values["terms"] <= table.max_terms and values["flops"] <= table.max_flops
        return {**values, "selection": value if fits else value - 1}


def student_encoders(student: Student, config: TrainConfig) -> tuple[Any, Any]:
    """(document encoder, query encoder) of a student as it is now, computing as in training."""
    bfloat16 = computes_in_bfloat16(config)
    embeddings = student.body.get_input_embeddings().weight.detach()
    documents = MaskedLMEncoder(
        student.body,
        student.transform,
        SparseHead(
            embeddings,
            student.bias.detach(),
            activation=student.settings.activation,
            silent=student.tokenizer.all_special_ids,
            screen=None if bfloat16 else choose_screen(embeddings, torch.float32),
        ),
        student.tokenizer,
        max_length=_max_length(student, config),
        prune_ratio=_prune_ratio(student, config),
    )
    encoder = Autocast(documents, student.bias.device.type) if bfloat16 else documents
    return encoder, encoder if student.network_queries else student.lookup_encoder()


def computes_in_bfloat16(config: TrainConfig) -> bool:
    """Whether products are in bfloat16: as asked, or else where that is faster."""
    asked = config.optimizer.bfloat16
    return choose_dtype("auto", choose_device("auto")) == torch.bfloat16 if asked is None else asked


def _max_length(student: Student, config: TrainConfig) -> int:
    return config.model.max_length or student.settings.max_length


def _prune_ratio(student: Student, config: TrainConfig) -> float:
    asked, start = config.model.prune_ratio, student.settings.prune_ratio
    return start if asked is None else asked


def _teacher(table: TeacherTable, config: TrainConfig, on_progress: Progress | None) -> Teacher:
    if table.kind in ("dense", "sparse"):
        kind = DenseTeacher if table.kind == "dense" else SparseTeacher
        return kind(
            table.model,
            max_length=table.max_length,
            cache=config.vectors_folder,
            on_progress=on_progress,
        )
    if table.kind == "bm25":
        return BM25Teacher(config.analyzer())
    if table.kind == "cross_encoder":
        return CrossEncoderTeacher(table.model, max_length=table.max_length)
    if table.kind == "callable":
        return CallableTeacher.named(table.model)
    return FileTeacher()


def _require_positions(student: Student, config: TrainConfig) -> None:
    most = n_positions(student.body)
    tables = ("model", "batch", "pretraining") if config.pretraining.steps else ("model", "batch")
    for name in tables:
        asked = getattr(config, name).max_length or 0
        if asked > most:
            raise InvalidInputError(
                f"{name}.max_length is {asked}; {config.model.start} reads at most {most} tokens"
            )


def _arguments(config: TrainConfig, *, validates: bool) -> TrainingArguments:
    table = config.optimizer
    return TrainingArguments(
        output_dir=str(config.work),
        max_steps=table.steps,
        per_device_train_batch_size=1,  # an item of the data set is a whole batch
        dataloader_num_workers=0,
        lr_scheduler_type="linear",
        warmup_steps=int(table.warmup * table.steps),
        max_grad_norm=table.clip,
        bf16=computes_in_bfloat16(config),
        seed=table.seed,
        logging_steps=table.log_every,
        logging_nan_inf_filter=False,
        save_steps=table.save_every,
        # Beside the best one, which is kept however old, and one that Ctrl-C left.
        save_total_limit=table.keep_checkpoints + 2,
        eval_strategy="steps" if validates else "no",
        eval_steps=config.selection.every if validates else None,
        metric_for_best_model="selection" if validates else None,
        greater_is_better=True if validates else None,
        report_to=["tensorboard"] if importlib.util.find_spec("tensorboard") else [],
        remove_unused_columns=False,
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        ddp_find_unused_parameters=True,
    )


def _optimizer(student: Student, config: TrainConfig) -> torch.optim.Optimizer:
    table = config.optimizer
    head = [student.dense.weight, student.dense.bias, student.norm, student.bias]
    decayed = [p for p in student.body.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in student.body.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "lr": table.body_rate, "weight_decay": table.weight_decay},
        {"params": plain, "lr": table.body_rate},
        {"params": head, "lr": table.head_rate},
        {"params": [student.query_logits], "lr": table.query_rate},
        {
            "params": [student.log_learned_scale, student.log_scale, student.log_anchor],
            "lr": table.scalar_rate,
        },
    ]
    return torch.optim.AdamW(groups, weight_decay=0.0, fused=True)


def _the_only(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return items[0]
