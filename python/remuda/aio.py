"""asyncio's side of pools. Imported when it is first needed, so that programs without asyncio don't load it.

Threads are of three kinds, so that none can starve another: those that wait to lease an instance; those that compute on
one that is leased already, and so never wait; and calls without an instance, which are computed together.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from remuda import _native
from remuda._native import ModelInstance
from remuda._arguments import seconds
from remuda.pool import Priority, Timeout

__all__ = ["AcquireContext"]

T = TypeVar("T")
R = TypeVar("R")

# Of each kind, at most; who comes then waits for a thread first. Threads are made as they are needed.
_THREADS = {"wait": 256, "call": 64, "compute": min(32, (os.cpu_count() or 1) + 4)}

_lock = threading.Lock()
_executors: dict[str, ThreadPoolExecutor] = {}


def _executor(kind: str) -> ThreadPoolExecutor:
    with _lock:
        if kind not in _executors:
            _executors[kind] = ThreadPoolExecutor(_THREADS[kind], thread_name_prefix=f"remuda-{kind}")
        return _executors[kind]


def _forget_executors() -> None:
    """A child of a fork has none of the threads."""
    global _lock
    _lock = threading.Lock()
    _executors.clear()


os.register_at_fork(after_in_child=_forget_executors)


async def _run(
    kind: str,
    work: Callable[[_native.CancelToken], R],
    abandon: Callable[[R], object] = lambda result: None,
) -> R:
    """What ``work`` returns. A cancelled task tells the work so; a result that comes then goes to ``abandon``."""
    token = _native.CancelToken()
    future: Future[R] = _executor(kind).submit(work, token)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        token.cancel()

        def settle(done: Future[R]) -> None:
            if not done.cancelled() and done.exception() is None:
                abandon(done.result())

        future.add_done_callback(settle)
        raise


def _deadline(timeout: Timeout) -> float | None:
    if timeout is None:
        return None
    _native.check_timeout(timeout)
    return time.monotonic() + seconds("timeout", timeout)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class AcquireContext(Generic[T]):
    """What `Leasing.aacquire` returns: to be awaited, or entered with ``async with``, once.

    Each task calls `Leasing.aacquire` for itself. A second use raises ``RuntimeError``.
    """

    def __init__(
        self, pool: _native.Pool, timeout: Timeout, destroy_after_use: bool, priority: Priority, label: str
    ) -> None:
        self._pool = pool
        self._deadline = _deadline(timeout)
        self._options = (destroy_after_use, priority, label)
        self._instance: ModelInstance[T] | None = None
        self._used = False

    async def _acquire(self) -> ModelInstance[T]:
        if self._used:
            raise RuntimeError(
                "aacquire(): expected one task that awaits or enters this, found a second use; "
                "call aacquire() for each task and each lease"
            )
        self._used = True

        def work(token: _native.CancelToken) -> ModelInstance[T]:
            return cast("ModelInstance[T]", self._pool.acquire(_left(self._deadline), *self._options, token))

        def give_back(instance: ModelInstance[T]) -> None:
            instance.release()

        return await _run("wait", work, give_back)

    def __await__(self) -> Generator[Any, None, ModelInstance[T]]:
        return self._acquire().__await__()

    async def __aenter__(self) -> ModelInstance[T]:
        self._instance = await self._acquire()
        return self._instance

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        instance, self._instance = self._instance, None
        if instance is not None and instance.is_leased:
            instance.release()


async def call(
    instance: ModelInstance[Any] | None,
    timeout: Timeout,
    work: Callable[[float | None, _native.CancelToken], R],
) -> R:
    """What ``work`` makes, given the seconds that are left: on an instance, or without one, joined with other calls."""
    deadline = _deadline(timeout)
    return await _run("call" if instance is None else "compute", lambda token: work(_left(deadline), token))
