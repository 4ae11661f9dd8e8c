"""Pools of Python objects, and what everything that leases instances can do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, SupportsIndex, TypeVar, cast

from remuda import _native
from remuda._native import ModelInstance
from remuda._arguments import check_callable, check_count, check_flag, check_str

if TYPE_CHECKING:
    from typing_extensions import Self

    from remuda.aio import AcquireContext

__all__ = ["Leasing", "ModelInstance", "ModelPool", "Priority", "Timeout"]

T = TypeVar("T")
#: Seconds, as any real number, or a timedelta; None: for as long as it takes.
Timeout = float | Fraction | Decimal | timedelta | None
#: Waiters of a higher one go first; within one, first come, first served.
Priority = Literal["interactive", "normal", "bulk"]


# Objects of a pool that says nothing.
_DEFAULT_INSTANCES = 2


class Leasing(Generic[T]):
    """What managers and pools have in common: they lease out instances, each to one caller at a time.

    Everything here may be called from any thread. Every wait lets other threads run, and Ctrl-C ends it.
    """

    _pool: _native.Pool

    def __enter__(self) -> Self:
        """For a ``with`` block, at whose end the pool is closed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the pool."""
        self.close()

    def __copy__(self) -> Self:
        raise _no_copy(self, "copied")

    def __deepcopy__(self, memo: Any) -> Self:
        raise _no_copy(self, "copied")

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise _no_copy(self, "pickled")

    def acquire(
        self,
        timeout: Timeout = None,
        *,
        destroy_after_use: bool = False,
        priority: Priority = "normal",
        label: str = "",
    ) -> ModelInstance[T]:
        """An idle instance, a new one where there is room, or a place in the queue.

        ::

            with manager.acquire(timeout=10.0) as instance:
                ...  # Yours alone; back in the pool at the end, also on an exception.

        :param timeout: seconds for the whole wait.
        :param destroy_after_use: whether the instance is destroyed, and its memory given back, when it is released.
        :param priority: "interactive", "normal" or "bulk".
        :param label: names the holder in reports about leases that are held for long.
        :raises TimeoutError: with a message that says who holds the instances, and for how long.
        :raises PoolClosed: after `close`.
        """
        if timeout is None and not destroy_after_use and priority == "normal" and not label:
            return cast("ModelInstance[T]", self._pool.acquire())
        _check_lease(destroy_after_use, label)
        return cast("ModelInstance[T]", self._pool.acquire(timeout, destroy_after_use, priority, label))

    def try_acquire(self) -> ModelInstance[T] | None:
        """An idle instance or a new one; None where that would mean to wait for another caller."""
        return cast("ModelInstance[T] | None", self._pool.try_acquire())

    def get_instance(self, timeout: Timeout = None) -> ModelInstance[T]:
        """An instance without a ``with`` block: give it to `release_instance`, exactly once."""
        return self.acquire(timeout)

    def release_instance(self, instance: ModelInstance[T]) -> None:
        """Return what `get_instance` gave. Raises ``ValueError`` for one that was returned already or is another's."""
        if instance is None:
            raise TypeError("instance: expected a remuda.ModelInstance, which acquire() gives, found None")
        self._pool.release_instance(instance)

    def aacquire(
        self,
        timeout: Timeout = None,
        *,
        destroy_after_use: bool = False,
        priority: Priority = "normal",
        label: str = "",
    ) -> AcquireContext[T]:
        """`acquire` for asyncio: ``async with manager.aacquire() as instance:`` or ``await manager.aacquire()``.

        The event loop goes on while the task waits; a task that is cancelled leaves the queue.
        """
        from remuda.aio import AcquireContext

        _check_lease(destroy_after_use, label)
        return AcquireContext(self._pool, timeout, destroy_after_use, priority, label)

    def get_pool_stats(self) -> dict[str, Any]:
        """What the pool has done and does, as one consistent snapshot.

        Counts: ``available`` (idle), ``in_use``, ``creating``, ``total``, ``max_instances``, ``waiting``, ``acquires``,
        ``created``, ``destroyed``, ``destroying``, ``expired``, ``evicted``, ``lost``, ``creation_failures``, ``out_of_memory``,
        ``timeouts``, ``cancelled``, ``overloaded``, ``leaks``, ``fallbacks``, ``moved``,
        ``room_waits``; ``by_device``, a dict. Bytes:
        ``memory_shared``, ``memory_private``, ``gpu_memory`` (by GPU that its instances are on, what the process has
        ``allocated`` and ``reserved`` there). Times, as dicts of seconds (``count``, ``mean``, ``p50``, ``p90``, ``p99``, ``max``):
        ``wait_time``, ``use_time``, ``create_time``.
        """
        return self._pool.get_pool_stats()

    def cleanup(self, timeout: Timeout = None) -> bool:
        """Destroy idle instances now, and those on lease when they come home; given a timeout, wait for those.

        Returns whether none is left. The pool makes new instances on demand afterwards.
        """
        return self._pool.cleanup(timeout)

    def close(self) -> None:
        """As `cleanup`, and final: waiters and later calls get `PoolClosed`."""
        self._pool.close()

    def warm_up(self) -> None:
        """Make an instance, where there is none, so that the first request finds it there."""
        self._pool.warm_up()

    def shrink(self, instances: int) -> int:
        """Destroy idle instances until at most so many are left, as far as there are idle ones; returns how many went."""
        check_count("instances", instances, least=0)
        return self._pool.shrink(instances)

    def resize(self, max_instances: int) -> None:
        """Change the bound. Instances beyond a lower one go as they become idle."""
        check_count("max_instances", max_instances)
        self._pool.resize(max_instances)

    def leaks(self) -> list[dict[str, Any]]:
        """The leases held longer than the leak threshold: ``instance_id``, ``thread``, ``label``, ``age`` in seconds."""
        return self._pool.leaks()


