"""Documents a second and peak memory beside sentence-transformers, with the same weights.

    python -m bench.encode DATA/scifact --work FOLDER [--effectiveness]

Each way of encoding runs in a process of its own, one after the other, on the same documents,
threads and batch size; what is timed is texts to term weights, after a warm-up. ``--effectiveness``
also encodes the whole collection in each precision and measures nDCG@10 of learned terms alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import machine, records

HOME = "sentence-transformers"
WAYS = (HOME, "float32", "bfloat16", "onnx", "onnx-int8")
_WARM_UP = 32


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(_child(arguments)))
        return
    models = _models(arguments.model, arguments.work)
    ways = {way: _run(arguments, way, models[way]) for way in WAYS}
    result = {
        "bench": "encode",
        "machine": machine.describe("torch", "transformers", HOME, "onnxruntime"),
        "model": arguments.model,
        "collection": arguments.folder.name,
        "threads": arguments.threads,
        "batch_size": arguments.batch_size,
        "documents": arguments.documents,
        "rows": [_beside(ways[HOME], way, one) for way, one in ways.items()],
    }
    records.add(result)
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """Speed, memory and effectiveness as a Markdown table."""
    lines = [
        "| way | documents/s | x theirs | tokens/s | of roofline | peak MB | x theirs | nDCG@10 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        share = f"{row['roofline_share']:.0%}" if "roofline_share" in row else ""
        ndcg = f"{row['ndcg10']:.3f}" if "ndcg10" in row else ""
        lines.append(
            f"| {row['way']} | {row['documents_per_s']:.2f} | {row['speed_ratio']:.2f} "
            f"| {row['tokens_per_s']:.0f} | {share} | {row['peak_mb']:.0f} "
            f"| {row['memory_ratio']:.2f} | {ndcg} |"
        )
    return "\n".join(lines)


def _beside(home: dict[str, Any], way: str, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "way": way,
        "speed_ratio": one["documents_per_s"] / home["documents_per_s"],
        "memory_ratio": one["peak_mb"] / home["peak_mb"],
        **one,
    }


def _models(model: str, work: Path) -> dict[str, str]:
    """The same weights in every layout."""
    from sparse_ir.encoders.convert import save_for_sentence_transformers
    from sparse_ir.encoders.onnx_export import export_onnx

    theirs, onnx, int8 = work / "theirs", work / "onnx", work / "onnx-int8"
    if not theirs.exists():
        save_for_sentence_transformers(model, theirs)
    if not onnx.exists():
        export_onnx(model, onnx)
    if not int8.exists():
        export_onnx(model, int8, int8=True)
    return dict(zip(WAYS, map(str, (theirs, model, model, onnx, int8)), strict=True))


def _run(arguments: argparse.Namespace, way: str, model: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.encode", str(arguments.folder), "--child", way]
    for name in ("threads", "batch_size", "documents"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    command += ["--model", model, "--work", str(arguments.work)]
    if arguments.effectiveness:
        command.append("--effectiveness")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{way}: {result}", file=sys.stderr)
    return result


def _child(arguments: argparse.Namespace) -> dict[str, Any]:
    from sparse_ir import read_documents
    from sparse_ir.cli.options import use_threads

    use_threads(arguments.threads)
    documents = list(read_documents(arguments.folder))
    texts = [document.content for document in documents]
    encode, encoder = _encoder(arguments)
    encode(texts[:_WARM_UP])
    sample = texts[_WARM_UP : _WARM_UP + arguments.documents]
    n_tokens = _count_tokens(arguments, sample)
    started = time.perf_counter()
    encode(sample)
    seconds = time.perf_counter() - started
    result: dict[str, Any] = {
        "documents_per_s": len(sample) / seconds,
        "tokens_per_s": n_tokens / seconds,
        "peak_mb": _peak_mb(),
    }
    if arguments.child in ("float32", "bfloat16"):
        flops, peak = _roofline(encoder, n_tokens / len(sample) * arguments.batch_size)
        result["roofline_gflops"] = peak
        result["roofline_share"] = result["tokens_per_s"] * flops / (peak * 1e9)
    if arguments.effectiveness and arguments.child != HOME:
        result["ndcg10"] = _ndcg(
            arguments.folder, arguments.model, [d.doc_id for d in documents], encode(texts)
        )
    return result


def _peak_mb() -> float:
    """Of this process alone: what getrusage gives on Linux begins with the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def _encoder(arguments: argparse.Namespace) -> tuple[Callable[[list[str]], Any], Any]:
    if arguments.child == HOME:
        from sentence_transformers import SparseEncoder

        theirs = SparseEncoder(arguments.model, device="cpu")
        return (
            lambda texts: theirs.encode_document(texts, batch_size=arguments.batch_size),
            theirs,
        )
    from sparse_ir import load_encoder

    precision = arguments.child if arguments.child in ("float32", "bfloat16") else "auto"
    ours = load_encoder(arguments.model, device="cpu", precision=precision)
    return lambda texts: ours.encode(texts, batch_size=arguments.batch_size), ours


def _count_tokens(arguments: argparse.Namespace, texts: list[str]) -> int:
    from sparse_ir.encoders.checkpoint import SHIPPED
    from sparse_ir.encoders.lookup import load_tokenizer

    tokenizer = load_tokenizer(SHIPPED / "mini" / "query" / "tokenizer.json")
    tokenizer.enable_truncation(256)
    return sum(len(one.ids) for one in tokenizer.encode_batch(texts))


def _roofline(encoder: Any, n_tokens: float) -> tuple[float, float]:
    """(operations a token, GFLOP/s of this machine in products of the two shapes that they are)."""
    import torch

    matrices = [m.weight for m in encoder.body.modules() if isinstance(m, torch.nn.Linear)]
    of_head = encoder.head.most_products
    body, head = 2 * sum(m.numel() for m in matrices), 2 * of_head.numel()
    dtype, width = encoder.head.embeddings.dtype, encoder.head.embeddings.shape[1]
    speeds = []
    for rows, n_columns, kind in (
        (width, 4 * width, dtype),
        (of_head.shape[1], 512, of_head.dtype),
    ):
        states = torch.rand(int(n_tokens), rows).to(kind)
        matrix = torch.rand(rows, n_columns).to(kind)
        seconds = []
        for _ in range(20):
            started = time.perf_counter()
            states @ matrix
            seconds.append(time.perf_counter() - started)
        speeds.append(2 * states.numel() * n_columns / min(seconds) / 1e9)
    return body + head, (body + head) / (body / speeds[0] + head / speeds[1])


def _ndcg(folder: Path, model: str, doc_ids: list[str], vectors: Any) -> float:
    """nDCG@10 of the learned terms alone, every document scored."""
    import numpy as np

    from sparse_ir import load_encoder
    from sparse_ir.evaluation.collection import read_collection
    from sparse_ir.evaluation.evaluate import evaluate

    collection = read_collection(str(folder), "test")
    asked = load_encoder(model, "query").encode([query.text for query in collection.queries])
    scores = (asked @ vectors.T).toarray()
    run = {
        query.query_id: {doc_ids[i]: float(row[i]) for i in np.argsort(-row)[:100]}
        for query, row in zip(collection.queries, scores, strict=True)
    }
    return evaluate(run, collection.qrels, ["nDCG@10"]).means["nDCG@10"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where models are written")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--documents", type=int, default=256, help="timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--effectiveness", action="store_true")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
