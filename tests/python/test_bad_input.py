"""What callers get wrong: Python's own exception, with a message that says what to do. No call leaves an instance on lease."""

import asyncio
import datetime
import types

import numpy as np
import pytest

import remuda
from remuda import errors

NOT_TEXTS = {"None": None, "bytes": b"bytes", "a number": 3, "a list": ["a"], "a float": float("nan")}
SURROGATE = "half \ud800 a character"
LATE = [float("nan"), -1, -0.001, float("-inf"), datetime.timedelta(seconds=-1), -(10**400), 10**400]
NO_TIME = ["1", b"1", True, [1], 1j, object()]


class Rude:
    def __repr__(self):
        raise LookupError("no repr")


class Halves:
    def __repr__(self):
        return "\ud800"


def is_helpful(error):
    """Written by remuda: neither what nanobind says of arguments that don't fit, nor a name of C++'s."""
    text = str(error.value)
    assert text and not any(word in text for word in ("incompatible function", "std::", "nanobind", "codec can't")), text


@pytest.fixture(autouse=True)
def _nothing_stays_on_lease(embedder, summarizer):
    yield
    assert embedder.get_pool_stats()["in_use"] == 0
    assert summarizer.get_pool_stats()["in_use"] == 0


def takes_a_text(embedder, summarizer):
    return {
        "embed_text": embedder.embed_text,
        "embed_texts": lambda text: embedder.embed_texts(["a", text]),
        "encode": lambda text: embedder.encode(["a", text]),
        "aembed": lambda text: asyncio.run(embedder.aembed(["a", text])),
        "summarize_text": summarizer.summarize_text,
        "summarize_texts": lambda text: summarizer.summarize_texts(["a", text]),
        "summarize_long": summarizer.summarize_long,
        "stream": lambda text: list(summarizer.stream(text)),
        "asummarize": lambda text: asyncio.run(summarizer.asummarize(["a", text])),
    }


CALLS = list(takes_a_text(types.SimpleNamespace(embed_text=0), types.SimpleNamespace(summarize_text=0, summarize_long=0)))


@pytest.mark.parametrize("call", CALLS)
def test_texts(call, embedder, summarizer):
    use = takes_a_text(embedder, summarizer)[call]
    for found in [*NOT_TEXTS.values(), Rude, Halves(), ["é" * 200], [["a" + "é" * 200]]]:
        with pytest.raises(TypeError, match="expected a str") as error:
            use(found)
        is_helpful(error)
    with pytest.raises(ValueError, match="lone surrogate, half a character; replace it") as error:
        use(SURROGATE)
    is_helpful(error)


def test_a_value_that_has_no_repr(embedder):
    with pytest.raises(TypeError, match="found something that can't be printed .Rude."):
        embedder.embed_texts([Rude()])


@pytest.mark.parametrize("found", [None, 3, b"bytes", "one text", 3.5])
def test_lists_of_texts(found, embedder, summarizer):
    for use in (embedder.embed_texts, summarizer.summarize, summarizer.summarize_texts):
        with pytest.raises(TypeError, match="texts: expected a list of str") as error:
            use(found)
        is_helpful(error)


def takes_a_timeout(embedder, summarizer):
    pool = remuda.ModelPool(list)

    async def wait(timeout):
        await embedder.aacquire(timeout)

    return {
        "acquire": lambda timeout: embedder.acquire(timeout=timeout),
        "get_instance": embedder.get_instance,
        "aacquire": lambda timeout: asyncio.run(wait(timeout)),
        "cleanup": lambda timeout: pool.cleanup(timeout),
        "pool": lambda timeout: pool.acquire(timeout=timeout),
        "embed_text": lambda timeout: embedder.embed_text("a", timeout=timeout),
        "summarize_text": lambda timeout: summarizer.summarize_text("a", timeout=timeout),
        "idle_ttl": lambda timeout: remuda.ModelPool(list, idle_ttl=timeout),
    }


TIMED = ["acquire", "get_instance", "aacquire", "cleanup", "pool", "embed_text", "summarize_text", "idle_ttl"]


