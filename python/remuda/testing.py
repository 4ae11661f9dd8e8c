"""Managers and settings for the tests of code that uses remuda: they load nothing, and answer at once.

::

    from remuda.testing import FakeEmbeddingModelManager, fake_settings

    def test_search():
        index = Index(FakeEmbeddingModelManager(fake_settings()))
        ...

The fakes have the real pool under them, with its bounds, deadlines, errors and statistics; only the models are made up.
The same text always gives the same embedding and the same summary, in every process.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar, cast

import numpy as np

from remuda import _native
from remuda._arguments import check_count
from remuda.embedding import EmbeddingModelManager
from remuda.pool import ModelInstance, ModelPool, Timeout
from remuda.settings import Settings
from remuda.summarization import SummarizationModelManager
from remuda.tokenizer import Tokenizer

__all__ = [
    "FakeEmbeddingModelManager",
    "FakeSummarizationModelManager",
    "Faults",
    "fake_settings",
]


T = TypeVar("T")
# Tokens that the fakes read of a text, and of a document.
_FAKE_LENGTH = 256
_FAKE_WINDOW = 1024


def fake_settings(**changes: Any) -> Settings:
    """Settings for tests: the defaults, whatever the environment says, and what is given by name."""
    return Settings(**changes)


class Faults:
    """What goes wrong in a fake, and when. Change it at any time; calls look at it as they come.

    :param load_error: raised when an instance is made.
    :param call_error: raised by each embedding or summary.
    :param load_seconds: that making an instance takes; ``call_seconds``: that a call takes, holding its instance.
    :param every: only every so many calls goes wrong; 1: each.
    """

    def __init__(
        self,
        *,
        load_error: BaseException | None = None,
        call_error: BaseException | None = None,
        load_seconds: float = 0.0,
        call_seconds: float = 0.0,
        every: int = 1,
    ) -> None:
        self.load_error = load_error
        self.call_error = call_error
        self.load_seconds = load_seconds
        self.call_seconds = call_seconds
        self.every = every
        self.loads: int = 0
        self.calls: int = 0

    def load(self) -> object:
        self.loads += 1
        time.sleep(self.load_seconds)
        if self.load_error is not None:
            raise self.load_error
        return SimpleNamespace(number=self.loads)

    def call(self) -> None:
        self.calls += 1
        time.sleep(self.call_seconds)
        if self.call_error is not None and self.calls % self.every == 0:
            raise self.call_error


class _FakePool:
    """A real pool of made-up models, under the methods of the native one that the managers' own code calls."""

    device = "cpu"
    precision = "fp32"
    #: What the models take of this machine: nothing.
    costs: ClassVar[dict[str, Any]] = {"device": "cpu", "memory_limit": 0, "precisions": {}, "gpus": []}

    def __init__(self, name: str, fields: dict[str, Any], faults: Faults) -> None:
        self.faults = faults
        self.pool: ModelPool[object] = ModelPool(
            faults.load,
            name=name,
            max_instances=fields["model_pool_max_instances"] if fields["model_pool_enabled"] else None,
            enabled=fields["model_pool_enabled"],
            leak_threshold=fields["leak_threshold"],
            idle_ttl=fields["idle_ttl"],
            max_lifetime=fields["max_lifetime"],
            min_idle=fields["min_idle"],
            max_waiting=fields["max_waiting"],
        )

    def on_instance(
        self, instance: ModelInstance[Any] | None, timeout: Timeout, work: Callable[[], T], token: Any = None
    ) -> T:
        if instance is None:
            with self.pool._pool.acquire(timeout, token=token):
                self.faults.call()
                return work()
        self.pool._pool.check_instance(instance)
        _native.check_timeout(timeout)
        self.faults.call()
        return work()


