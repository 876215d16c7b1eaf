"""The MCP server as a process, asked by the official client over its pipes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparse_ir.errors import MissingDependencyError

pytest.importorskip("mcp.server.mcpserver", reason="mcp is not installed")
pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from sparse_ir.corpus import Document
from sparse_ir.integrations import mcp as adapter
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest

COMMAND = ["-I", "-c", "from sparse_ir.cli import main; main()", "mcp", "--index"]


def connect(folder):
    server = StdioServerParameters(command=sys.executable, args=[*COMMAND, str(folder)])
    return Client(stdio_client(server))


async def test_tools_over_stdio(fables, opened):
    async with connect(fables) as client:
        listed = (await client.list_tools()).tools
        assert {tool.name for tool in listed} == {"search", "get_document", "explain"}
        assert all(tool.annotations.read_only_hint for tool in listed)
        assert all(tool.description for tool in listed)
        assert "4 documents; metadata fields: at, tags, year." in client.instructions

        asked = {"query": "red fox", "k": 2, "filter": "year >= 2020"}
        found = (await client.call_tool("search", asked)).structured_content["result"]
        hits = opened.search("red fox", 2, filter="year >= 2020")
        assert [(one["doc_id"], one["score"]) for one in found] == [
            (hit.doc_id, hit.score) for hit in hits
        ]
        assert found[0] | {"score": 0} == {
            "doc_id": "a",
            "score": 0,
            "title": "Fox",
            "text": "a red fox runs fast",
            "metadata": {"year": 2020, "tags": ["red"]},
        }

        document = await client.call_tool("get_document", {"doc_id": "c"})
        assert document.structured_content["text"] == "a fox and a dog"

        why = await client.call_tool("explain", {"query": "puppy", "doc_id": "b"})
        (match,) = why.structured_content["result"]
        assert (match["term"], match["is_expansion"]) == ("puppy", True)
        assert match["product"] == opened.search("puppy", 1)[0].score


async def test_refusals_reach_the_model(fables):
    async with connect(fables) as client:
        for tool, arguments, message in [
            ("search", {"query": "fox", "filter": "colour = 1"}, "unknown field 'colour'"),
            ("search", {"query": "fox", "k": 0}, "greater than or equal to 1"),
            ("search", {"query": "fox", "k": 101}, "less than or equal to 100"),
            ("search", {"query": "fox", "mode": "other"}, "anchored"),
            ("search", {"query": "x" * 10_001}, "at most 10000 characters"),
            ("get_document", {"doc_id": "zzz"}, "no document 'zzz'"),
            ("explain", {"query": "fox", "doc_id": "zzz"}, "no document 'zzz'"),
        ]:
            answer = await client.call_tool(tool, arguments)
            assert answer.is_error
            assert message in answer.content[0].text
        again = await client.call_tool("search", {"query": "fox"})
        assert not again.is_error
        assert (await client.call_tool("erase", {})).is_error


async def test_each_call_sees_the_last_commit(fables, dense_encoder):
    async with Client(adapter.make_server(HybridRetriever.open(fables))) as client:
        ingest(fables, [Document("new", "puppy puppy")], model="words", dense="counts")
        for mode, first in ((None, "new"), ("dense", "new"), ("lexical", "new")):
            asked = {"query": "puppy", "k": 1, **({"mode": mode} if mode else {})}
            found = (await client.call_tool("search", asked)).structured_content["result"]
            assert [one["doc_id"] for one in found] == [first]
        assert not (await client.call_tool("get_document", {"doc_id": "new"})).is_error


def test_calls_at_once_close_what_they_replace(fables, document_encoder):
    tools = adapter._Tools(HybridRetriever.open(fables))

    def ask(_):
        return [hit.doc_id for hit in tools.search("red fox", mode="lexical")]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(100)))
    assert found == [ask(0)] * 100
    assert tools._snapshots.n_open == 1


async def test_long_texts_are_cut_at_a_word(tmp_path, document_encoder):
    long = "fox " * 1000
    ingest(tmp_path / "i", [Document("long", long)], model="words")
    server = adapter.make_server(HybridRetriever.open(tmp_path / "i"))
    async with Client(server) as client:
        answer = await client.call_tool("search", {"query": "fox"})
        (found,) = answer.structured_content["result"]
        whole = await client.call_tool("get_document", {"doc_id": "long"})
    assert found["text"].endswith("fox ...")
    assert 1900 < len(found["text"]) <= 2004
    assert whole.structured_content["text"] == long


def test_no_index(tmp_path):
    run = subprocess.run(
        [sys.executable, *COMMAND, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert "no index at" in run.stderr


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    monkeypatch.delitem(sys.modules, "sparse_ir.integrations.mcp")
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[mcp\]"):
        import sparse_ir.integrations.mcp  # noqa: F401