def known_bytes(memory: int | Callable[[Any], int]) -> int | None:
    """What is known of an object's memory before there is one; None where it isn't counted."""
    if callable(memory):
        return 0
    return bytes_of(memory, None) or None


def bytes_of(memory: int | Callable[[Any], int], model: Any) -> int:
    """What an object takes."""
    found = memory(model) if callable(memory) else memory
    if isinstance(found, bool) or not isinstance(found, SupportsIndex) or found.__index__() < 0:
        raise ValueError(f"memory_bytes: expected a number of bytes, found {found!r:.80}")
    return found.__index__()


def _check_lease(destroy_after_use: bool, label: str) -> None:
    check_flag("destroy_after_use", destroy_after_use)
    check_str("label", label)


def _no_copy(found: Leasing[Any], what: str) -> TypeError:
    name = type(found).__name__
    return TypeError(
        f"{name}: can't be {what}, since its instances belong to this one in this process; share it, or make a {name} "
        "there, from the same settings"
    )


class ModelPool(Leasing[T]):
    """A bounded pool of any Python objects.

    ::

        pool = ModelPool(lambda: joblib.load("model.joblib"), name="churn", max_instances=2)
        with pool.acquire() as instance:
            instance.model.predict(rows)

    :param factory: makes an object; called without a lock, on the thread of the caller that needs one.
    :param name: names the pool in messages.
    :param max_instances: objects at most; None: 2.
    :param enabled: False: every acquire makes an object, and its release lets go of it. ``max_instances`` bounds nothing
        then: as many objects are alive as callers hold. Given with a ``max_instances``, that is warned about.
    :param unload: given an object that the pool lets go of.
    :param check: given an object that comes home; False, or an exception, and it is not pooled again.
    :param leak_threshold: seconds after which a lease is reported as forgotten.
    :param idle_ttl: seconds after which an object that nobody used goes; ``max_lifetime``: after which it goes anyway.
    :param max_uses: leases after which an object goes.
    :param min_idle: objects to have ready, as far as there is room.
    :param max_waiting: callers that may wait; one more gets `Overloaded`.
    :param memory_bytes: bytes of main memory that an object takes, as `AbstractModelManager.memory_bytes`.
    """

    def __init__(
        self,
        factory: Callable[[], T],
        *,
        name: str = "pool",
        max_instances: int | None = None,
        enabled: bool = True,
        unload: Callable[[T], object] | None = None,
        check: Callable[[T], bool] | None = None,
        leak_threshold: Timeout = 300.0,
        idle_ttl: Timeout = None,
        max_lifetime: Timeout = None,
        max_uses: int | None = None,
        min_idle: int = 0,
        max_waiting: int | None = None,
        memory_bytes: int | Callable[[T], int] = 0,
    ) -> None:
        if not callable(factory):
            raise TypeError(f"factory: expected a function that makes an object, found {factory!r:.80}")
        check_str("name", name)
        check_count("max_instances", max_instances, optional=True)
        check_flag("enabled", enabled)
        if not enabled and max_instances is not None:
            warnings.warn(
                f"ModelPool {name!r}: it is not enabled, so max_instances bounds nothing: every acquire makes an object of its "
                "own; bound the callers, or enable it",
                stacklevel=2,
            )
        check_callable("unload", unload)
        check_callable("check", check)

        def load() -> tuple[T, None, int]:
            made = factory()
            return made, None, bytes_of(memory_bytes, made)

        self._pool = _native.ObjectPool(
            load=load,
            unload=None if unload is None else lambda model, tokenizer: unload(model),
            check=None if check is None else lambda model, tokenizer: check(model),
            owner=None,
            name=name,
            model_type="object",
            device="python",
            max_instances=_DEFAULT_INSTANCES if max_instances is None else max_instances,
            enabled=enabled,
            limits={
                "leak_threshold": leak_threshold,
                "idle_ttl": idle_ttl,
                "max_lifetime": max_lifetime,
                "max_uses": max_uses,
                "min_idle": min_idle,
                "max_waiting": max_waiting,
            },
            memory_bytes=known_bytes(memory_bytes),
        )

    def __repr__(self) -> str:
        stats = self.get_pool_stats()
        return f"<remuda.ModelPool {stats['name']!r}: {stats['in_use']} of {stats['max_instances']} in use>"