class _FakeEmbeddings(_FakePool):
    """Stands for `_native.EmbeddingPool`."""

    def __init__(self, fields: dict[str, Any], faults: Faults, dimension: int, prompts: dict[str, str]) -> None:
        super().__init__("fake/embedding", fields, faults)
        self.dimension = dimension
        self.prompts = prompts

    @property
    def info(self) -> dict[str, Any]:
        return {
            "name": "fake/embedding",
            "directory": "",
            "architecture": "fake",
            "dimension": self.dimension,
            "max_seq_length": _FAKE_LENGTH,
            "longest_text": _FAKE_LENGTH,
            "parameters": 0,
            "modules": ["fake"],
            "prompts": sorted(self.prompts),
            "prompt_texts": self.prompts,
            "default_prompt_name": None,
            "similarity": "cosine",
        }

    def embed_texts(
        self,
        texts: list[str],
        instance: ModelInstance[Any] | None,
        prompt_name: str | None,
        prompt: str | None,
        max_length: int | None,
        max_batch_tokens: int | None,
        timeout: Timeout,
        token: Any,
        token_vectors: bool,
    ) -> tuple[Any, Any, Any, int, list[Any]]:
        _native.check_texts(texts)

        def work() -> tuple[Any, Any, Any, int, list[Any]]:
            length = max_length or _FAKE_LENGTH
            words = [((prompt or "") + text).lower().split() for text in texts]
            values = np.empty((len(texts), self.dimension), np.float32)
            for i, text_words in enumerate(words):
                total = np.sum([self._drawn(""), *map(self._drawn, text_words)], axis=0)
                values[i] = total / np.linalg.norm(total)
            tokens = np.array([len(each) + 2 for each in words], np.int64)
            of_tokens = []
            if token_vectors:
                of_tokens = [np.stack([self._drawn(word) for word in ["", *each, ""]][:length]) for each in words]
            return values, tokens, np.minimum(tokens, length), 0, of_tokens

        return self.on_instance(instance, timeout, work, token)

    def _drawn(self, word: str) -> Any:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
        weight = 0.1 if word == "" else 1.0
        drawn = weight * np.random.Generator(np.random.PCG64(seed)).standard_normal(self.dimension)
        return drawn.astype(np.float32)


