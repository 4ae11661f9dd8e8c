"""asyncio: the loop goes on, cancellation is honoured, nothing is lost."""

import asyncio
import resource
import time

import numpy as np
import pytest
from conftest import calls_that_wait

import remuda
from remuda import ModelPool


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it didn't happen"
        await asyncio.sleep(0.001)


def test_an_instance_for_a_block():
    pool = ModelPool(list, max_instances=1)

    async def main():
        async with pool.aacquire(timeout=10) as instance:
            assert instance.model == []
            assert pool.get_pool_stats()["in_use"] == 1
        assert pool.get_pool_stats()["in_use"] == 0
        awaited = await pool.aacquire()
        awaited.release()

    run(main())


def test_the_loop_goes_on_while_a_task_waits():
    pool = ModelPool(list, max_instances=1)

    async def main():
        held = await pool.aacquire()
        waiting = asyncio.ensure_future(pool.aacquire()._acquire())
        ticks = 0
        while not pool.get_pool_stats()["waiting"]:
            ticks += 1
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        held.release()
        (await waiting).release()
        assert ticks > 0

    run(main())


def test_a_cancelled_wait_leaves_the_queue():
    pool = ModelPool(list, max_instances=1)

    async def main():
        held = await pool.aacquire()

        async def wait():
            async with pool.aacquire():
                pytest.fail("got it")

        task = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        end = time.monotonic() + 10
        while pool.get_pool_stats()["waiting"] and time.monotonic() < end:
            await asyncio.sleep(0.005)
        assert pool.get_pool_stats()["waiting"] == 0
        held.release()

    run(main())
    assert pool.get_pool_stats()["available"] == 1


def test_waits_that_are_cancelled_at_any_moment_lose_no_instance():
    pool = ModelPool(list, max_instances=2)

    async def use(delay):
        async with pool.aacquire():
            await asyncio.sleep(delay)

    async def main():
        tasks = [asyncio.create_task(use(0.001 * (i % 3))) for i in range(60)]
        for i, task in enumerate(tasks):
            if i % 2:
                asyncio.get_running_loop().call_later(0.0007 * i, task.cancel)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in done)

    run(main())
    end = time.monotonic() + 10
    while pool.get_pool_stats()["in_use"] and time.monotonic() < end:
        time.sleep(0.005)
    stats = pool.get_pool_stats()
    assert (stats["in_use"], stats["waiting"]) == (0, 0)


def test_a_timeout():
    pool = ModelPool(list, max_instances=1)

    async def main():
        async with pool.aacquire():
            with pytest.raises(TimeoutError):
                await pool.aacquire(timeout=0.02)

    run(main())
    with pytest.raises(ValueError, match="timeout"):
        pool.aacquire(timeout=float("nan"))
    with pytest.raises(TypeError, match="timeout"):
        pool.aacquire(timeout="1")


def test_embeddings(embedder):
    async def main():
        one, many = await asyncio.gather(embedder.aembed("a horse"), embedder.aembed(["a horse", "b"]))
        async with embedder.aacquire() as instance:
            leased = await embedder.aembed("a horse", instance)
        return one, many, leased

    one, many, leased = run(main())
    expected = embedder.embed_text("a horse")
    for found in (one, many[0], leased):
        assert np.array_equal(found, expected)
    assert embedder.get_pool_stats()["in_use"] == 0


def test_calls_without_an_instance_are_computed_together():
    settings = remuda.get_settings()
    settings.model_pool_max_instances = 1
    manager = remuda.EmbeddingModelManager(settings)
    texts = [f"horse number {i}" for i in range(16)]

    async def main():
        async with manager.aacquire() as held:
            alone = [await manager.aembed(text, held) for text in texts]
            tasks = [asyncio.create_task(manager.aembed(text)) for text in texts]
            await until(lambda: calls_that_wait(manager.embed_text) == len(texts))
            assert manager.get_pool_stats()["waiting"] == 1
            acquires = manager.get_pool_stats()["acquires"]
        assert [row.tobytes() for row in await asyncio.gather(*tasks)] == [row.tobytes() for row in alone]
        assert manager.get_pool_stats()["acquires"] == acquires + 1

    run(main())


