"""The HTTP interface against the library's own answers."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import asdict

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.retriever import SparseRetriever
from sparse_ir.server import live_index
from sparse_ir.server.app import create_app
from sparse_ir.server.protection import is_loopback, require_safe

KEY = "a-key-of-sixteen-characters"


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [hit["doc_id"] for hit in answer.json()["hits"]]


@pytest.mark.parametrize("mode", ["anchored", "learned", "lexical"])
def test_a_search_is_the_librarys(client, index_folder, mode):
    with SparseRetriever.open(index_folder) as retriever:
        expected = [asdict(hit) for hit in retriever.search("quick fox", k=2, mode=mode)]
    asked = {"query": "quick fox", "k": 2, "mode": mode}
    for answer in (
        client.post("/v1/search", json=asked),
        client.get("/v1/search", params=asked),
    ):
        assert answer.json()["hits"] == expected
        assert answer.json()["seconds"] > 0


@pytest.mark.parametrize(
    ("query", "has_passages", "is_quick"),
    [("fox", False, True), ("fox " * 50, False, False), ("fox", True, False)],
)
def test_only_quick_searches_are_made_on_the_event_loop(
    client, monkeypatch, query, has_passages, is_quick
):
    threads, search = [], HybridRetriever.search

    def noting(*args, **kwargs):
        threads.append(threading.current_thread().name)
        return search(*args, **kwargs)

    monkeypatch.setattr(HybridRetriever, "search", noting)
    monkeypatch.setattr(Index, "has_passages", has_passages)
    assert ids(client.get("/v1/search", params={"query": query, "mode": "lexical"}))
    assert ["sparse-ir-search" not in name for name in threads] == [is_quick]


def test_filters_as_text_and_as_object(client):
    assert ids(client.get("/v1/search?query=fox dog&filter=year >= 2")) == ["b"]
    assert ids(client.post("/v1/search", json={"query": "fox dog", "filter": {"year": [1]}})) == [
        "a"
    ]


def test_described_hits(client, index_folder):
    asked = {"query": "quick fox", "snippet": 20, "explain": True}
    answer = client.post("/v1/search", json=asked).json()
    with SparseRetriever.open(index_folder) as retriever:
        for hit in answer["hits"]:
            why = [asdict(match) for match in retriever.explain("quick fox", hit["doc_id"])]
            assert hit["explanation"] == why
            assert sum(match["product"] for match in why) == pytest.approx(hit["score"])
            assert 0 < len(hit["snippet"]["text"]) <= 20
            for mark in hit["snippet"]["highlights"]:
                said = hit["snippet"]["text"][mark["start"] : mark["end"]].lower()
                assert said in ("fox", "foxes", "quick")
        assert answer["query_terms"] == [asdict(t) for t in retriever.query_terms("quick fox")]
        assert all(hit["legs"] == {} for hit in answer["hits"])
    bare = client.post("/v1/search", json={"query": "fox", "with_text": False}).json()["hits"]
    assert {hit["text"] for hit in bare} == {""}


def test_explain(client):
    asked = {"query": "puppy fox", "doc_id": "b", "trace": True}
    answer = client.post("/v1/explain", json=asked).json()
    (match,) = answer["matches"]
    assert (match["term"], match["is_expansion"]) == ("puppy", True)
    assert answer["score"] == match["product"]
    assert {one["term"] for one in answer["query_terms"]} == {"puppy", "fox"}
    terms = [(one["term"], one["block"], one["is_expansion"]) for one in answer["document_terms"]]
    assert ("puppy", "learned", True) in terms
    assert ("dog", "lexical", False) in terms
    assert client.post("/v1/explain", json={**asked, "doc_id": "z"}).status_code == 404


def test_an_index_with_a_dense_part(hybrid_live):
    with (
        TestClient(create_app(hybrid_live), base_url="http://localhost") as client,
        HybridRetriever.open(hybrid_live.path) as retriever,
    ):
        assert client.get("/v1/info").json()["modes"][:2] == ["hybrid", "dense"]
        for mode in ("hybrid", "dense", "lexical"):
            expected = [asdict(hit) for hit in retriever.search("quick fox", mode=mode)]
            answer = client.get("/v1/search", params={"query": "quick fox", "mode": mode})
            assert answer.json()["hits"] == expected
        asked = {"query": "quick fox", "explain": True, "snippet": 30}
        first = client.post("/v1/search", json=asked).json()["hits"][0]
        assert set(first["legs"]) == {"anchored", "dense"}
        assert "quick" in first["snippet"]["text"]
        why = [asdict(match) for match in retriever.explain("quick fox", first["doc_id"])]
        assert first["explanation"] == why
        dense = client.post("/v1/search", json={**asked, "mode": "dense"}).json()
        assert dense["query_terms"] == dense["hits"][0]["explanation"] == []
        new = {"documents": [{"doc_id": "d", "text": "puppy sleeps"}]}
        assert client.post("/v1/documents", json=new).json() == {"committed": 1}
        assert ids(client.get("/v1/search?query=puppy sleeps&mode=dense&k=1")) == ["d"]


def test_encode(client):
    (terms,) = client.post("/v1/encode", json={"texts": ["dog"]}).json()["texts"]
    assert [(t["term"], t["weight"], t["is_expansion"]) for t in terms] == [
        ("dog", 1.0, False),
        ("puppy", 0.5, True),
    ]
    (terms,) = client.post("/v1/encode", json={"texts": ["dog"], "role": "query"}).json()["texts"]
    assert [(t["term"], t["block"]) for t in terms] == [("dog", "learned")]


def test_documents_come_change_and_go(client):
    new = {"doc_id": "d/e f", "text": "puppy runs", "metadata": {"year": 9, "tags": ["x"]}}
    assert client.post("/v1/documents", json={"documents": [new]}).json() == {"committed": 1}
    assert client.get("/v1/documents/d/e%20f").json() == {**new, "title": ""}
    assert ids(client.get("/v1/search?query=puppy&filter=year = 9")) == ["d/e f"]
    changed = {**new, "text": "animal"}
    client.post("/v1/documents", json={"documents": [changed]})
    assert ids(client.get("/v1/search?query=runs&filter=year = 9")) == []
    assert client.delete("/v1/documents/d/e%20f").json() == {"deleted": 1}
    assert client.delete("/v1/documents/d/e%20f").status_code == 404
    assert client.get("/v1/documents/d/e%20f").status_code == 404
    assert ids(client.get("/v1/search?query=animal&mode=lexical")) == []
    assert client.get("/v1/documents/notes/c.md").json()["text"] == "a quick fox runs fast"


def nested(n):
    """An object that holds n more, each inside the one before."""
    return {"a": nested(n - 1)} if n else {}


def test_metadata_that_no_answer_could_hold_is_refused(client):
    new = {"documents": [{"doc_id": "x", "text": "fox", "metadata": nested(100)}]}
    answer = client.post("/v1/documents", json=new)
    assert (answer.status_code, "metadata of 'x' is not JSON" in answer.text) == (400, True)
    new["documents"][0]["metadata"] = nested(99)
    assert client.post("/v1/documents", json=new).json() == {"committed": 1}
    assert "x" in ids(client.get("/v1/search?query=fox"))
    assert client.get("/v1/documents/x").json()["metadata"] == nested(99)


def test_limits(client):
    assert client.get("/v1/search?query=fox&k=1001").status_code == 422
    assert client.get("/v1/search?query=fox&k=0").status_code == 422
    assert client.get("/v1/search", params={"query": "x" * 8193}).status_code == 422
    large = {"documents": [{"doc_id": "x", "text": "x" * 100_000}]}
    answer = client.post("/v1/documents", json=large)
    assert (answer.status_code, "100000 bytes" in answer.json()["detail"]) == (413, True)

    def chunks():
        for _ in range(200):
            yield b" " * 1000

    chunked = client.post(
        "/v1/search", content=chunks(), headers={"content-type": "application/json"}
    )
    assert chunked.status_code == 413


def test_what_is_wrong_is_said(client):
    assert "unknown field 'z'" in client.get("/v1/search?query=fox&filter=z=1").json()["detail"]
    assert client.get("/v1/search?query=fox&filter=z=1").status_code == 400
    assert client.get("/v1/search?query=fox&mode=other").status_code == 422
    assert client.get("/v1/search?query=fox&unknown=1").status_code == 422
    empty = client.post("/v1/documents", json={"documents": [{"doc_id": "x"}]})
    assert (empty.status_code, empty.json()["detail"]) == (
        400,
        "document 'x' has no title or text; want one",
    )
    headers = {"content-type": "application/json"}
    for half in (
        b'{"query": "\\ud800"}',
        b'{"query": "fox", "filter": {"\\ud800": 1}}',
        b'{"\\ud800": 1}',
    ):
        assert client.post("/v1/search", content=half, headers=headers).status_code in (400, 422)
    for half in (b'{"doc_id": "x", "text": "t", "metadata": {"\\udc00": NaN}}',):
        body = b'{"documents": [' + half + b"]}"
        assert client.post("/v1/documents", content=body, headers=headers).status_code in (400, 422)
    for address, half in (
        ("/v1/documents", b'{"documents": [{"doc_id": "x", "text": "\\ud800"}]}'),
        ("/v1/documents", b'{"documents": [{"doc_id": "x", "text": "t", "title": "\\ud800"}]}'),
        ("/v1/encode", b'{"texts": ["\\ud800"]}'),
        ("/v1/encode", b'{"texts": ["\\ud800"], "role": "query"}'),
    ):
        assert client.post(address, content=half, headers=headers).status_code == 422
    assert client.get("/v1/search?query=fox").status_code == 200


def test_another_writer(client, index_folder):
    with IndexWriter.open(index_folder):
        answer = client.delete("/v1/documents/a")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "another writer" in answer.json()["detail"]
    assert client.delete("/v1/documents/a").status_code == 200


def test_an_index_that_was_moved_away_is_not_made_anew(client, index_folder, tmp_path):
    index_folder.rename(tmp_path / "elsewhere")
    new = {"documents": [{"doc_id": "x", "text": "dog"}]}
    for answer in (client.post("/v1/documents", json=new), client.delete("/v1/documents/a")):
        assert (answer.status_code, "no index at" in answer.json()["detail"]) == (400, True)
    assert not index_folder.exists()
    assert ids(client.get("/v1/search?query=dog&mode=lexical")) == ["b"]
    (tmp_path / "elsewhere").rename(index_folder)
    assert client.post("/v1/documents", json=new).json() == {"committed": 1}


def test_no_network(live, client, monkeypatch):
    def load(name):
        raise MissingDependencyError("torch", extra="models", purpose="encoding documents")

    monkeypatch.setattr(live_index, "load_encoder", load)
    new = {"documents": [{"doc_id": "x", "text": "dog"}]}
    for answer in (
        client.post("/v1/documents", json=new),
        client.post("/v1/encode", json={"texts": ["dog"]}),
        client.post("/v1/explain", json={"query": "dog", "doc_id": "b", "trace": True}),
    ):
        assert (answer.status_code, "[models]" in answer.json()["detail"]) == (501, True)


def test_the_key(live):
    app = create_app(live, key=KEY, hosts=None)
    with TestClient(app, base_url="http://search.example.org") as client:
        for path in ("/v1/info", "/v1/search?query=fox", "/v1/documents/a", "/metrics"):
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}):
                assert client.get(path, headers=headers).status_code == 401, path
            right = client.get(path, headers={"authorization": f"Bearer {KEY}"})
            assert right.status_code == 200
        for path in ("/", "/healthz", "/readyz", "/openapi.json"):
            assert client.get(path).status_code == 200


async def status_before_the_body(app, path, headers):
    """Of a POST whose body never comes."""
    told = []

    async def receive():
        raise AssertionError("the body was asked for")

    async def send(message):
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
    headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    await app({**scope, "headers": headers}, receive, send)
    return told[0]["status"]


@pytest.mark.parametrize(
    ("key", "headers", "status"),
    [
        (KEY, {}, 401),
        (KEY, {"authorization": f"Bearer {KEY}", "content-type": "text/plain"}, 415),
        (None, {"host": "evil.example.org"}, 421),
        (None, {"origin": "https://evil.example.org"}, 403),
        (None, {"content-length": "999999999"}, 413),
    ],
)
def test_who_may_not_ask_is_told_before_the_body_is_read(live, key, headers, status):
    headers = {"host": "localhost", "content-type": "application/json", **headers}
    asked = status_before_the_body(create_app(live, key=key), "/v1/documents", headers)
    assert asyncio.run(asked) == status


def test_a_key_beyond_ascii_comes_from_shells_and_from_pages(live):
    key = "schlüssel-schlüssel"
    with TestClient(create_app(live, key=key), base_url="http://localhost") as client:
        for how in ("utf-8", "latin-1"):
            right = {"authorization": f"Bearer {key}".encode(how)}
            assert client.get("/v1/info", headers=right).status_code == 200
            wrong = {"authorization": f"Bearer {key}x".encode(how)}
            assert client.get("/v1/info", headers=wrong).status_code == 401


def test_pages_of_others_may_not_ask(client):
    new = {"documents": [{"doc_id": "a", "text": "replaced by a page"}]}
    for headers in (
        {"origin": "https://evil.example.org"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert client.post("/v1/documents", json=new, headers=headers).status_code == 403
        assert client.get("/v1/info", headers=headers).status_code == 403
        assert client.get("/", headers=headers).status_code == 200  # a link to it
    for kind in ({}, {"content-type": "text/plain"}, {"content-type": "multipart/form-data"}):
        body = json.dumps(new).encode()
        assert client.post("/v1/documents", content=body, headers=kind).status_code == 415
    assert client.get("/v1/documents/a").json()["title"] == "Fox"
    own = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    as_json = {**own, "content-type": "Application/JSON; charset=utf-8"}
    asked = client.post("/v1/search", content=b'{"query": "fox"}', headers=as_json)
    assert asked.status_code == 200


def test_few_errors_are_told(client):
    wrong = {f"x{i}": 1 for i in range(5000)}
    answer = client.post("/v1/search", json=wrong)
    assert answer.status_code == 422
    assert len(answer.content) < 2000
    *first, last = answer.json()["detail"]
    assert [one["loc"] for one in first] == [
        ["body", "query"],
        *[["body", f"x{i}"] for i in range(9)],
    ]
    assert last["msg"] == "4991 more errors, which are not told"
    assert len(client.post("/v1/search", json={"x": 1}).json()["detail"]) == 2


def test_where_it_may_listen():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))
    require_safe("127.0.0.1", None)
    require_safe("0.0.0.0", KEY)
    with pytest.raises(InvalidInputError, match="SPARSE_IR_API_KEY is not set"):
        require_safe("0.0.0.0", None)
    with pytest.raises(InvalidInputError, match="has 3 characters; want at least 16"):
        require_safe("127.0.0.1", "abc")


def test_the_address_that_it_listens_at_is_a_name_of_it(live):
    app = create_app(live, hosts=("localhost", "127.0.0.2"))
    with TestClient(app, base_url="http://127.0.0.2:8378") as client:
        assert client.get("/v1/info").status_code == 200


def test_other_names_for_this_machine_are_refused(client):
    for host in ("evil.example.org", "evil.example.org:8378", ""):
        assert client.get("/v1/info", headers={"host": host}).status_code == 421
    for host in ("localhost:1", "127.0.0.1", "[::1]:8378"):
        assert client.get("/v1/info", headers={"host": host}).status_code == 200


def test_info_health_and_metrics(client, live, monkeypatch):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    facts = client.get("/v1/info").json()
    assert facts["documents"] == 3
    assert facts["fields"] == ["lang", "year"]
    assert facts["modes"][:3] == ["anchored", "learned", "lexical"]
    client.get("/v1/search?query=fox&mode=lexical")
    client.get("/v1/documents/unknown")
    client.get("/no/such/address")
    client.request("ANYTHING", "/v1/info")
    client.delete("/v1/documents/b")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert samples["sparse_ir_requests_total", "GET", "/v1/search", "200"] == 1
    assert samples["sparse_ir_requests_total", "GET", "/v1/documents/{doc_id:path}", "404"] == 1
    assert samples["sparse_ir_requests_total", "other", "none", "404"] == 1
    assert samples["sparse_ir_requests_total", "other", "/v1/info", "405"] == 1
    assert samples["sparse_ir_search_seconds_count", "lexical"] == 1
    assert samples["sparse_ir_searches_total", "lexical"] == 1
    assert samples["sparse_ir_documents",] == 2
    assert samples["sparse_ir_commits",] == 1
    with monkeypatch.context() as patched:
        patched.setattr(live._writer, "is_alive", lambda: False)
        assert client.get("/readyz").status_code == 503
        assert client.delete("/v1/documents/b").status_code == 503
    live.close()
    assert client.get("/readyz").status_code == 503
    for refused in (client.get("/v1/search?query=fox"), client.delete("/v1/documents/b")):
        assert refused.status_code == 503
        assert "being closed" in refused.json()["detail"]
    assert client.get("/healthz").status_code == 200


def test_the_page_asks_nobody_else(client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http:" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in answer.text
