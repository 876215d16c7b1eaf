"""``sparse-ir serve`` as a process: it listens, and a stop loses nothing that was acknowledged."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from sparse_ir.index.reader import Index

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("fastapi", reason="the extra server is not installed")


@contextmanager
def serving(folder, *arguments, **environment):
    """(the process, its address)."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from sparse_ir.cli import main; main()", "serve", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", **environment},
    )
    try:
        line = process.stderr.readline()
        yield process, re.search(r"http://\S+/", line)[0]
    finally:
        process.kill()
        process.communicate()


def test_a_stop_loses_nothing_that_was_acknowledged(fables_index, cli):
    shutil.copytree(fables_index / ".sparse-ir", cli.folder / ".sparse-ir")
    acknowledged, refused = [], threading.Event()

    def write(address, name):
        with httpx.Client(base_url=address, timeout=120) as client:
            for i in range(1000):
                document = {"doc_id": f"{name}{i}", "text": f"a fable of the {name} {i}"}
                try:
                    answer = client.post("/v1/documents", json={"documents": [document]})
                except httpx.TransportError:
                    break
                assert answer.json() == {"committed": 1}
                acknowledged.append(f"{name}{i}")
                if len(acknowledged) > 8:
                    refused.set()

    with serving(cli.folder, "--port", "0") as (process, address):
        assert httpx.get(f"{address}readyz").json() == {"status": "ready"}
        answer = httpx.get(f"{address}v1/search", params={"query": "thirsty bird", "k": 1})
        assert [hit["doc_id"] for hit in answer.json()["hits"]] == ["crow"]
        writers = [threading.Thread(target=write, args=(address, name)) for name in ("cat", "hen")]
        for writer in writers:
            writer.start()
        assert refused.wait(300)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=120)
        for writer in writers:
            writer.join()
    assert (output, "Traceback" in errors) == ("", False)
    with Index.open(cli.folder / ".sparse-ir") as index:
        assert all(doc_id in index for doc_id in acknowledged)
        assert len(acknowledged) > 8


def test_beyond_loopback_only_with_a_key(cli):
    assert "SPARSE_IR_API_KEY is not set" in cli.refuses("serve", "--host", "0.0.0.0")
    assert "want at least 16" in cli.refuses("serve", SPARSE_IR_API_KEY="short")
    assert "make one with" in cli.refuses("serve", "--index", "nowhere", "--port", "0")


def test_answers_are_sent_without_delay():
    from sparse_ir.cli.serve import _listen

    with _listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), listening.accept()[0] as accepted:
            assert accepted.proto == socket.IPPROTO_TCP  # else asyncio leaves Nagle's delay on
