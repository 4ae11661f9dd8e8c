"""What the managers of native models have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from remuda import _native
from remuda.pool import Leasing
from remuda.settings import native_settings

__all__ = ["NativeManager"]

T = TypeVar("T")
P = TypeVar("P", _native.EmbeddingPool, _native.SummarizationPool)


class NativeManager(Leasing[T], Generic[T, P]):
    """A pool of native models of one kind, and what is known of the model from its files."""

    #: The kind of model: "embedding", "summarization".
    model_type = ""

    def __init__(self, settings: Any, make: Callable[[dict[str, Any]], P]) -> None:
        self.settings = settings
        self._native: P = make(native_settings(settings))
        self._pool = self._native

    @property
    def model_name(self) -> str:
        """The model's name, as it was asked for."""
        name: str = self.info["name"]
        return name

    @property
    def info(self) -> dict[str, Any]:
        """What the model is, known from its files: parameters, layers, dimension or window, ..."""
        return self._native.info

    @property
    def precision(self) -> str:
        """The number format of the weights: "fp32", "bf16" or "int8"."""
        return self._native.precision

    def get_device(self) -> str:
        """Where instances compute."""
        return self._native.device

    def __repr__(self) -> str:
        return f"<remuda.{type(self).__name__}: {self.model_name}, {self.precision} on {self.get_device()}>"


def check_text(text: object) -> None:
    """Raises where it is no text."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected a str, found {text!r:.80} ({type(text).__name__})")


def list_of_texts(texts: Iterable[str], for_one: str) -> list[str]:
    """The texts, in a list of the call's own; ``for_one`` names the method that takes a text alone."""
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"texts: expected a list of str, found one {type(texts).__name__}; for one text use {for_one}")
    try:
        return list(texts)
    except TypeError:
        raise TypeError(f"texts: expected a list of str, found {texts!r:.80} ({type(texts).__name__})") from None