def test_tasks_that_wait_cost_nothing():
    settings = remuda.get_settings()
    settings.model_pool_max_instances = 1
    manager = remuda.EmbeddingModelManager(settings)

    def switches():
        return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw

    async def main():
        async with manager.aacquire():
            tasks = [asyncio.create_task(manager.aembed(f"horse {i}")) for i in range(32)]
            tasks += [asyncio.create_task(manager.aacquire()._acquire()) for _ in range(32)]
            await until(lambda: calls_that_wait(manager.embed_text) == 32)
            await until(lambda: manager.get_pool_stats()["waiting"] == 33)
            before = switches()
            await asyncio.sleep(0.5)
            assert switches() - before < 500  # A look every 10 ms would make 50 a task.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: manager.get_pool_stats()["waiting"] == 0)

    run(main())


def test_a_cancelled_call_leaves_the_others():
    settings = remuda.get_settings()
    settings.model_pool_max_instances = 1
    manager = remuda.EmbeddingModelManager(settings)

    async def main():
        async with manager.aacquire():
            tasks = [asyncio.create_task(manager.aembed(f"horse {i}")) for i in range(8)]
            await until(lambda: calls_that_wait(manager.embed_text) == len(tasks))
            for task in tasks[::2]:
                task.cancel()
            await until(lambda: calls_that_wait(manager.embed_text) == len(tasks) // 2)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for i, result in enumerate(results):
            if i % 2:
                assert result.tobytes() == manager.embed_text(f"horse {i}").tobytes()
            else:
                assert isinstance(result, asyncio.CancelledError)

    run(main())
    assert manager.get_pool_stats()["in_use"] == 0


def test_more_tasks_than_threads_and_instances(embedder):
    """Those who wait for an instance don't keep those who have one from computing."""

    async def use(i):
        async with embedder.aacquire() as instance:
            await asyncio.sleep(0)
            return await embedder.aembed(f"horse {i}", instance)

    async def main():
        return await asyncio.gather(*(use(i) for i in range(100)), *(embedder.aembed(f"horse {i}") for i in range(100)))

    results = run(main())
    assert np.array_equal(results[7], results[107])
    assert embedder.get_pool_stats()["in_use"] == 0


def test_a_cancelled_computation_ends(embedder):
    texts = ["a horse is a horse, of course, of course " * 20] * 2000

    async def main():
        task = asyncio.create_task(embedder.aembed(texts))
        while not embedder.get_pool_stats()["in_use"]:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        end = time.monotonic() + 10
        while embedder.get_pool_stats()["in_use"] and time.monotonic() < end:
            await asyncio.sleep(0.005)
        assert embedder.get_pool_stats()["in_use"] == 0

    run(main())


def test_summaries(summarizer):
    async def main():
        return await summarizer.asummarize("a horse"), await summarizer.asummarize(["a horse", ""], num_beams=1)

    one, many = run(main())
    assert one == summarizer.summarize_text("a horse")
    assert many == summarizer.summarize_texts(["a horse", ""], num_beams=1)


def test_errors_reach_the_task(embedder):
    async def main():
        with pytest.raises(ValueError, match="max_length"):
            await embedder.aembed("a", max_length=1)
        with pytest.raises(TypeError, match="expected a str"):
            await embedder.aembed([1])

    run(main())
    closed = ModelPool(list)
    closed.close()

    async def acquire():
        with pytest.raises(remuda.PoolClosed):
            await closed.aacquire()

    run(acquire())


def test_one_context_is_for_one_task():
    """Entered by two, one would release the other's instance."""
    pool = remuda.ModelPool(list, max_instances=3)

    async def run():
        lease = pool.aacquire()

        async def use():
            async with lease as instance:
                await asyncio.sleep(0.05)
                assert instance.is_leased
                return "used"

        return await asyncio.gather(use(), use(), return_exceptions=True), await asyncio.gather(
            lease.__aenter__(), return_exceptions=True
        )

    first, again = asyncio.run(run())
    assert sorted(map(str, first))[1] == "used" and any(isinstance(found, RuntimeError) for found in first)
    assert isinstance(again[0], RuntimeError) and "aacquire()" in str(again[0])
    assert pool.get_pool_stats()["in_use"] == 0
