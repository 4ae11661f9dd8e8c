"""What is taken for texts, and what is refused with a reason, wherever texts are given."""

import asyncio
import collections
import pathlib
import types

import numpy as np
import pytest

import remuda
from remuda.testing import FakeEmbeddingModelManager, FakeSummarizationModelManager


class Table:
    """As a pandas DataFrame: going over it gives its columns' names."""

    columns = ("text", "label")

    def __iter__(self):
        return iter(self.columns)


class Column:
    """As a pandas Series: it has keys() and values, and going over it gives its values."""

    values = np.array(["a horse", "a foal"], dtype=object)

    def keys(self):
        return [10, 11]

    def __iter__(self):
        return iter(self.values)


class Headers:
    """As an email.message.Message: no Mapping, with keys() and values()."""

    def keys(self):
        return ["Subject"]

    def values(self):
        return ["a horse"]

    def __iter__(self):
        return iter(self.keys())


REFUSED = {
    "dict": ({"a": "x"}, "its keys would be embedded"),
    "empty dict": ({}, "its keys"),
    "user dict": (collections.UserDict(a="x"), "its keys"),
    "counter": (collections.Counter(["a"]), "its keys"),
    "mapping proxy": (types.MappingProxyType({"a": "x"}), "its keys"),
    "headers": (Headers(), "its keys"),
    "table": (Table(), "its column names"),
    "set": ({"a", "b"}, "sorted"),
    "frozenset": (frozenset({"a"}), "sorted"),
    "None": (None, "expected a list of str, found None"),
    "number": (3, "expected a list of str, found 3"),
    "bytes": (b"a", "found one bytes"),
    "bytearray": (bytearray(b"a"), "found one bytearray"),
    "path": (pathlib.Path("a"), "expected a list of str"),
    "scalar array": (np.array("a"), "expected a list of str"),
    "pairs": ([("a", "b")], "one flat list"),
    "nested": ([["a"]], "one flat list"),
    "matrix": (np.array([["a", "b"]]), "expected a str"),
    "dicts": ([{"text": "a"}], "pick the text out"),
    "bytes in it": (["a", b"b"], "decode the bytes"),
    "None in it": (["a", None], r"text\[1\]: expected a str, found None"),
    "nan in it": (np.array(["a", float("nan")], dtype=object), r"text\[1\]: expected a str, found nan"),
    "numbers": (np.zeros(3), r"expected a str"),
}
CALLS = {
    "encode": lambda m, texts: m.encode(texts),
    "encode_query": lambda m, texts: m.encode_query(texts),
    "sentences": lambda m, texts: m.encode(sentences=texts),
    "embed_texts": lambda m, texts: m.embed_texts(texts),
    "aembed": lambda m, texts: asyncio.run(m.aembed(texts)),
    "tokenize": lambda m, texts: m.tokenize(texts),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_list_of_texts(embedder, what, call):
    given, message = REFUSED[what]
    for manager in (embedder, FakeEmbeddingModelManager(dimension=4)):
        with pytest.raises(TypeError, match=message):
            CALLS[call](manager, given)


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_list_of_documents(summarizer, what):
    given, message = REFUSED[what]
    for manager in (summarizer, FakeSummarizationModelManager()):
        with pytest.raises(TypeError, match=message):
            manager.summarize(given)
        with pytest.raises(TypeError, match=message):
            manager.summarize_texts(given)
        with pytest.raises(TypeError, match=message):
            asyncio.run(manager.asummarize(given))
    if not isinstance(given, str):
        with pytest.raises(TypeError, match="text: expected a str"):
            summarizer.summarize_text(given)


TAKEN = {
    "list": lambda: ["a horse", "a foal"],
    "tuple": lambda: ("a horse", "a foal"),
    "generator": lambda: (text for text in ("a horse", "a foal")),
    "array": lambda: np.array(["a horse", "a foal"]),
    "array of objects": lambda: np.array(["a horse", "a foal"], dtype=object),
    "column": Column,
    "deque": lambda: collections.deque(["a horse", "a foal"]),
    "values of a dict": lambda: {1: "a horse", 2: "a foal"}.values(),
    "keys of a dict": lambda: {"a horse": 1, "a foal": 2}.keys(),
    "numpy's str": lambda: [np.str_("a horse"), np.str_("a foal")],
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_one(embedder, what):
    expected = embedder.encode(["a horse", "a foal"])
    assert (embedder.encode(TAKEN[what]()) == expected).all()
    assert (embedder.embed_texts(TAKEN[what]()).values == expected).all()


def test_pandas(embedder):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": ["a horse", "a foal"]}, index=[7, 8])
    assert (embedder.encode(table["text"]) == embedder.encode(["a horse", "a foal"])).all()
    with pytest.raises(TypeError, match="column"):
        embedder.encode(table)


def test_one_text_of_numpys(embedder):
    assert embedder.encode(np.str_("a horse")).shape == (384,)


def test_an_instance_by_position(embedder):
    with embedder.acquire() as instance:
        with pytest.raises(TypeError, match="instance=instance"):
            embedder.encode(["a"], instance)
        assert embedder.encode(["a"], instance=instance).shape == (1, 384)


@pytest.mark.parametrize("wrong", [0, -5, -1])
def test_max_batch_tokens_is_at_least_one(embedder, summarizer, wrong):
    with pytest.raises(ValueError, match="max_batch_tokens"):
        embedder.embed_texts(["a"], max_batch_tokens=wrong)
    with pytest.raises(ValueError, match="max_batch_tokens"):
        summarizer.summarize(["a"], max_batch_tokens=wrong)
    with pytest.raises(ValueError, match="max_batch_tokens"):
        remuda.estimate_memory("models/all-MiniLM-L6-v2", max_batch_tokens=wrong)


def test_encode_leaves_the_batch_to_the_engine(embedder, monkeypatch):
    """What a call computes at once is the engine's to say: 512 tokens is a CPU's figure, and starves a GPU."""
    seen = []

    class Recorder:
        def __init__(self, native):
            self.native = native

        def __getattr__(self, name):
            return getattr(self.native, name)

        def embed_texts(self, texts, instance, prompt_name, prompt, max_length, max_batch_tokens, *rest):
            seen.append(max_batch_tokens)
            return self.native.embed_texts(texts, instance, prompt_name, prompt, max_length, max_batch_tokens, *rest)

    monkeypatch.setattr(embedder, "_native", Recorder(embedder._native))
    embedder.encode(["a"], batch_size=64)
    asyncio.run(embedder.aembed(["a"]))
    assert seen == [None, None]
