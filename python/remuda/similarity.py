"""How similar embeddings are, by the functions that sentence-transformers has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NAMES", "check_name", "pairwise_similarity", "similarity"]

# Below it a length is that of a vector of zeros, as PyTorch's normalize has it.
_LEAST_LENGTH = 1e-12
# Numbers that the differences of a block of rows may have: 64 MiB.
_BLOCK = 1 << 24


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    unit: NDArray[Any] = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), _LEAST_LENGTH)
    return unit


def _distances(a: NDArray[Any], b: NDArray[Any], order: int) -> NDArray[Any]:
    """[n, m], by blocks of the first's rows: all differences at once would be n * m * dimension numbers."""
    result = np.empty((len(a), len(b)), a.dtype)
    step = max(1, _BLOCK // max(1, b.size))
    for start in range(0, len(a), step):
        part = a[start : start + step, np.newaxis] - b[np.newaxis]
        result[start : start + step] = np.linalg.norm(part, ord=order, axis=2)
    return result


_ALL: dict[str, Callable[[Any, Any], Any]] = {
    "cosine": lambda a, b: _unit(a) @ _unit(b).T,
    "dot": lambda a, b: a @ b.T,
    "euclidean": lambda a, b: -_distances(a, b, 2),
    "manhattan": lambda a, b: -_distances(a, b, 1),
}
_PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "cosine": lambda a, b: np.sum(_unit(a) * _unit(b), axis=-1),
    "dot": lambda a, b: np.sum(a * b, axis=-1),
    "euclidean": lambda a, b: -np.linalg.norm(a - b, axis=-1),
    "manhattan": lambda a, b: -np.sum(np.abs(a - b), axis=-1),
}
#: The functions there are.
NAMES = tuple(_ALL)


def check_name(value: Any) -> str:
    """The name of a function, given as that or as an Enum's member. Raises ``ValueError`` for one that is none."""
    name = getattr(value, "value", value)
    if name not in NAMES:
        raise ValueError(f"similarity_fn_name: expected one of {', '.join(NAMES)}, found {value!r}")
    return str(name)


def similarity(name: str, embeddings1: Any, embeddings2: Any) -> Any:
    """How similar each of the first is to each of the second, [n, m]; a PyTorch tensor for PyTorch tensors."""
    a, b = _rows(embeddings1), _rows(embeddings2)
    return _like(embeddings1, embeddings2, _ALL[name](np.atleast_2d(a), np.atleast_2d(b)))


def pairwise_similarity(name: str, embeddings1: Any, embeddings2: Any) -> Any:
    """How similar each of the first is to the one in its place of the second, [n]; a PyTorch tensor for tensors."""
    return _like(embeddings1, embeddings2, np.asarray(_PAIRS[name](_rows(embeddings1), _rows(embeddings2))))


def _is_tensor(value: Any) -> bool:
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return type(first).__module__.split(".")[0] == "torch"


def _rows(embeddings: Any) -> NDArray[Any]:
    """As numbers that sums can be made of: float32, or float64 where they are that."""
    if _is_tensor(embeddings):
        import torch

        tensor = torch.stack(list(embeddings)) if isinstance(embeddings, (list, tuple)) else embeddings
        embeddings = tensor.detach().cpu().to(torch.float64 if tensor.dtype == torch.float64 else torch.float32).numpy()
    array = np.asarray(embeddings)
    return array if array.dtype == np.float64 and not isinstance(embeddings, (list, tuple)) else array.astype(np.float32)


def _like(embeddings1: Any, embeddings2: Any, scores: NDArray[Any]) -> Any:
    if not _is_tensor(embeddings1) and not _is_tensor(embeddings2):
        return scores
    import torch

    return torch.from_numpy(scores)
