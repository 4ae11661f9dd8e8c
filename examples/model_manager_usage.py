"""How managers are used: leases, concurrency, memory, and watching them.   python examples/model_manager_usage.py"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from remuda import EmbeddingModelManager, Settings, get_settings

TEXTS = [
    "Bread rises because yeast ferments sugar.",
    "A remuda is a herd of saddle horses.",
    "The tide follows the moon.",
    "Let the dough rest overnight.",
]


def context_manager(manager: EmbeddingModelManager) -> None:
    """The instance is back in the pool at the end of the block, also after an exception."""
    with manager.acquire(timeout=10.0) as instance:
        vector = manager.embed_text(TEXTS[0], instance)
        print(f"  instance {instance.id}, used {instance.use_count} times, gave {vector.shape[0]} numbers")


def explicit_acquire_and_release(manager: EmbeddingModelManager) -> None:
    """Where a block doesn't fit: what get_instance gives goes to release_instance, exactly once."""
    instance = manager.get_instance(timeout=10.0)
    try:
        manager.embed_text(TEXTS[1], instance)
    finally:
        manager.release_instance(instance)
    try:
        manager.release_instance(instance)
    except ValueError as error:
        print(f"  a second release is an error: {error}")


def no_instance_at_all(manager: EmbeddingModelManager) -> None:
    """Most callers need none: a call leases one for itself."""
    vectors = manager.encode(TEXTS, normalize_embeddings=True)
    likeness = vectors @ vectors[0]
    nearest = max(range(1, len(TEXTS)), key=lambda i: float(likeness[i]))
    print(f"  nearest to {TEXTS[0]!r}: {TEXTS[nearest]!r}, {likeness[nearest]:.2f}")


def concurrency(manager: EmbeddingModelManager) -> None:
    """More threads than instances: the others wait their turn, and a wait has a deadline."""
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(manager.encode, TEXTS * 8))
    print(f"  {len(results)} texts by 8 threads on {manager.get_pool_stats()['created']} instances")
    held = [manager.acquire(label="a long report") for _ in range(manager.get_pool_stats()["max_instances"])]
    try:
        manager.acquire(timeout=0.1)
    except TimeoutError as error:
        print(f"  {error}")
    finally:
        for instance in held:
            instance.release()


def memory(manager: EmbeddingModelManager) -> None:
    """Weights are there once, whatever the number of instances; what is given up is given back."""
    stats = manager.get_pool_stats()
    print(f"  {stats['total']} instances share {stats['memory_shared'] / 1e6:.0f} MB")
    with manager.acquire(destroy_after_use=True):
        pass  # Destroyed when it comes home.
    manager.cleanup(timeout=5.0)
    print(f"  after cleanup: {manager.get_pool_stats()['total']} instances; the next call makes one again")


def monitoring(manager: EmbeddingModelManager, seconds: float = 0.5) -> None:
    """A loop that looks at the statistics while others work."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            manager.encode(TEXTS)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.25)
        stats = manager.get_pool_stats()
        print(
            f"  in use {stats['in_use']} of {stats['max_instances']}, waiting {stats['waiting']}, "
            f"leases {stats['acquires']}, waited {1000 * stats['wait_time']['p90']:.1f} ms (p90)"
        )
    stop.set()
    for worker in workers:
        worker.join()


def main(settings: Settings | None = None) -> None:
    manager = EmbeddingModelManager(settings or get_settings())
    for show in (
        context_manager,
        explicit_acquire_and_release,
        no_instance_at_all,
        concurrency,
        memory,
        monitoring,
    ):
        print(show.__name__.replace("_", " "))
        show(manager)
    manager.close()


if __name__ == "__main__":
    main()
