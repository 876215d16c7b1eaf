"""Our sparse embeddings in LangChain's Qdrant store, in memory, against numpy."""

from __future__ import annotations

import sys

import pytest

from sparse_ir.errors import MissingDependencyError

langchain_qdrant = pytest.importorskip(
    "langchain_qdrant", reason="langchain-qdrant is not installed"
)

from sparse_ir.integrations import langchain_qdrant as adapter  # noqa: E402

TEXTS = ["a red fox runs fast", "the dog sleeps", "a fox and a dog", "quick quick fox"]


@pytest.fixture
def embeddings(document_encoder, make_lookup, monkeypatch):
    queries = make_lookup([0, *[i / 4 for i in range(1, 10)]])

    def load(model, role):
        assert model == "words"
        return document_encoder if role == "document" else queries

    monkeypatch.setattr(adapter, "load_encoder", load)
    return adapter.SparseIREmbeddings("words")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_an_in_memory_qdrant_ranks_as_dot_products_do(embeddings, document_encoder, make_lookup):
    store = langchain_qdrant.QdrantVectorStore.from_texts(
        TEXTS,
        sparse_embedding=embeddings,
        retrieval_mode=langchain_qdrant.RetrievalMode.SPARSE,
        location=":memory:",
        collection_name="fables",
    )
    found = store.similarity_search_with_score("quick fox", k=3)
    queries = make_lookup([0, *[i / 4 for i in range(1, 10)]])
    product = document_encoder.encode(TEXTS) @ queries.encode(["quick fox"]).T
    scores = dict(zip(TEXTS, product.toarray()[:, 0].tolist(), strict=True))
    best = sorted((t for t in TEXTS if scores[t] > 0), key=lambda t: -scores[t])[:3]
    assert [document.page_content for document, _ in found] == best
    assert [score for _, score in found] == pytest.approx([scores[text] for text in best])
    store.client.close()


async def test_vectors_are_the_encoders(embeddings, document_encoder):
    first, second = embeddings.embed_documents(["red fox", "unheard"])
    row = document_encoder.encode(["red fox"])
    assert first.indices == row.indices.tolist()
    assert first.values == row.data.tolist()
    assert second.indices == second.values == []
    assert await embeddings.aembed_query("fox dog") == embeddings.embed_query("fox dog")
    assert embeddings.embed_documents([]) == []


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain_qdrant", None)
    monkeypatch.delitem(sys.modules, "sparse_ir.integrations.langchain_qdrant")
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[langchain-qdrant\]"):
        import sparse_ir.integrations.langchain_qdrant  # noqa: F401
