"""Models of other libraries in remuda's pools, and a mock of one: each is used as its own documentation says."""

import gc
import threading
import time
import weakref
from unittest import mock

import pytest
from conftest import settings, until

import remuda
from remuda import AbstractModelManager


class TorchModels(AbstractModelManager):
    """A network of PyTorch's."""

    model_name = "test/torch"
    model_type = "classification"

    def _load_model(self):
        import torch

        layers = [torch.nn.Embedding(128, 16), torch.nn.Flatten(), torch.nn.Linear(8 * 16, 2)]
        model = torch.nn.Sequential(*layers).eval()
        draw = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for weights in model.parameters():
                weights.normal_(generator=draw)
        return model

    def _load_tokenizer(self):
        return lambda text: [ord(c) % 128 for c in text.ljust(8)[:8]]

    def _unload_model(self, model):
        model.to("meta")  # Gives its memory back, whoever still refers to it.

    def memory_bytes(self, model):
        return sum(p.numel() * p.element_size() for p in model.parameters())

    def predict(self, text, instance=None):
        if instance is None:
            with self.acquire(timeout=30) as leased:
                return self.predict(text, leased)
        import torch

        with torch.inference_mode():
            return instance.model(torch.tensor([instance.tokenizer(text)])).softmax(-1)[0].tolist()


class SklearnModels(AbstractModelManager):
    """A pipeline of scikit-learn's, trained where others would read a file."""

    model_name = "test/sklearn"
    model_type = "classification"
    memory_bytes = 4096

    def _load_model(self):
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        texts = ["bread and yeast", "dough in the oven", "horses in a herd", "a saddle for the horse"]
        return make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [0, 0, 1, 1])

    def _load_tokenizer(self):
        return None

    def predict(self, text, instance=None):
        if instance is None:
            with self.acquire(timeout=30) as leased:
                return self.predict(text, leased)
        return instance.model.predict_proba([text])[0].tolist()


class MockModels(AbstractModelManager):
    """What a test of one's own service would put there."""

    model_name = "test/mock"
    model_type = "classification"
    memory_bytes = 100

    def _load_model(self):
        model = mock.Mock(name="model")
        model.predict.side_effect = lambda text: [len(text) % 2, 1 - len(text) % 2]
        return model

    def _load_tokenizer(self):
        return mock.Mock(name="tokenizer")

    def predict(self, text, instance=None):
        if instance is None:
            with self.acquire(timeout=30) as leased:
                return self.predict(text, leased)
        return instance.model.predict(text)


@pytest.fixture(params=[TorchModels, SklearnModels, MockModels])
def kind(request):
    if request.param is TorchModels:
        pytest.importorskip("torch")
    if request.param is SklearnModels:
        pytest.importorskip("sklearn")
    return request.param


def test_many_threads_share_a_few(kind):
    manager = kind(settings())
    texts = [f"a horse, number {i}" for i in range(40)]
    expected = [manager.predict(text) for text in texts]
    found = {}
    threads = [
        threading.Thread(target=lambda part=part: found.update({i: manager.predict(texts[i]) for i in part}))
        for part in (range(start, 40, 8) for start in range(8))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(40)] == expected
    stats = manager.get_pool_stats()
    assert (stats["acquires"], stats["in_use"], stats["waiting"]) == (80, 0, 0)
    assert 1 <= stats["created"] == stats["total"] <= 2
    assert stats["memory_private"] == sum(instance_bytes(manager, stats["total"]))
    assert stats["create_time"]["count"] == stats["created"]


def instance_bytes(manager, count):
    held = [manager.acquire() for _ in range(count)]
    sizes = [instance.private_bytes for instance in held]
    for instance in held:
        instance.release()
    assert all(sizes)
    return sizes


def test_a_deadline_and_turns(kind):
    manager = kind(settings(model_pool_max_instances=1))
    served = []

    def work(number):
        with manager.acquire(timeout=30) as instance:
            manager.predict("a horse", instance)
            served.append(number)

    with manager.acquire(label="nightly"):
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="nightly"):
            manager.predict("a horse", manager.acquire(timeout=0.03))
        assert time.monotonic() - start < 5
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            until(lambda: manager.get_pool_stats()["waiting"] == len(threads))
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3, 4]


def test_destroyed_after_use_and_by_cleanup(kind):
    manager = kind(settings())
    with manager.acquire(destroy_after_use=True) as instance:
        model = weakref.ref(instance.model)
    del instance
    gc.collect()  # Some models are cycles.
    assert model() is None
    manager.predict("a horse")
    assert manager.cleanup() is True
    assert manager.get_pool_stats()["destroyed"] == 2
    manager.predict("a horse")
    manager.close()
    with pytest.raises(remuda.PoolClosed):
        manager.predict("a horse")


def test_an_idle_one_goes_by_itself(kind):
    manager = kind(settings(idle_ttl=0.05))
    manager.predict("a horse")
    with manager.acquire() as instance:
        model = weakref.ref(instance.model)
    del instance
    until(lambda: manager.get_pool_stats()["expired"] == 1)
    until(lambda: gc.collect() >= 0 and model() is None)
    assert manager.get_pool_stats()["total"] == 0
    manager.predict("a horse")


