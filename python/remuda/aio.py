"""asyncio's side of pools. Imported when it is first needed, so that programs without asyncio don't load it.

Waiting and computing have threads of their own kind. One that waits for an instance needs nobody else's thread to be
served: those who hold instances compute on the other threads, which never wait for one. So neither can starve the other.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from remuda import _native
from remuda._native import ModelInstance
from remuda._arguments import show
from remuda.pool import Priority, Timeout

__all__ = ["AcquireContext"]

T = TypeVar("T")
R = TypeVar("R")

# Waiters beyond this wait for a thread first; threads are made as they are needed.
_MOST_WAITERS = 256

_lock = threading.Lock()
_executors: dict[str, ThreadPoolExecutor] = {}


def _executor(kind: str, threads: int) -> ThreadPoolExecutor:
    with _lock:
        if kind not in _executors:
            _executors[kind] = ThreadPoolExecutor(threads, thread_name_prefix=f"remuda-{kind}")
        return _executors[kind]


def _forget_executors() -> None:
    """A child of a fork has none of the threads."""
    global _lock
    _lock = threading.Lock()
    _executors.clear()


os.register_at_fork(after_in_child=_forget_executors)


async def _run(
    executor: ThreadPoolExecutor,
    work: Callable[[_native.CancelToken], R],
    *,
    abandon: Callable[[R], object] = lambda result: None,
    never_began: Callable[[], object] = lambda: None,
) -> R:
    """What ``work`` returns. When the task is cancelled the work is told so.

    Then a result that comes too late is given to ``abandon``, and work that had no thread yet ends in ``never_began``.
    """
    token = _native.CancelToken()
    future: Future[R] = executor.submit(work, token)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        token.cancel()

        def settle(done: Future[R]) -> None:
            if done.cancelled():
                never_began()
            elif done.exception() is None:
                abandon(done.result())

        future.add_done_callback(settle)
        raise


def _deadline(timeout: Timeout) -> float | None:
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"timeout: expected seconds, found {show(timeout)}")
    if not 0 <= seconds <= sys.float_info.max and seconds != float("inf"):  # Not NaN, either, nor what no float holds.
        raise ValueError(f"timeout: expected seconds, at least 0, found {show(timeout)}")
    return time.monotonic() + seconds


class AcquireContext(Generic[T]):
    """What `Leasing.aacquire` returns: to be awaited, or entered with ``async with``."""

    def __init__(
        self, pool: _native.Pool, timeout: Timeout, destroy_after_use: bool, priority: Priority, label: str
    ) -> None:
        self._pool = pool
        self._deadline = _deadline(timeout)
        self._options = (destroy_after_use, priority, label)
        self._instance: ModelInstance[T] | None = None

    async def _acquire(self) -> ModelInstance[T]:
        def work(token: _native.CancelToken) -> ModelInstance[T]:
            left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            return cast("ModelInstance[T]", self._pool.acquire(left, *self._options, token))

        def give_back(instance: ModelInstance[T]) -> None:
            instance.release()

        return await _run(_executor("wait", _MOST_WAITERS), work, abandon=give_back)

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


async def on_instance(
    pool: _native.Pool,
    instance: ModelInstance[Any] | None,
    timeout: Timeout,
    work: Callable[[ModelInstance[Any], _native.CancelToken], R],
) -> R:
    """What ``work`` makes with an instance: the one that is given, or one that is leased for it."""
    executor = _executor("compute", min(32, (os.cpu_count() or 1) + 4))
    if instance is not None:
        return await _run(executor, lambda token: work(instance, token))
    leased: ModelInstance[Any] = await AcquireContext(pool, timeout, False, "normal", "")

    def run(token: _native.CancelToken) -> R:
        # Released on the thread that computes: a cancelled task is gone before its work has ended.
        with leased:
            return work(leased, token)

    return await _run(executor, run, never_began=leased.release)
