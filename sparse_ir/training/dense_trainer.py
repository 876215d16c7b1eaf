"""Training of the dense leg, on what the sparse leg takes for answers and are none.

Each query has one of its positives and some of its mined negatives in the batch; all documents of
the batch but those that answer it are negatives of it. Queries and documents share the network, as
they did in the model that training begins with; layers behind the pooling stay as they are.

Source: Xiao et al. 2022, "Progressively Optimized Bi-Granular Document Representation",
arXiv:2201.05409, section 3.3 (heavy vectors learn to tell apart the candidates of the light ones,
which here are the sparse leg); Karpukhin et al. 2020, "Dense Passage Retrieval",
arXiv:2004.04906, section 3.2 (negatives from the batch).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from sparse_ir.encoders.checkpoint import require_new
from sparse_ir.encoders.dense_encoder import DenseEncoder, dense_folder, load_dense_encoder
from sparse_ir.encoders.dense_layout import read_dense_layout
from sparse_ir.encoders.masked_lm import load_body
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.encoders.precision import choose_device, choose_dtype
from sparse_ir.encoders.tensor_files import save_network
from sparse_ir.errors import InvalidInputError
from sparse_ir.evaluation.evaluate import evaluate
from sparse_ir.files import whole_folder
from sparse_ir.training.checkpoints import checkpoints
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.losses import info_nce
from sparse_ir.training.run import StageProgress, n_processes, one_device
from sparse_ir.training.student import collate_texts, prepare_for_training
from sparse_ir.training.validation import DevSet

AS_IT_WAS = "as it was"
_TEMPERATURE = 0.05  # of cosines
_CHECKPOINTS = 4
_DEPTH, _MEASURE = 10, "nDCG@10"
_OTHER_WEIGHTS = ("*.bin", "*.h5", "*.msgpack", "*.onnx", "*.ot", "onnx", "openvino", ".*")


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """What is trained, and how.

    Args:
        model: As ``load_dense_encoder``: an encoder, no decoder-only model.
        output: Folder of the trained model, in sentence-transformers' layout.
        steps: Batches.
        queries: A batch, at most.
        negatives: Mined ones of each query, at most.
        max_length: Tokens read of a text in training.
        rate: Greatest learning rate.
        seed: Of all draws.
    """

    model: str
    output: Path
    steps: int = 300
    queries: int = 16
    negatives: int = 3
    max_length: int = 160
    rate: float = 2e-5
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.queries) < 1 or self.negatives < 0 or not self.rate > 0:
            raise InvalidInputError(
                f"steps is {self.steps}, queries is {self.queries}, negatives is "
                f"{self.negatives}, rate is {self.rate}; want at least 1, 1, 0, and more than 0"
            )

    @property
    def work(self) -> Path:
        """Folder of the checkpoints."""
        return self.output.with_name(self.output.name + ".work")


class DenseStudent(nn.Module):
    """A dense encoder with gradients.

    Args:
        model: As ``DenseSettings``.
        max_length: As ``DenseSettings``.
    """

    def __init__(self, model: str, max_length: int) -> None:
        super().__init__()
        options = EncoderOptions(max_length=max_length, precision="float32")
        documents = load_dense_encoder(model, "document", options)
        queries = load_dense_encoder(model, "query", options)
        if not (isinstance(documents, DenseEncoder) and isinstance(queries, DenseEncoder)):
            raise InvalidInputError(
                f"{model} is a decoder-only model; want an encoder, as sentence-transformers has "
                "them"
            )
        self.body, _ = load_body(str(read_dense_layout(dense_folder(model)).folder))
        prepare_for_training(self.body)
        queries.body = documents.body = self.body  # one network, each role with its own prompt
        self.documents, self.queries = documents, queries

    def forward(
        self,
        query_ids: Tensor,
        query_mask: Tensor,
        document_ids: Tensor,
        document_mask: Tensor,
        **_: Any,
    ) -> Tensor:
        """(Q, D) cosines of padded token ids, (Q, S) of queries and (D, T) of documents."""
        queries = self._vectors(self.queries, query_ids, query_mask)
        return queries @ self._vectors(self.documents, document_ids, document_mask).T

    def _vectors(self, encoder: DenseEncoder, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        return encoder.pooled(states, mask)


class DenseBatches(Dataset[dict[str, Tensor]]):
    """Batches, each decided by seed and number alone, so that a run can be resumed.

    Args:
        examples: What is learned from.
        student: Whose tokens they are.
        run: How large a batch is.
    """

    def __init__(self, examples: TrainingSet, student: DenseStudent, run: DenseSettings) -> None:
        if len(examples.queries) < 2:
            raise InvalidInputError(
                f"{examples.name} has {len(examples.queries)} queries; want 2 or more"
            )
        self._examples = examples
        self._student = student
        self._run = run

    def __len__(self) -> int:
        return self._run.steps * n_processes()

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        draw, examples = np.random.default_rng((self._run.seed, number)), self._examples
        n_queries = min(self._run.queries, len(examples.queries))
        queries = draw.permutation(len(examples.queries))[:n_queries].tolist()
        drawn: dict[int, None] = {}
        for query in queries:
            drawn[int(draw.choice(examples.positives[query]))] = None
            mined = draw.permutation(np.array(examples.negatives[query], np.int64))
            drawn |= dict.fromkeys(mined[: self._run.negatives].tolist())
        documents = np.array([*drawn])
        positives = np.stack([np.isin(documents, examples.positives[query]) for query in queries])
        asked = [examples.queries[query] for query in queries]
        texts = [examples.documents[document].content for document in documents]
        return {
            **_padded("query", self._student.queries, asked),
            **_padded("document", self._student.documents, texts),
            "positives": torch.from_numpy(positives),
        }


class DenseTrainer(Trainer):  # type: ignore[misc]
    """Minimises InfoNCE; ``train_model`` runs it.

    Args:
        run: What is trained, and how.
        examples: What it is trained on.
        dev: What decides which checkpoint is kept, or whether the model stays as it was; None
            keeps the last.

    Raises:
        InvalidInputError: the output exists, or the model is no encoder.
    """

    def __init__(
        self, run: DenseSettings, examples: TrainingSet, dev: DevSet | None = None
    ) -> None:
        require_new(run.output)
        self.run = run
        self.student = DenseStudent(run.model, run.max_length)
        self.measured: dict[str, float] = {}
        """nDCG@10 of each candidate on the dev set, by dense search alone."""
        self._examples, self._dev = examples, dev
        self._start = {name: t.clone() for name, t in self.student.state_dict().items()}
        super().__init__(
            model=self.student,
            args=one_device(_arguments(run)),
            train_dataset=DenseBatches(examples, self.student, run),
            data_collator=lambda items: items[0],  # an item is a batch
        )
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, *_: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any
    ) -> Any:
        """The loss of a batch."""
        scores = model(**inputs).float()
        loss = info_nce(scores, inputs["positives"], temperature=_TEMPERATURE)
        return (loss, scores) if return_outputs else loss

    def prepare(self, on_stage: StageProgress = lambda stage, n: None) -> None:
        """No checkpoint of an earlier run is left."""
        shutil.rmtree(self.run.work, ignore_errors=True)

    @property
    def kept(self) -> str:
        """Name of the candidate that is best on the dev set; the first of equals."""
        return max(self.measured, key=lambda name: self.measured[name])

    def finish(self, on_stage: StageProgress = lambda stage, n: None) -> None:
        """The best candidate is in the output folder."""
        folders = {
            f"step {folder.name.split('-')[1]}": folder for folder in checkpoints(self.run.work)
        }
        states = {name: load_file(folder / "model.safetensors") for name, folder in folders.items()}
        chosen = states[[*states][-1]]
        if self._dev is not None:
            candidates = {AS_IT_WAS: self._start, **states}
            self.measured = {
                name: self._ndcg(self._dev, state) for name, state in candidates.items()
            }
            chosen = candidates[self.kept]
        self.student.load_state_dict(chosen)
        save_dense(self.student, self.run, self._card())

    def _ndcg(self, dev: DevSet, state: Mapping[str, Tensor]) -> float:
        self.student.load_state_dict(state)
        texts = [document.content for document in dev.documents]
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.args.bf16):
            queries = self.student.queries.encode([*dev.queries.values()])
            vectors = self.student.documents.encode(texts)
        run = {}
        for query_id, scores in zip(dev.queries, queries @ vectors.T, strict=True):
            best = np.argsort(-scores, kind="stable")[:_DEPTH]
            run[query_id] = {dev.documents[row].doc_id: float(scores[row]) for row in best}
        return evaluate(run, dev.qrels, [_MEASURE]).means[_MEASURE]

    def _card(self) -> str:
        run, examples = self.run, self._examples
        lines = [
            f"# {run.output.name}",
            "",
            f"`{run.model}`, trained by `sparse-ir train-dense` for {run.steps} steps on "
            f"{len(examples.queries)} queries of {examples.name}, with "
            f"{sum(map(len, examples.negatives))} mined negatives (batches of {run.queries} "
            f"queries, {run.negatives} negatives each, rate {run.rate:g}, seed {run.seed}).",
        ]
        if self._dev is not None:
            lines += ["", f"| {self._dev.name} | nDCG@10, dense alone |", "|---|---|"]
            lines += [
                f"| {name}{' (this model)' * (name == self.kept)} | {value:.4f} |"
                for name, value in self.measured.items()
            ]
        return "\n".join(lines) + "\n"


def save_dense(student: DenseStudent, run: DenseSettings, card: str) -> None:
    """The model is in the run's output folder, in the layout of the one it began with."""
    start = dense_folder(run.model)
    inside = read_dense_layout(start).folder.relative_to(start)
    with whole_folder(run.output) as beside:
        shutil.copytree(start, beside, ignore=shutil.ignore_patterns(*_OTHER_WEIGHTS))
        for old in (beside / inside).glob("model*.safetensors*"):
            old.unlink()
        save_network(student.body, beside / inside)
        (beside / "README.md").write_text(card, encoding="utf-8")


def _padded(name: str, encoder: DenseEncoder, texts: list[str]) -> dict[str, Tensor]:
    ids, mask = collate_texts(encoder.tokenized(texts), encoder.tokenizer.pad_token_id or 0)
    return {f"{name}_ids": ids, f"{name}_mask": mask}


def _arguments(run: DenseSettings) -> TrainingArguments:
    device = choose_device("auto")
    return TrainingArguments(
        output_dir=str(run.work),
        max_steps=run.steps,
        per_device_train_batch_size=1,
        dataloader_num_workers=0,
        learning_rate=run.rate,
        weight_decay=0.01,
        lr_scheduler_type="linear",
        warmup_steps=run.steps // 10,
        bf16=choose_dtype("auto", device) == torch.bfloat16,
        seed=run.seed,
        logging_steps=20,
        save_steps=max(1, run.steps // _CHECKPOINTS),
        save_total_limit=_CHECKPOINTS,
        eval_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
    )