class FakeEmbeddingModelManager(EmbeddingModelManager):
    """An `EmbeddingModelManager` whose embeddings are drawn by a text's words.

    Of length 1; texts that share words are similar, so that a search finds what a reader would expect. Arguments are
    checked as the real one checks them.

    :param settings: as the real one's; None: the defaults, whatever the environment says.
    :param dimension: numbers in an embedding.
    :param prompts: the model's prompts by their names.
    :param faults: what goes wrong.
    """

    def __init__(
        self,
        settings: Any = None,
        *,
        dimension: int = 384,
        prompts: dict[str, str] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.faults: Faults = faults if faults is not None else Faults()
        check_count("dimension", dimension, least=1)
        self._start(
            settings,
            Settings() if settings is None else settings,
            lambda fields: cast("Any", _FakeEmbeddings(fields, self.faults, dimension, dict(prompts or {}))),
        )
        self._pool = cast("Any", self._native).pool._pool

    def _make_tokenizer(self) -> Tokenizer:
        return _FakeTokenizer(self.max_seq_length)


class _FakeTokenizer(Tokenizer):
    """A word is a token; its id is made of the word."""

    def __init__(self, model_max_length: int) -> None:
        self.name_or_path = "fake"
        self.model_max_length = model_max_length
        self.pad_token_id = 0
        self._native = cast("Any", self)
        self.words: dict[int, str] = {1: "<s>", 2: "</s>"}

    def _tokenize(
        self, texts: list[str], max_length: int | None, special_tokens: bool
    ) -> list[tuple[list[int], list[str], int]]:
        _native.check_texts(texts)
        check_count("max_length", max_length, least=1, optional=True)
        results: list[tuple[list[int], list[str], int]] = []
        for text in texts:
            words = text.split()
            self.words.update((self.id(word), word) for word in words)
            room = len(words) if max_length is None else max(0, max_length - 2 * special_tokens)
            ids = [self.id(word) for word in words[:room]]
            if special_tokens:
                ids = [1, *ids, 2]
            results.append((ids, [self.words[i] for i in ids], len(words) + 2 * special_tokens))
        return results

    def id(self, token: str) -> int:
        known = {"<s>": 1, "</s>": 2}
        return known.get(token) or 3 + int.from_bytes(hashlib.sha256(token.encode()).digest()[:2], "little")

    def token(self, id: int) -> str | None:
        return self.words.get(id)

    @property
    def vocab_size(self) -> int:
        return 3 + 2**16

    def decode(self, token_ids: Any, skip_special_tokens: bool = False) -> str:
        least = 3 if skip_special_tokens else 1
        return " ".join(self.words[i] for i in token_ids if i >= least and i in self.words)


class _FakeText(SimpleNamespace):
    text: str


class _FakeSummaries(_FakePool):
    """Stands for `_native.SummarizationPool`."""

    def __init__(self, fields: dict[str, Any], faults: Faults, words: int) -> None:
        super().__init__("fake/summarization", fields, faults)
        self.words = words

    @property
    def info(self) -> dict[str, Any]:
        return {
            "name": "fake/summarization",
            "directory": "",
            "architecture": "fake",
            "window": _FAKE_WINDOW,
            "parameters": 0,
            "generation": {},
        }

    def _summary(self, text: str, max_input_tokens: int | None) -> Any:
        words = text.split()
        short = " ".join(words[: self.words])
        best = _FakeText(text=short, ids=list(range(len(short.split()))), score=0.0, complete=True)
        tokens = len(words) + 2
        used = min(tokens, max_input_tokens or _FAKE_WINDOW)
        return _FakeText(
            text=short,
            best=best,
            others=[],
            input_tokens=tokens,
            used_tokens=used,
            invalid_sequences=0,
            output_tokens=len(best.ids),
            truncated=tokens > used,
        )

    def summarize(
        self,
        texts: list[str],
        instance: ModelInstance[Any] | None,
        generation: dict[str, Any],
        max_input_tokens: int | None,
        max_batch_tokens: int | None,
        timeout: Timeout,
        partial: bool,
        on_text: Callable[[int, str], object] | None,
        token: Any,
    ) -> list[Any]:
        _native.check_texts(texts)
        _native.check_generation(generation, _FAKE_WINDOW)

        def work() -> list[Any]:
            found = [self._summary(text, max_input_tokens) for text in texts]
            for document, summary in enumerate(found if on_text is not None else []):
                for i, word in enumerate(summary.text.split(" ")):
                    if on_text is not None:
                        on_text(document, word if i == 0 else " " + word)
            return found

        return self.on_instance(instance, timeout, work, token)

    def summarize_long(
        self,
        text: str,
        instance: ModelInstance[Any] | None,
        generation: dict[str, Any],
        part_tokens: int | None,
        overlap_tokens: int | None,
        max_batch_tokens: int | None,
        timeout: Timeout,
        on_text: Callable[[int, str], object] | None,
        token: Any,
    ) -> Any:
        (summary,) = self.summarize(
            [text], instance, generation, None, max_batch_tokens, timeout, False, on_text, token
        )
        part = SimpleNamespace(begin=0, end=len(text.encode()), tokens=summary.input_tokens, summary=summary.text)
        return _FakeText(text=summary.text, summary=summary, parts=[part], merges=0, merged=True)


class FakeSummarizationModelManager(SummarizationModelManager):
    """A `SummarizationModelManager` whose summary of a text is its first words.

    Arguments are checked as the real one checks them, options of the search as those of a BART.

    :param settings: as the real one's; None: the defaults, whatever the environment says.
    :param words: of a summary at most.
    :param faults: what goes wrong.
    """

    def __init__(self, settings: Any = None, *, words: int = 8, faults: Faults | None = None) -> None:
        self.faults: Faults = faults if faults is not None else Faults()
        check_count("words", words, least=0)
        self._start(
            settings,
            Settings() if settings is None else settings,
            lambda fields: cast("Any", _FakeSummaries(fields, self.faults, words)),
        )
        self._pool = cast("Any", self._native).pool._pool

    def _make_tokenizer(self) -> Tokenizer:
        return _FakeTokenizer(self.max_seq_length)