@pytest.mark.parametrize("call", TIMED)
def test_timeouts(call, embedder, summarizer):
    use = takes_a_timeout(embedder, summarizer)[call]
    for found in LATE:
        with pytest.raises(ValueError, match="seconds|a number of 64 bits") as error:
            use(found)
        is_helpful(error)
    for found in [*NO_TIME, Rude(), Halves()]:
        with pytest.raises(TypeError, match="seconds") as error:
            use(found)
        is_helpful(error)


def test_timeouts_that_are_for_ever(embedder):
    for timeout in (float("inf"), 1e300, 2**63, datetime.timedelta.max):
        embedder.acquire(timeout=timeout).release()


ARGUMENTS = [
    ("prompt", lambda m, s, v: m.embed_text("a", prompt=v), [b"x", 3], [SURROGATE]),
    ("prompt_name", lambda m, s, v: m.encode("a", prompt_name=v), [b"x", 3], [SURROGATE, "none"]),
    ("max_length", lambda m, s, v: m.embed_text("a", max_length=v), ["3", 1.5, True], [-3, 2**70]),
    ("max_batch_tokens", lambda m, s, v: m.embed_texts(["a"], max_batch_tokens=v), ["3", 1.5], [0, -1, 2**70]),
    ("batch_size", lambda m, s, v: m.encode("a", batch_size=v), ["3", 1.5, True], [0, -1, 2**70]),
    ("truncate_dim", lambda m, s, v: m.encode("a", truncate_dim=v), ["3", 1.5, True], [0, -1]),
    ("label", lambda m, s, v: m.acquire(label=v), [b"x", 3, ["x"]], [SURROGATE]),
    ("destroy_after_use", lambda m, s, v: m.acquire(destroy_after_use=v), ["x", 1], []),
    ("priority", lambda m, s, v: m.acquire(priority=v), [1, b"normal"], ["urgent"]),
    ("instances", lambda m, s, v: m.shrink(v), ["x", 1.5, None], [-1, 2**70]),
    ("max_instances", lambda m, s, v: m.resize(v), ["x", 1.5, None], [0, -1, 2**70]),
    ("instance", lambda m, s, v: m.release_instance(v), [None, 3, "x"], []),
    ("instance", lambda m, s, v: m.embed_text("a", v), [3, "x"], []),
    ("instance", lambda m, s, v: s.summarize_text("a", v), [3, "x"], []),
    ("max_input_tokens", lambda m, s, v: s.summarize(["a"], max_input_tokens=v), ["3", 1.5], [0, -1, 2**70]),
    ("max_batch_tokens", lambda m, s, v: s.summarize(["a"], max_batch_tokens=v), ["3", 1.5], [0, -1, 2**70]),
    ("max_batch_tokens", lambda m, s, v: remuda.estimate_memory("m", max_batch_tokens=v), ["3", 1.5], [0, -1, 2**70]),
    ("partial", lambda m, s, v: s.summarize(["a"], partial=v), ["x", None], []),
    ("part_tokens", lambda m, s, v: s.summarize_long("a", part_tokens=v), ["3", 1.5], [0, -1, 2**70]),
    ("overlap_tokens", lambda m, s, v: s.summarize_long("a", overlap_tokens=v), ["3", 1.5], [-1, 2**70]),
    ("num_beams", lambda m, s, v: s.summarize_text("a", num_beams=v), ["3", 1.5, True], [0, -1, 10**9, 2**70]),
    ("temperature", lambda m, s, v: s.summarize_text("a", do_sample=True, temperature=v), ["1"], [float("nan"), 0, 10**400]),
    ("embeddings", lambda m, s, v: remuda.quantize_embeddings(v, "int8"), [None, 3, b"x", [["a"]]], [np.zeros(3), np.zeros((1, 3))]),
    ("factory", lambda m, s, v: remuda.ModelPool(v), [3, None], []),
    ("name", lambda m, s, v: remuda.ModelPool(list, name=v), [3, b"x", None], [SURROGATE]),
    ("max_instances", lambda m, s, v: remuda.ModelPool(list, max_instances=v), ["2", 1.5, True], [0, -1, 2**70]),
    ("enabled", lambda m, s, v: remuda.ModelPool(list, enabled=v), ["x", 1], []),
    ("unload", lambda m, s, v: remuda.ModelPool(list, unload=v), [3, "x"], []),
    ("check", lambda m, s, v: remuda.ModelPool(list, check=v), [3, "x"], []),
    ("min_idle", lambda m, s, v: remuda.ModelPool(list, min_idle=v), ["1", 1.5], [-1, 2**70]),
]


