"""Adapters, against the real libraries where they are installed."""

import asyncio
import pickle

import numpy as np
import pytest

from remuda.integrations.sentence_transformers import SentenceTransformer

TEXTS = ["a horse of course", "bread rises", "bread and yeast"]


def test_langchain(embedder):
    pytest.importorskip("langchain_core")
    from langchain_core.vectorstores import InMemoryVectorStore

    from remuda.integrations.langchain import RemudaEmbeddings

    embeddings = RemudaEmbeddings(embedder)
    store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
    assert store.similarity_search("why does bread become fluffy?", k=1)[0].page_content.startswith("bread")
    expected = embedder.encode(TEXTS).tolist()
    assert embeddings.embed_documents(TEXTS) == expected
    assert asyncio.run(embeddings.aembed_documents(TEXTS)) == expected
    assert asyncio.run(embeddings.aembed_query(TEXTS[0])) == embeddings.embed_query(TEXTS[0]) == expected[0]
    assert RemudaEmbeddings(embedder, query_prompt="query: ").embed_query("a") == embedder.embed_text("query: a").tolist()


def test_llama_index(embedder):
    pytest.importorskip("llama_index.core")
    from remuda.integrations.llama_index import RemudaEmbedding

    model = RemudaEmbedding(embedder)
    assert model.get_text_embedding_batch(TEXTS) == embedder.encode(TEXTS).tolist()
    assert model.get_query_embedding("a") == embedder.encode("a").tolist()
    assert asyncio.run(model.aget_query_embedding("a")) == embedder.encode("a").tolist()
    assert model.similarity(model.get_text_embedding("bread"), model.get_text_embedding("bread")) == pytest.approx(1)


def test_sklearn(embedder):
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from remuda.integrations.sklearn import TextEmbedder

    texts = ["bread and yeast", "dough in the oven", "horses in a herd", "a saddle for the horse"]
    pipeline = make_pipeline(TextEmbedder(normalize_embeddings=True), LogisticRegression())
    pipeline.fit(texts, ["bread", "bread", "horse", "horse"])
    assert pipeline.predict(["a loaf of bread", "a mare and her foal"]).tolist() == ["bread", "horse"]
    again = pickle.loads(pickle.dumps(pipeline))
    assert again.predict(["a loaf of bread"]).tolist() == ["bread"]
    assert clone(TextEmbedder("models/all-MiniLM-L6-v2")).transform(texts).shape == (4, 384)
    assert len(TextEmbedder(truncate_dim=5).get_feature_names_out()) == 5


def test_sentence_transformer(embedder):
    model = SentenceTransformer("models/all-MiniLM-L6-v2", truncate_dim=100)
    assert model.get_sentence_embedding_dimension() == 100
    assert model.max_seq_length == 256
    vectors = model.encode(TEXTS)
    assert vectors.shape == (3, 100)
    scores = model.similarity(vectors, vectors)
    assert np.diag(scores) == pytest.approx(1, abs=1e-5)
    assert scores[1, 2] > scores[0, 1]
    assert np.array_equal(model.encode_query("a"), model.encode("a"))
    shared = SentenceTransformer(embedder, similarity_fn_name="euclidean")
    assert shared.similarity(shared.encode("a"), shared.encode(["a", "b"]))[0, 0] == pytest.approx(0, abs=1e-3)
    with pytest.raises(ValueError, match="similarity_fn_name"):
        SentenceTransformer(embedder, similarity_fn_name="telepathy")
    with pytest.raises(ValueError, match="device"):
        SentenceTransformer(embedder, device="cuda")


def test_sentence_transformer_says_what_the_library_says(embedder):
    """All that the adapter has in common with the original, on the same texts."""
    library = pytest.importorskip("sentence_transformers")
    original = library.SentenceTransformer("models/all-MiniLM-L6-v2", device="cpu")
    ours = SentenceTransformer(embedder)
    for options in ({}, {"normalize_embeddings": True}, {"batch_size": 2}, {"precision": "ubinary"}):
        assert np.abs(original.encode(TEXTS, **options) - ours.encode(TEXTS, **options)).max() < 1e-4
    for method in ("get_sentence_embedding_dimension", "get_max_seq_length"):
        assert getattr(original, method)() == getattr(ours, method)()
