"""A kind of model that remuda doesn't know, in its pools.   python examples/new_model_type.py

The model here is small and made of numpy alone, so that the example runs anywhere; with PyTorch or scikit-learn only
_load_model differs: `AutoModel.from_pretrained(...)`, `joblib.load(...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from remuda import AbstractModelManager, Settings, get_settings

LANGUAGES = {
    "english": "the quick brown fox jumps over the lazy dog and then the fox rests with the other animals",
    "german": "der schnelle braune fuchs springt über den faulen hund und dann ruht der fuchs sich aus",
    "spanish": "el rápido zorro marrón salta sobre el perro perezoso y luego el zorro descansa con los otros",
}


class LanguageModel:
    """Counts of letter triples, a language a row. Predicting writes to a buffer: two threads must not share it."""

    def __init__(self) -> None:
        self.names = list(LANGUAGES)
        self.rows = np.stack([self.features(text) for text in LANGUAGES.values()])
        self.buffer = np.zeros(len(self.names))

    @staticmethod
    def features(text: str) -> NDArray[np.float64]:
        counts = np.zeros(4096)
        for i in range(len(text) - 2):
            counts[sum(ord(c) * 31**k for k, c in enumerate(text[i : i + 3])) % 4096] += 1
        return counts / max(1.0, float(np.linalg.norm(counts)))

    def predict(self, text: str) -> str:
        np.matmul(self.rows, self.features(text.lower()), out=self.buffer)
        return self.names[int(self.buffer.argmax())]


class LanguageManager(AbstractModelManager[LanguageModel]):
    """Everything that a new kind of model needs; the pool, its bounds and its statistics are inherited."""

    @property
    def model_name(self) -> str:
        return "examples/language"

    @property
    def model_type(self) -> str:
        return "language"

    def _load_model(self) -> LanguageModel:
        return LanguageModel()

    def _load_tokenizer(self) -> Callable[[str], list[str]]:
        return str.split

    def memory_bytes(self, model: LanguageModel) -> int:
        return int(model.rows.nbytes)

    def detect(self, text: str) -> str:
        """A manager's own method: leases for the call."""
        with self.acquire(timeout=10.0) as instance:
            return instance.model.predict(text)


def main(settings: Settings | None = None) -> None:
    manager = LanguageManager(settings or get_settings())
    texts = ["the dog and the fox", "der hund und der fuchs", "el perro y el zorro"]
    with ThreadPoolExecutor(6) as threads:
        for text, language in zip(texts, threads.map(manager.detect, texts), strict=True):
            print(f"{text!r} is {language}")
    stats = manager.get_pool_stats()
    print(f"{stats['acquires']} leases of {stats['created']} instances, {stats['memory_private'] / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
