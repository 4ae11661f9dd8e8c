"""The fakes for users' own tests: deterministic, with the real pool's behaviour."""

import asyncio
import threading
import time

import numpy as np
import pytest

import remuda
from remuda.testing import FakeEmbeddingModelManager, FakeSummarizationModelManager, Faults, fake_settings


def test_embeddings_are_the_same_in_every_process(python):
    manager = FakeEmbeddingModelManager(dimension=16)
    code = "import remuda.testing as t; print(t.FakeEmbeddingModelManager(dimension=16).embed_text('a horse').tolist())"
    assert python(code).stdout.strip() == str(manager.embed_text("a horse").tolist())


def test_texts_that_share_words_are_similar():
    manager = FakeEmbeddingModelManager()
    bread, yeast, horse = manager.encode(["bread rises with yeast", "yeast makes bread", "a horse of course"])
    assert bread @ yeast > 0.3 > abs(bread @ horse)
    assert np.linalg.norm(bread) == pytest.approx(1, abs=1e-5)


def test_encode_is_the_real_one():
    manager = FakeEmbeddingModelManager(dimension=64)
    assert manager.encode("a").shape == (64,)
    assert manager.encode([]).shape == (0, 64)
    assert manager.encode(["a", "b"], precision="ubinary").shape == (2, 8)
    with pytest.raises(TypeError, match="expected a str"):
        manager.encode(["a", 1])
    assert isinstance(manager, remuda.EmbeddingModelManager)


def test_the_pool_is_the_real_one():
    manager = FakeEmbeddingModelManager(fake_settings(model_pool_max_instances=1))
    with manager.acquire() as instance:
        manager.embed_text("a", instance)
        with pytest.raises(TimeoutError):
            manager.embed_text("a", timeout=0.01)
    with pytest.raises(ValueError, match="was released"):
        manager.embed_text("a", instance)
    assert manager.get_pool_stats()["timeouts"] == 1


def test_settings_are_not_the_environments(monkeypatch):
    monkeypatch.setenv("MODEL_POOL_MAX_INSTANCES", "7")
    assert FakeEmbeddingModelManager().get_pool_stats()["max_instances"] == 2


def test_faults():
    faults = Faults(load_error=MemoryError("no memory"))
    manager = FakeSummarizationModelManager(faults=faults)
    with pytest.raises(MemoryError, match="no memory"):
        manager.summarize_text("a")
    faults.load_error = None
    faults.call_error, faults.every = ConnectionError("lost"), 2
    assert manager.summarize_text("a") == "a"
    with pytest.raises(ConnectionError):
        manager.summarize_text("a")
    assert manager.summarize_text("a") == "a"
    assert (faults.loads, faults.calls) == (2, 3)


def test_delays_hold_instances():
    faults = Faults(call_seconds=0.2)
    manager = FakeEmbeddingModelManager(fake_settings(model_pool_max_instances=1), faults=faults)
    thread = threading.Thread(target=manager.embed_text, args=("a",))
    thread.start()
    while not manager.get_pool_stats()["in_use"]:
        time.sleep(0.001)
    with pytest.raises(TimeoutError):
        manager.embed_text("b", timeout=0.01)
    thread.join()


def test_summaries():
    manager = FakeSummarizationModelManager(words=3)
    assert manager.summarize_text("one two three four") == "one two three"
    assert manager.summarize_texts(["a b", ""]) == ["a b", ""]
    assert "".join(manager.stream("one two three four")) == "one two three"
    assert manager.summarize_long("one two three four").text == "one two three"
    assert asyncio.run(manager.asummarize("one two three four")) == "one two three"
    assert np.array_equal(
        asyncio.run(FakeEmbeddingModelManager().aembed("a")), FakeEmbeddingModelManager().embed_text("a")
    )