@pytest.mark.parametrize(("name", "use", "types", "values"), ARGUMENTS, ids=[f"{i}-{a[0]}" for i, a in enumerate(ARGUMENTS)])
def test_arguments(name, use, types, values, embedder, summarizer):
    for expected, wrong in ((TypeError, types), (ValueError, values)):
        for found in wrong:
            with pytest.raises(expected, match=name) as error:
                use(embedder, summarizer, found)
            is_helpful(error)


def uses_of(instance, manager):
    return {
        "embed_text": lambda: manager.embed_text("a", instance),
        "embed_texts": lambda: manager.embed_texts(["a"], instance),
        "encode": lambda: manager.encode("a", instance=instance),
        "aembed": lambda: asyncio.run(manager.aembed("a", instance)),
        "release_instance": lambda: manager.release_instance(instance),
    }


def test_an_instance_that_was_released(embedder):
    with embedder.acquire() as instance:
        pass
    uses = uses_of(instance, embedder)
    for name in ("model", "tokenizer", "id", "device", "use_count", "precision", "created"):
        uses[name] = lambda name=name: getattr(instance, name)
    uses.update({"release": instance.release, "discard": instance.discard, "with": instance.__enter__})
    for use in uses.values():
        with pytest.raises(ValueError, match="was released") as error:
            use()
        is_helpful(error)
    assert not instance.is_leased
    assert "was released" in repr(instance)


def test_an_instance_of_another_manager(embedder, summarizer):
    others = [remuda.EmbeddingModelManager(), summarizer, remuda.ModelPool(list)]
    for other in others:
        with other.acquire() as instance:
            for use in uses_of(instance, embedder).values():
                with pytest.raises(ValueError, match="is on lease from another manager; return it, and use it, there"):
                    use()
            assert instance.is_leased


@pytest.mark.parametrize("kind", ["embedding", "summarization"])
@pytest.mark.parametrize("model", ["README.md", "models/all-MiniLM-L6-v2/config.json", "no/such", "a\0b", "x" * 5000, SURROGATE])
def test_a_model_that_is_a_file_or_none(kind, model):
    settings = remuda.get_settings()
    setattr(settings, f"{kind}_model", model)
    manager = remuda.EmbeddingModelManager if kind == "embedding" else remuda.SummarizationModelManager
    with pytest.raises(ValueError if model in (SURROGATE, "a\0b") else errors.NotFound) as error:
        manager(settings)
    is_helpful(error)
    if model.startswith(("README", "models/")):
        assert "found a file; give the directory it is in" in str(error.value)
    assert f"{kind}_model" in str(error.value) or "expected a model directory" in str(error.value)


@pytest.mark.parametrize("settings", [3, "x", {"model_pool_enabled": True}, [], object(), b"x"])
def test_settings_without_the_attributes(settings):
    class Manager(remuda.AbstractModelManager):
        model_name = model_type = "test"
        _load_model = _load_tokenizer = lambda self: None

    for manager in (remuda.EmbeddingModelManager, remuda.SummarizationModelManager, Manager):
        with pytest.raises(AttributeError, match="settings.model_pool_enabled: expected this attribute.*settings need"):
            manager(settings)


@pytest.mark.parametrize("text", ["a" * 100_000_000, "horse " * 17_000_000], ids=["one word", "words"])
def test_a_text_of_a_hundred_megabytes(text, embedder, summarizer):
    result = embedder.embed_texts([text])
    (summary,) = summarizer.summarize([text], max_new_tokens=4, min_length=0, num_beams=1)
    if " " in text:
        assert (result.truncated.tolist(), result.tokens.tolist(), summary.truncated) == ([True], [17_000_002], True)
    else:  # A word that long is an unknown one.
        assert (result.truncated.tolist(), result.tokens.tolist(), summary.input_tokens) == ([False], [3], 3)
