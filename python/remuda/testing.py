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
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from remuda.embedding import EmbeddingModelManager, Embeddings
from remuda.pool import ModelInstance, ModelPool, Timeout
from remuda.settings import Settings, native_settings
from remuda.summarization import SummarizationModelManager

__all__ = [
    "FakeEmbeddingModelManager",
    "FakeSummarizationModelManager",
    "Faults",
    "fake_settings",
]


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

    def __init__(self, name: str, settings: Any, faults: Faults) -> None:
        fields = native_settings(Settings() if settings is None else settings)
        self.faults = faults
        self.pool: ModelPool[object] = ModelPool(
            faults.load,
            name=name,
            max_instances=fields["model_pool_max_instances"],
            enabled=fields["model_pool_enabled"],
            leak_threshold=fields["leak_threshold"],
            idle_ttl=fields["idle_ttl"],
            max_lifetime=fields["max_lifetime"],
            min_idle=fields["min_idle"],
            max_waiting=fields["max_waiting"],
        )

    def on_instance(
        self, instance: ModelInstance[Any] | None, timeout: Timeout, work: Callable[[], Any], token: Any = None
    ) -> Any:
        if instance is None:
            with self.pool._pool.acquire(timeout, token=token):
                self.faults.call()
                return work()
        instance.model  # noqa: B018  Raises, where it was released.
        self.faults.call()
        return work()


def _check_texts(texts: list[Any]) -> list[str]:
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text[{i}]: expected a str, found {text!r:.80} ({type(text).__name__})")
    return texts


class FakeEmbeddingModelManager(EmbeddingModelManager):
    """An `EmbeddingModelManager` whose embeddings are drawn by a text's words.

    Of length 1; texts that share words are similar, so that a search finds what a reader would expect.

    :param settings: as the real one's; None: the defaults, whatever the environment says.
    :param dimension: numbers in an embedding.
    :param faults: what goes wrong.
    """

    def __init__(self, settings: Any = None, *, dimension: int = 384, faults: Faults | None = None) -> None:
        self.settings = settings
        self.faults: Faults = faults if faults is not None else Faults()
        self._fake = _FakePool("fake/embedding", settings, self.faults)
        self._pool = self._fake.pool._pool
        self._dimension = dimension

    @property
    def info(self) -> dict[str, Any]:
        """As the real one's, as far as a model that is none has it."""
        return {
            "name": "fake/embedding",
            "architecture": "fake",
            "dimension": self._dimension,
            "max_seq_length": 256,
            "parameters": 0,
            "modules": ["fake"],
            "prompts": [],
        }

    @property
    def precision(self) -> str:
        return "fp32"

    def get_device(self) -> str:
        return "cpu"

    def _embed(
        self,
        texts: list[str],
        instance: ModelInstance[Any] | None,
        prompt_name: str | None,
        prompt: str | None,
        max_length: int | None,
        max_batch_tokens: int | None,
        timeout: Timeout,
        token: Any,
    ) -> Embeddings:
        texts = _check_texts(texts)

        def work() -> Embeddings:
            values = np.stack([self._vector((prompt or "") + text) for text in texts]) if texts else None
            if values is None:
                values = np.empty((0, self._dimension), np.float32)
            tokens = np.array([len(text.split()) + 2 for text in texts], np.int64)
            return Embeddings(values, tokens, np.minimum(tokens, max_length or 256))

        result: Embeddings = self._fake.on_instance(instance, timeout, work, token)
        return result

    def _vector(self, text: str) -> Any:
        total = np.zeros(self._dimension)
        for word in ["", *text.lower().split()]:
            seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "little")
            weight = 0.1 if word == "" else 1.0
            total += weight * np.random.Generator(np.random.PCG64(seed)).standard_normal(self._dimension)
        return (total / np.linalg.norm(total)).astype(np.float32)


class _FakeText(SimpleNamespace):
    text: str


class FakeSummarizationModelManager(SummarizationModelManager):
    """A `SummarizationModelManager` whose summary of a text is its first words.

    :param settings: as the real one's; None: the defaults, whatever the environment says.
    :param words: of a summary at most.
    :param faults: what goes wrong.
    """

    def __init__(self, settings: Any = None, *, words: int = 8, faults: Faults | None = None) -> None:
        self.settings = settings
        self.faults: Faults = faults if faults is not None else Faults()
        self._fake = _FakePool("fake/summarization", settings, self.faults)
        self._pool = self._fake.pool._pool
        self._words = words

    @property
    def info(self) -> dict[str, Any]:
        """As the real one's, as far as a model that is none has it."""
        return {"name": "fake/summarization", "architecture": "fake", "window": 1024, "parameters": 0}

    @property
    def precision(self) -> str:
        return "fp32"

    def get_device(self) -> str:
        return "cpu"

    def _summary(self, text: str) -> Any:
        words = text.split()
        short = " ".join(words[: self._words])
        best = _FakeText(text=short, ids=list(range(len(short.split()))), score=0.0, complete=True)
        tokens = len(words) + 2
        return _FakeText(
            text=short,
            best=best,
            others=[],
            input_tokens=tokens,
            used_tokens=min(tokens, 1024),
            invalid_sequences=0,
            output_tokens=len(best.ids),
            truncated=tokens > 1024,
        )

    def summarize(
        self,
        texts: Iterable[str],
        instance: ModelInstance[Any] | None = None,
        *,
        timeout: Timeout = None,
        **options: Any,
    ) -> Any:
        return self._summarize(_check_texts(list(texts)), instance, timeout, None)

    def _summarize(self, texts: list[str], instance: ModelInstance[Any] | None, timeout: Timeout, token: Any) -> Any:
        return self._fake.on_instance(instance, timeout, lambda: [self._summary(text) for text in texts], token)

    def summarize_long(
        self, text: str, instance: ModelInstance[Any] | None = None, *, timeout: Timeout = None, **options: Any
    ) -> Any:
        (summary,) = self.summarize([text], instance, timeout=timeout)
        part = SimpleNamespace(begin=0, end=len(text.encode("utf-8", "replace")), tokens=summary.input_tokens, summary=summary.text)
        return _FakeText(text=summary.text, summary=summary, parts=[part], merges=0, merged=True)

    def stream(
        self, text: str, instance: ModelInstance[Any] | None = None, *, timeout: Timeout = None, **options: Any
    ) -> Iterator[str]:
        words = self.summarize_text(text, instance, timeout=timeout).split(" ")
        return iter([word if i == 0 else " " + word for i, word in enumerate(words)])

    async def asummarize(
        self,
        text: str | Iterable[str],
        instance: ModelInstance[Any] | None = None,
        *,
        timeout: Timeout = None,
        **options: Any,
    ) -> Any:
        from remuda import aio

        alone = isinstance(text, str)
        listed = _check_texts([text] if isinstance(text, str) else list(text))
        summaries = await aio.call(
            instance, timeout, lambda left, token: self._summarize(listed, instance, left, token)
        )
        found = [summary.text for summary in summaries]
        return found[0] if alone else found
