"""Kinds of model that remuda doesn't know, in its pools.   python examples/new_model_type.py

The first is small and made of numpy alone, so that the example runs anywhere; the second is PyTorch's, where that is
installed. With others only _load_model differs: `AutoModel.from_pretrained(...)`, `joblib.load(...)`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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


class TorchManager(AbstractModelManager[Any]):
    """A network of PyTorch's. Its weights are random here; `torch.load` or `from_pretrained` would read them."""

    model_name = "examples/torch"
    model_type = "scorer"
    # Known beforehand, so that there is room before it is loaded: it counts towards memory_limit, and goes when it is
    # idle and another model needs the room. Half a million weights of four bytes.
    memory_bytes = 4 * (1024 * 512 + 512)

    def _load_model(self) -> Any:
        import torch  # type: ignore[import-not-found, unused-ignore]

        model = torch.nn.Sequential(torch.nn.Linear(1024, 512), torch.nn.ReLU()).eval()
        draw = torch.Generator().manual_seed(1)  # Not the global one: two threads may load at once.
        with torch.no_grad():
            for weights in model.parameters():
                weights.normal_(std=0.05, generator=draw)
        return model

    def _load_tokenizer(self) -> Callable[[str], list[int]]:
        return lambda text: [ord(c) % 1024 for c in text]

    def _check_instance(self, model: Any) -> bool:
        """At the end of each lease: a model that somebody left in training mode is not pooled again."""
        return not model.training

    def score(self, text: str) -> float:
        import torch

        with self.acquire(timeout=10.0) as instance, torch.inference_mode():
            counts = torch.bincount(torch.tensor(instance.tokenizer(text)), minlength=1024)
            return float(instance.model(counts.float()).mean())


def use_torch(settings: Settings) -> None:
    if importlib.util.find_spec("torch") is None:
        print("PyTorch isn't installed; its model is left out")
        return
    manager = TorchManager(settings)
    with ThreadPoolExecutor(6) as threads:
        scores = list(threads.map(manager.score, ["a horse"] * 20))
    stats = manager.get_pool_stats()
    print(f"PyTorch: {len(scores)} scores, {len(set(scores))} different, by {stats['created']} instances")
    with manager.acquire(destroy_after_use=True) as instance:
        instance.model.train()
    print(f"after destroy_after_use: {manager.get_pool_stats()['total']} left, {stats['memory_private'] / 1e6:.1f} MB before")


def main(settings: Settings | None = None) -> None:
    settings = settings or get_settings()
    manager = LanguageManager(settings)
    texts = ["the dog and the fox", "der hund und der fuchs", "el perro y el zorro"]
    with ThreadPoolExecutor(6) as threads:
        for text, language in zip(texts, threads.map(manager.detect, texts), strict=True):
            print(f"{text!r} is {language}")
    stats = manager.get_pool_stats()
    print(f"{stats['acquires']} leases of {stats['created']} instances, {stats['memory_private'] / 1e3:.0f} kB")
    use_torch(settings)


if __name__ == "__main__":
    main()
