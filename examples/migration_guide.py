"""A service before and after, side by side; MIGRATION_GUIDE.md explains.   python examples/migration_guide.py"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from remuda import EmbeddingModelManager, get_settings
from remuda.testing import FakeEmbeddingModelManager, fake_settings


class ModelManager:
    """Before: one global object, one model, one lock. Every thread waits for it, and tests can't replace it."""

    _instance: ModelManager | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._embedder = EmbeddingModelManager(get_settings())  # Stands for whatever library loaded the model.

    @classmethod
    def get_instance(cls) -> ModelManager:
        with cls._lock:
            if cls._instance is None:
                cls._instance = cls()
            return cls._instance

    def get_embeddings(self, texts: list[str]) -> NDArray[np.float32]:
        with self._lock:
            return self._embedder.embed_texts(texts).values


class SearchBefore:
    def nearest(self, query: str, texts: list[str]) -> str:
        vectors = ModelManager.get_instance().get_embeddings([query, *texts])
        return texts[int(np.argmax(vectors[1:] @ vectors[0]))]


class SearchAfter:
    """After: the manager is given. It is thread-safe, bounded, and a test gives another one."""

    def __init__(self, embedder: EmbeddingModelManager) -> None:
        self.embedder = embedder

    def nearest(self, query: str, texts: list[str]) -> str:
        vectors = self.embedder.embed_texts([query, *texts], timeout=10.0).values
        return texts[int(np.argmax(vectors[1:] @ vectors[0]))]


def test_of_the_service() -> None:
    """What a test of it looks like: nothing is loaded, and the answers are always the same."""
    search = SearchAfter(FakeEmbeddingModelManager(fake_settings()))
    assert search.nearest("yeast and bread", ["a horse of course", "bread with yeast"]) == "bread with yeast"


def main() -> None:
    texts = ["A remuda is a herd of saddle horses.", "Let the dough rest overnight.", "The tide follows the moon."]
    query = "Why does bread become fluffy?"
    before = SearchBefore().nearest(query, texts)
    after = SearchAfter(EmbeddingModelManager(get_settings())).nearest(query, texts)
    print(f"before: {before}\nafter:  {after}")
    test_of_the_service()
    print("the service's test passes without a model")


if __name__ == "__main__":
    main()
