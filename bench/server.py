"""The server beside the library, and under load: the same searches, by 8 clients and by 8 threads.

    python -m bench.server throughput|mixed [--docs 20000] [--minutes 10]

An index of synthetic documents with text. ``throughput``: queries a second through HTTP on loopback
and in this process, in turns. ``mixed``: readers and writers for some minutes; every answer is
checked, and the server's memory is read from /proc: all that is resident, and of that what is not
mapped from files, which only the server itself can give back.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, records, synthetic
from sparse_ir import Document, SparseRetriever, ingest, load_encoder

CLIENTS, K = 8, 10
TURNS, TURN_SECONDS = 5, 4.0
READERS, WRITERS = 6, 2
_WORDS = 60  # of a document
_MEMORY = ("VmRSS", "RssAnon")
_SETTLED = 0.25  # of the time, after which memory is said to have grown or not


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("throughput", "mixed"))
    parser.add_argument("--docs", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=10, help="of mixed load")
    parser.add_argument("--index", type=Path, help="where the index is kept; made if missing")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp())
    try:
        folder = arguments.index or work / "index"
        queries = build(folder, arguments.docs)
        with serving(folder) as (port, pid):
            if arguments.what == "throughput":
                measured = throughput(folder, queries, port)
            else:
                measured = mixed(queries, port, pid, 60 * arguments.minutes)
    finally:
        shutil.rmtree(work)
    row = {"bench": "server", "what": arguments.what, "docs": arguments.docs, "k": K, **measured}
    print(json.dumps(row, indent=2))
    records.add({**row, "machine": machine.describe("fastapi", "uvicorn")})


def build(folder: Path, n: int) -> list[str]:
    """An index of n documents is in the folder; texts of 1,000 queries for it."""
    matrix, _ = synthetic.documents(n)
    names = np.array(load_encoder("mini", role="query").vocabulary.terms)
    is_word = np.array([name.isalpha() and len(name) > 2 for name in names])
    rows = np.random.default_rng(1).permutation(n)[:1000]
    if not (folder / "catalog.sqlite").exists():
        documents = (
            Document(f"d{i}", _text(matrix[[i]], names, is_word), metadata={"year": 1990 + i % 30})
            for i in range(n)
        )
        ingest(folder, documents, encoder=_Drawn(matrix, names))
    texts = [_text(matrix[[i]], names, is_word).split() for i in rows]
    return [" ".join(random.Random(i).sample(words, 5)) for i, words in enumerate(texts)]


def throughput(folder: Path, queries: list[str], port: int) -> dict[str, Any]:
    """Queries a second, by turns: other load on the machine hits both alike."""
    in_process, over_http = [], []
    with SparseRetriever.open(folder) as retriever:

        def search() -> Callable[[str], object]:
            return lambda query: retriever.search(query, K)

        def ask() -> Callable[[str], object]:
            client = Client(port)
            return lambda query: client.post("/v1/search", {"query": query, "k": K})

        for _ in range(TURNS):
            in_process.append(_rate(search, queries))
            over_http.append(_rate(ask, queries))
    ratios = [http / own for http, own in zip(over_http, in_process, strict=True)]
    return {
        "clients": CLIENTS,
        "in_process_per_second": in_process,
        "http_per_second": over_http,
        "ratio": float(np.median(ratios)),
    }


def mixed(queries: list[str], port: int, pid: int, seconds: float) -> dict[str, Any]:
    """Counts of what was asked, errors, and the memory of the server's process by time."""
    until, counts, errors = time.monotonic() + seconds, {"searches": 0, "writes": 0}, []
    lock = threading.Lock()

    def count(what: str, problem: str = "") -> None:
        with lock:
            counts[what] += 1
            if problem:
                errors.append(problem)

    def read(seed: int) -> None:
        client, draw = Client(port), random.Random(seed)
        while time.monotonic() < until:
            status, answer = client.post("/v1/search", {"query": draw.choice(queries), "k": K})
            bad = status != 200 or not answer["hits"]
            count("searches", f"search: {status} {answer}" if bad else "")

    def write(seed: int) -> None:
        client, draw = Client(port), random.Random(seed)
        for i in range(10**9):
            if time.monotonic() >= until:
                return
            doc_id, text = f"new{seed}-{i % 50}", f"{draw.choice(queries)} w{seed}x{i}"
            asked = {"documents": [{"doc_id": doc_id, "text": text}]}
            status, answer = client.post("/v1/documents", asked)
            count("writes", f"add: {status} {answer}" if status != 200 else "")
            status, answer = client.post("/v1/search", {"query": f"w{seed}x{i}", "mode": "lexical"})
            found = status == 200 and [hit["doc_id"] for hit in answer["hits"]] == [doc_id]
            count("searches", "" if found else f"not found once committed: {status} {answer}")
            if i % 5 == 0:
                status, answer = client.request("DELETE", f"/v1/documents/{doc_id}")
                count("writes", f"delete: {status} {answer}" if status != 200 else "")

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(READERS)]
    threads += [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    memory = np.array(list(_memory(pid, until)))
    for thread in threads:
        thread.join()
    settled = memory[int(len(memory) * _SETTLED) :]
    shown = memory[:: max(1, len(memory) // 20)]
    growth = np.polyfit(settled[:, 0] / 60, settled[:, 1:], 1)[0].round(3).tolist()
    return {
        **counts,
        "seconds": seconds,
        "errors": len(errors),
        "first_errors": errors[:3],
        "resident_mb": shown[:, 1].round(1).tolist(),
        "anonymous_mb": shown[:, 2].round(1).tolist(),
        "mb_per_minute_once_settled": dict(zip(("resident", "anonymous"), growth, strict=True)),
    }


class Client:
    """Keeps one connection; does as little as a client can, for it shares the cores."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return self.request("POST", path, json.dumps(body).encode())

    def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        self._socket.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        came = b""
        while b"\r\n\r\n" not in came:
            came += self._received()
        head_came, _, content = came.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head_came)[1])
        while len(content) < length:
            content += self._received()
        is_json = b"application/json" in head_came
        return int(head_came[9:12]), json.loads(content) if is_json else content.decode()

    def _received(self) -> bytes:
        if part := self._socket.recv(65536):
            return part
        raise ConnectionError("the server closed the connection")


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of a server in a process of its own."""
    command = [sys.executable, "-c", "from sparse_ir.cli import main; main()", "serve"]
    process = subprocess.Popen(
        [*command, "--index", str(folder), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "500"},
    )
    try:
        yield int(re.search(r":(\d+)/", process.stderr.readline())[1]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def _rate(make: Callable[[], Callable[[str], object]], queries: list[str]) -> float:
    """Queries a second by so many threads at once."""
    done, until = [0] * CLIENTS, time.monotonic() + TURN_SECONDS

    def work(number: int) -> None:
        search, draw = make(), random.Random(number)
        while time.monotonic() < until:
            search(draw.choice(queries))
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.monotonic() - started)


def _memory(pid: int, until: float) -> Iterator[tuple[float, float, float]]:
    """(seconds, MB resident, MB of these in no file) of a process, every two seconds."""
    started = time.monotonic()
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/status").read_text()
        kib = [int(re.search(rf"^{name}:\s+(\d+)", status, re.M)[1]) for name in _MEMORY]
        yield time.monotonic() - started, kib[0] / 1024, kib[1] / 1024
        time.sleep(2)


class _Drawn:
    """An encoder whose texts all have been encoded already, in their order."""

    def __init__(self, matrix: Any, names: Any) -> None:
        from sparse_ir import Vocabulary

        self.vocabulary = Vocabulary.of(names.tolist())
        self._matrix, self._at = matrix, 0

    def encode(self, texts: list[str], *, on_progress: Any = None, **_: Any) -> Any:
        rows = self._matrix[self._at : self._at + len(texts)]
        self._at += len(texts)
        return rows


def _text(row: Any, names: Any, is_word: Any) -> str:
    """The row's greatest terms that are words, each as often as its weight says."""
    order = row.indices[np.argsort(-row.data)]
    words = [names[term] for term in order if is_word[term]]
    return " ".join((words + words[: _WORDS // 3])[:_WORDS])


if __name__ == "__main__":
    main()
