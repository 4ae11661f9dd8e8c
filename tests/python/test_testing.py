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


SUMMARIZER_MISTAKES = [
    ({"num_beems": 4}, TypeError, "num_beems"),
    ({"min_length": -1}, ValueError, "min_length"),
    ({"num_beams": 0}, ValueError, "num_beams"),
    ({"num_beams": "4"}, TypeError, "num_beams"),
    ({"num_return_sequences": 3, "num_beams": 2}, ValueError, "num_return_sequences"),
    ({"temperature": -1.0, "do_sample": True}, ValueError, "temperature"),
    ({"max_new_tokens": 0}, ValueError, "max_new_tokens"),
    ({"max_length": 2**70}, ValueError, "max_length"),
    ({"early_stopping": "soon"}, TypeError, "early_stopping"),
    ({"timeout": -1}, ValueError, "timeout"),
    ({"timeout": "1"}, TypeError, "timeout"),
]


@pytest.mark.parametrize(("options", "error", "message"), SUMMARIZER_MISTAKES, ids=lambda value: str(value))
def test_a_fake_summarizer_refuses_what_the_real_one_does(summarizer, options, error, message):
    for manager in (summarizer, FakeSummarizationModelManager()):
        for call in (
            lambda m: m.summarize(["a horse"], **options),
            lambda m: m.summarize_text("a horse", **options),
            lambda m: m.summarize_texts(["a horse"], **options),
            lambda m: m.summarize_long("a horse", **options),
            lambda m: "".join(m.stream("a horse", **options)),
            lambda m: asyncio.run(m.asummarize("a horse", **options)),
        ):
            with pytest.raises(error, match=message):
                call(manager)
        with manager.acquire() as instance, pytest.raises(error, match=message):
            manager.summarize(["a horse"], instance, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_length": 50, "max_length": 20}, "min_length asks for at least 50 tokens and max_length for at most 20"),
        ({"max_length": 10**9}, "max_length asks for summaries of up to 1000000000 tokens"),
    ],
)
def test_a_fake_summarizer_takes_what_the_real_one_warns_about(summarizer, options, message, caplog):
    summarizer.summarize_text("a horse", **options)
    assert message in caplog.text
    assert FakeSummarizationModelManager().summarize_text("a horse", **options) == "a horse"


def test_a_fake_refuses_texts_that_the_real_one_does(embedder, summarizer):
    for manager in (embedder, FakeEmbeddingModelManager()):
        for call in (manager.embed_text, manager.encode, lambda text, m=manager: asyncio.run(m.aembed(text))):
            with pytest.raises(ValueError, match="surrogate"):
                call("x\ud800y")
        for call in (manager.embed_text, lambda text, m=manager: m.encode([text])):
            with pytest.raises(TypeError, match="decode the bytes|expected a str"):
                call(b"bytes")
    for manager in (summarizer, FakeSummarizationModelManager()):
        for call in (manager.summarize_text, manager.summarize_long, lambda text, m=manager: "".join(m.stream(text))):
            with pytest.raises(ValueError, match="surrogate"):
                call("x\ud800y")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prompt_name": "passage"}, ValueError, "prompt_name"),
        ({"prompt_name": 3}, TypeError, "prompt_name"),
        ({"prompt": b"x"}, TypeError, "prompt"),
        ({"max_length": 2}, ValueError, "max_length"),
        ({"max_length": 100_000}, ValueError, "max_length"),
        ({"max_length": 2.5}, TypeError, "max_length"),
        ({"max_batch_tokens": 0}, ValueError, "max_batch_tokens"),
        ({"timeout": float("nan")}, ValueError, "timeout"),
        ({"instance": "x"}, TypeError, "instance"),
        ({"temperature": 1}, TypeError, "temperature"),
    ],
    ids=str,
)
def test_a_fake_embedder_refuses_what_the_real_one_does(embedder, options, error, message):
    for manager in (embedder, FakeEmbeddingModelManager()):
        with pytest.raises(error, match=message):
            manager.embed_texts(["a horse"], **options)


def test_a_fake_knows_a_foreign_instance(embedder):
    ours, other = FakeEmbeddingModelManager(), FakeEmbeddingModelManager()
    for foreign in (other, embedder):
        with foreign.acquire() as instance:
            with pytest.raises(ValueError, match="another manager"):
                ours.embed_text("a", instance)
            with pytest.raises(TypeError, match="instance=instance"):
                ours.encode(["a"], instance)
    with other.acquire() as instance, pytest.raises(ValueError, match="another manager"):
        FakeSummarizationModelManager().summarize_text("a", instance)


def test_what_a_fake_has_the_real_one_has(embedder, summarizer):
    fake = FakeEmbeddingModelManager(dimension=6, prompts={"query": "find "})
    assert set(fake.info) <= set(embedder.info) and set(FakeSummarizationModelManager().info) <= set(summarizer.info)
    assert fake.get_sentence_embedding_dimension() == fake.get_embedding_dimension() == 6
    assert np.array_equal(fake.encode_query("a"), fake.encode("find a"))
    assert fake.tokenize(["a b", "c"])["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert fake.tokenizer.decode(fake.tokenizer.encode("a b"), skip_special_tokens=True) == "a b"
    assert fake.similarity(fake.encode("a"), fake.encode(["a", "b"])).shape == (1, 2)
    with fake as same:
        assert same is fake
    with pytest.raises(remuda.PoolClosed):
        fake.encode("a")