def test_a_cycle_through_the_manager_is_collected(kind):
    class Cyclic(kind):
        def _load_model(self):
            model = super()._load_model()
            model.manager_of_it = [self]  # A list: torch looks into attributes of its own kinds.
            return model

    manager = Cyclic(settings())
    manager.predict("a horse")
    with manager.acquire() as instance:
        model = weakref.ref(instance.model)
    gone = weakref.ref(manager)
    del manager, instance
    gc.collect()
    assert gone() is None
    assert model() is None


def test_a_loader_that_raises_or_needs_another_manager(kind):
    first = kind(settings(model_pool_max_instances=1))

    class Second(kind):
        fails = True

        def _load_model(self):
            if self.fails:
                raise LookupError("no such weights")
            first.predict("a horse")  # Leases, uses, gives back.
            return super()._load_model()

    second = Second(settings())
    with pytest.raises(LookupError, match="no such weights"):
        second.predict("a horse")
    assert second.get_pool_stats()["total"] == 0
    second.fails = False
    assert second.predict("a horse") == first.predict("a horse")


def test_an_exit_with_leases_out_is_silent(kind, python):
    ran = python(f"""
        import sys
        sys.path.insert(0, "tests/python")
        from test_foreign_models import {kind.__name__}, settings
        manager = {kind.__name__}(settings())
        held = manager.acquire()
        manager.predict("a horse", held)
        manager.predict("a horse")
        """)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


BUDGET = """
    import sys, threading, time, types
    sys.path.insert(0, "tests/python")
    from test_foreign_models import settings
    import remuda

    class Big(remuda.AbstractModelManager):
        model_name, model_type = "test/big", "test"
        memory_bytes = 40 << 20
        def __init__(self, **changes):
            self.loaded, self.unloaded = 0, 0
            super().__init__(settings(memory_limit="100MiB", **changes))
        def _load_model(self):
            self.loaded += 1
            return bytearray(1)
        def _load_tokenizer(self): return None
        def _unload_model(self, model): self.unloaded += 1

    def refused(call, error):
        try:
            call()
        except error as caught:
            return str(caught)
        sys.exit("not refused")
"""


def test_the_memory_limit_holds_for_python_objects(python):
    ran = python(
        BUDGET
        + """
    manager = Big(model_pool_max_instances=3)
    first, second = manager.acquire(), manager.acquire()
    refused(lambda: manager.acquire(timeout=0.1), TimeoutError)  # There is room for two.
    assert manager.loaded == 2
    first.release()
    manager.acquire(timeout=0.1).release()
    second.release()

    time.sleep(0.1)  # What was used a moment ago stays.
    other = Big()
    with other.acquire(timeout=10):
        assert manager.get_pool_stats()["evicted"] == manager.unloaded == 1
    manager.close(), other.close()
    assert (manager.unloaded, other.unloaded) == (manager.loaded, other.loaded) == (2, 1)

    class Huge(Big): memory_bytes = 200 << 20
    huge = Huge()
    message = refused(lambda: huge.acquire(), MemoryError)
    assert "test/big: needs 209715200 bytes" in message, message
    assert huge.loaded == 0  # There is no room for it, whoever goes.

    class Measured(Big):
        def memory_bytes(self, model): return 70 << 20
    measured = Measured()
    with measured.acquire():
        refused(lambda: Big().acquire(timeout=0.1), (TimeoutError, MemoryError))
    measured.close()
    Big().acquire(timeout=1).release()
    """
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_python_objects_make_room_for_native_models(python):
    """While Python threads use the interpreter: an eviction on a native load's way needs it."""
    ran = python(
        BUDGET
        + """
    manager = Big(model_pool_max_instances=2)
    with manager.acquire(), manager.acquire(): pass
    stop = threading.Event()
    threads = [threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)]) for _ in range(2)]
    for thread in threads: thread.start()
    time.sleep(0.1)
    embedder = remuda.EmbeddingModelManager(settings(memory_limit="100MiB", precision="int8"))
    assert embedder.encode(["a horse"]).shape == (1, 384)
    assert manager.unloaded >= 1
    stop.set()
    for thread in threads: thread.join()
    """
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_an_eviction_may_end_its_manager_and_use_others(python):
    ran = python(
        BUDGET
        + """
    import gc, weakref
    gc.disable()

    class Model: pass

    class Cyclic(Big):
        def _load_model(self):
            model = Model()
            model.manager = self
            return model
        def _unload_model(self, model): pass

    manager = Cyclic(model_pool_max_instances=1)
    manager.acquire().release()
    gone = weakref.ref(manager)
    del manager
    time.sleep(0.1)
    held = [Big(model_pool_max_instances=1) for _ in range(2)]
    for other in held: other.acquire().release()
    assert gone() is None  # With its model, which was the last to refer to it.

    class Helped(Big):
        def _unload_model(self, model):
            held[0].acquire(timeout=5).release()  # While the second one's load waits for the room.
            held[0].cleanup()
    for other in held: other.cleanup()
    helped = Helped(model_pool_max_instances=1)
    helped.acquire().release()
    held[0].acquire().release()
    time.sleep(0.1)
    held[1].acquire(timeout=5).release()
    """
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("bad", [-1, 1.5, "1 GB", True, None])
def test_memory_that_is_no_number_of_bytes(bad):
    class Wrong(MockModels):
        memory_bytes = bad

    with pytest.raises(ValueError, match="memory_bytes: expected a number of bytes"):
        Wrong(settings())
    pool = remuda.ModelPool(list, memory_bytes=lambda model: bad)
    with pytest.raises(ValueError, match="memory_bytes"):
        pool.acquire()
    assert pool.get_pool_stats()["total"] == 0
