"""A class that code which expects sentence-transformers' ``SentenceTransformer`` accepts. The library isn't needed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remuda.embedding import EmbeddingModelManager
from remuda.settings import get_settings

__all__ = ["SentenceTransformer"]


class SentenceTransformer:
    """``encode``, ``similarity`` and what describes a model, as in sentence-transformers; computed by a manager.

    :param model: a directory, a name in the local Hugging Face cache, or an `EmbeddingModelManager` that is there already.
    :param device: None or "cpu".
    :param truncate_dim: the first numbers of each embedding alone.
    :param similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan".
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | EmbeddingModelManager,
        device: str | None = None,
        *,
        truncate_dim: int | None = None,
        similarity_fn_name: str = "cosine",
    ) -> None:
        if similarity_fn_name not in _SIMILARITIES:
            raise ValueError(f"similarity_fn_name: expected one of {', '.join(_SIMILARITIES)}, found {similarity_fn_name!r}")
        self.manager: EmbeddingModelManager
        if isinstance(model, EmbeddingModelManager):
            self.manager = model
        else:
            settings = get_settings()
            settings.embedding_model = os.fspath(model)
            self.manager = EmbeddingModelManager(settings)
        if device is not None and str(device) != self.manager.get_device():
            raise ValueError(f"device: this model computes on {self.manager.get_device()!r}, found {device!r}")
        self.truncate_dim = truncate_dim
        self.similarity_fn_name = similarity_fn_name

    @property
    def device(self) -> str:
        """Where it computes."""
        return self.manager.get_device()

    @property
    def max_seq_length(self) -> int:
        """Tokens that a text is cut at."""
        length: int = self.manager.info["max_seq_length"]
        return length

    def get_max_seq_length(self) -> int:
        """Tokens that a text is cut at."""
        return self.max_seq_length

    def get_sentence_embedding_dimension(self) -> int:
        """Numbers in an embedding."""
        dimension = self.manager.dimension
        return dimension if self.truncate_dim is None else min(dimension, self.truncate_dim)

    get_embedding_dimension = get_sentence_embedding_dimension

    def encode(self, sentences: Any, *positional: Any, **options: Any) -> Any:
        """As `EmbeddingModelManager.encode`."""
        options.setdefault("truncate_dim", self.truncate_dim)
        return self.manager.encode(sentences, *positional, **options)

    def encode_query(self, sentences: Any, *positional: Any, **options: Any) -> Any:
        """`encode` with the model's prompt "query", where it has one."""
        return self._encode_with(("query",), sentences, positional, options)

    def encode_document(self, sentences: Any, *positional: Any, **options: Any) -> Any:
        """`encode` with the model's prompt "document", "passage" or "corpus", where it has one."""
        return self._encode_with(("document", "passage", "corpus"), sentences, positional, options)

    def _encode_with(self, names: tuple[str, ...], sentences: Any, positional: Any, options: dict[str, Any]) -> Any:
        known = self.manager.info["prompts"]
        given = bool(positional) or options.get("prompt_name") is not None or options.get("prompt") is not None
        found = next((name for name in names if name in known), None)
        if found is not None and not given:
            options["prompt_name"] = found
        return self.encode(sentences, *positional, **options)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How similar each of the first is to each of the second, [n, m]; a PyTorch tensor for PyTorch tensors."""
        scores = _SIMILARITIES[self.similarity_fn_name](_rows(embeddings1), _rows(embeddings2))
        if type(embeddings1).__module__.split(".")[0] == "torch":
            import torch

            return torch.from_numpy(scores)
        return scores

    def __call__(self, sentences: Any) -> Any:
        return self.encode(sentences)

    def __repr__(self) -> str:
        return f"<remuda SentenceTransformer: {self.manager.model_name}>"


def _rows(embeddings: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.asarray(embeddings, dtype=np.float32)
    return array[np.newaxis, :] if array.ndim == 1 else array


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    unit: NDArray[np.float32] = rows / lengths
    return unit


_SIMILARITIES: dict[str, Any] = {
    "cosine": lambda a, b: _unit(a) @ _unit(b).T,
    "dot": lambda a, b: a @ b.T,
    "euclidean": lambda a, b: -np.linalg.norm(a[:, np.newaxis] - b[np.newaxis], axis=2),
    "manhattan": lambda a, b: -np.abs(a[:, np.newaxis] - b[np.newaxis]).sum(axis=2),
}
