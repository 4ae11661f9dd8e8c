"""What GPUs there are and how much of their memory is taken."""

from __future__ import annotations

from typing import TypedDict

from remuda import _native
from remuda._arguments import check_count

__all__ = ["GpuMemory", "estimate_memory", "gpu_memory"]


class GpuMemory(TypedDict):
    """A GPU and its memory, in bytes."""

    device: str
    """Its id, ``"cuda:0"``."""
    name: str
    total: int
    free: int
    """What this process could still take, as the driver says it now: what others take is seen."""
    allocated: int
    """What models of this process have: weights, and what they compute with."""
    reserved: int
    """That, and what the process keeps of the driver's memory for the next computation; ``cleanup()`` gives it back."""
    problem: str | None
    """Why the GPU can't be used; ``None``: it can."""


def gpu_memory() -> list[GpuMemory]:
    """The GPUs of this machine and their memory, as they are now; empty where there are none.

    The first call in a process starts the driver, which can take seconds and is of no use in forks of the process
    afterwards: a server that forks its workers asks in them alone.
    """
    return _native.gpu_memory()


def estimate_memory(
    model: str, *, precision: str = "auto", device: str = "cpu", max_batch_tokens: int | None = None
) -> dict[str, int]:
    """What a model takes of a device's memory, in bytes, known from its files before anything is loaded.

    ``weights`` is taken once for all instances, ``workspace`` by each while it computes a batch, of summaries with its
    documents, ``loading`` beside the weights while they are loaded. ``document`` is what one takes that fills a
    summarization model's window and is decoded as the model's files say, ``sequence`` of that the cache of one sequence
    (beam); 0 for embeddings.

    :param max_batch_tokens: of the batch; None: as many as a call has on that device that doesn't say how many, memory
        allowing.
    """
    check_count("max_batch_tokens", max_batch_tokens, least=1, optional=True)
    return _native.estimate_memory(model, precision, device, max_batch_tokens)
