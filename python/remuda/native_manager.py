"""What the managers of native models have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, MappingView, Set
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from remuda import _native
from remuda._arguments import show
from remuda.pool import Leasing, ModelInstance
from remuda.settings import native_settings

if TYPE_CHECKING:
    from remuda.tokenizer import Tokenizer

__all__ = ["NativeManager"]

T = TypeVar("T")
P = TypeVar("P", _native.EmbeddingPool, _native.SummarizationPool)


class NativeManager(Leasing[T], Generic[T, P]):
    """A pool of native models of one kind, and what is known of the model from its files."""

    #: The kind of model: "embedding", "summarization".
    model_type = ""

    def _start(self, settings: Any, read_from: Any, make: Callable[[dict[str, Any]], P]) -> None:
        """What constructors do: ``settings`` is the caller's, ``read_from`` what stands for it."""
        self.settings = settings
        self._native: P = make(native_settings(read_from))
        self._pool = self._native
        self._tokenizer: Tokenizer | None = None
        self._tokenizer_lock = threading.Lock()

    @property
    def model_name(self) -> str:
        """The model's name, as it was asked for."""
        name: str = self._native.info["name"]
        return name

    @property
    def info(self) -> dict[str, Any]:
        """What `remuda inspect --json` says: parameters, layers, dimension or window, what it costs in memory here, ..."""
        return {**self._native.info, **self._native.costs}

    @property
    def precision(self) -> str:
        """The number format of the weights: "fp32", "bf16" or "int8"."""
        return self._native.precision

    @property
    def max_seq_length(self) -> int:
        """Tokens that a text is cut at."""
        raise NotImplementedError

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer; read from its files when it is first needed."""
        with self._tokenizer_lock:
            if self._tokenizer is None:
                self._tokenizer = self._make_tokenizer()
            return self._tokenizer

    def _make_tokenizer(self) -> Tokenizer:
        from remuda.tokenizer import Tokenizer

        return Tokenizer(self._native.info["directory"], self.max_seq_length)

    def tokenize(self, texts: str | Iterable[str]) -> dict[str, Any]:
        """Token ids as the model reads them: ``input_ids`` and ``attention_mask``, int64 [texts, tokens of the longest].

        Cut at `max_seq_length`, special tokens included; shorter texts are padded, where the mask is 0.
        """
        listed = [texts] if isinstance(texts, str) else list_of_texts(texts, "tokenize")
        return self.tokenizer(listed, max_length=self.max_seq_length)

    def get_device(self) -> str:
        """Where instances compute."""
        return self._native.device

    def __repr__(self) -> str:
        return f"<remuda.{type(self).__name__}: {self.model_name}, {self.precision} on {self.get_device()}>"


def check_text(text: object) -> None:
    """Raises where it is no text."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected a str, found {show(text)}{_advice(text)}")


def check_no_instance(name: str, value: object, call: str) -> None:
    """Raises where an argument is an instance that the caller gave by position."""
    if isinstance(value, ModelInstance):
        raise TypeError(f"{name}: found a ModelInstance; give it by name, {call}(texts, instance=instance)")


def list_of_texts(texts: Any, for_one: str) -> list[str]:
    """The texts, in a list of the call's own; ``for_one`` names the method that takes a text alone.

    Refuses what has no order, or would give its keys or column names for texts.
    """
    if isinstance(texts, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"texts: expected a list of str, found one {type(texts).__name__}; for one text use {for_one}")
    advice = _advice(texts)
    if advice:
        raise TypeError(f"texts: expected a list of str, found {show(texts)}{advice}")
    try:
        return list(texts)
    except TypeError:
        raise TypeError(f"texts: expected a list of str, found {show(texts)}") from None


def _advice(found: Any) -> str:
    """What to do with a collection that isn't one of texts; empty for others."""
    kind = type(found)
    if isinstance(found, Mapping) or (callable(getattr(kind, "keys", None)) and callable(getattr(kind, "values", None))):
        return "; its keys would be embedded: give list(texts.values()), or the texts that are meant"
    if hasattr(found, "columns"):
        return "; its column names would be embedded: give one column, table[name].tolist()"
    if isinstance(found, Set) and not isinstance(found, MappingView):  # A dict's view is a set with an order.
        return "; a set has no order, so results would belong to no text: give sorted(texts)"
    return ""
