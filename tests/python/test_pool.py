"""Pools of Python objects: bounds, deadlines, order, destruction, statistics; loaders that misbehave."""

import datetime
import gc
import sys
import threading
import time
import warnings
import weakref

import pytest
from conftest import settings

import remuda
from remuda import AbstractModelManager, ModelPool


class Model:
    def __init__(self, number):
        self.number = number


class Manager(AbstractModelManager[Model]):
    model_name = "test/model"
    model_type = "test"
    memory_bytes = 1000

    def __init__(self, configured=None):
        self.loads = 0
        self.unloaded = []
        super().__init__(configured or settings())

    def _load_model(self):
        self.loads += 1
        return Model(self.loads)

    def _load_tokenizer(self):
        return str.split

    def _unload_model(self, model):
        self.unloaded.append(model.number)


def test_an_instance_has_model_tokenizer_and_metadata():
    manager = Manager()
    before = time.time()
    with manager.acquire() as instance:
        assert isinstance(instance, remuda.ModelInstance)
        assert instance.model.number == 1
        assert instance.tokenizer("a b") == ["a", "b"]
        assert (instance.model_name, instance.model_type, instance.device) == ("test/model", "test", "cpu")
        assert before - 1 < instance.created <= instance.last_used < time.time() + 1
        assert instance.use_count == 1
        assert instance.private_bytes == 1000
        assert "test/model" in repr(instance)
    with manager.acquire() as again:
        assert again.use_count == 2
        assert again.model.number == 1
    assert manager.loads == 1


def test_statistics():
    manager = Manager()
    with manager.acquire(), manager.acquire():
        stats = manager.get_pool_stats()
        assert (stats["in_use"], stats["available"], stats["total"], stats["max_instances"]) == (2, 0, 2, 2)
        assert stats["memory_private"] == 2000
        with pytest.raises(TimeoutError):
            manager.acquire(timeout=0)
    stats = manager.get_pool_stats()
    assert (stats["in_use"], stats["available"], stats["created"], stats["acquires"]) == (0, 2, 2, 2)
    assert stats["timeouts"] == 1
    assert stats["use_time"]["count"] == 2
    assert 0 < stats["use_time"]["p50"] <= stats["use_time"]["max"]


@pytest.mark.parametrize("timeout", [0.05, datetime.timedelta(milliseconds=50)])
def test_a_timeout_says_who_holds_the_instances(timeout):
    manager = Manager(settings(model_pool_max_instances=1))
    with manager.acquire(label="report of March"):
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="report of March") as caught:
            manager.acquire(timeout=timeout)
        assert 0.04 < time.monotonic() - start < 2
    assert isinstance(caught.value, remuda.AcquireTimeout)
    assert isinstance(caught.value, remuda.RemudaError)


def test_waiters_are_served_in_turn_and_by_priority():
    manager = Manager(settings(model_pool_max_instances=1))
    served = []

    def work(name, priority):
        with manager.acquire(priority=priority):
            served.append(name)

    held = manager.get_instance()
    threads = []
    for name, priority in (("bulk", "bulk"), ("first", "normal"), ("second", "normal"), ("now", "interactive")):
        threads.append(threading.Thread(target=work, args=(name, priority)))
        threads[-1].start()
        while manager.get_pool_stats()["waiting"] < len(threads):
            time.sleep(0.001)
    manager.release_instance(held)
    for thread in threads:
        thread.join()
    assert served == ["now", "first", "second", "bulk"]


def test_try_acquire():
    manager = Manager(settings(model_pool_max_instances=1))
    first = manager.try_acquire()
    assert first is not None
    assert manager.try_acquire() is None
    first.release()


def test_destroy_after_use_unloads():
    manager = Manager()
    with manager.acquire(destroy_after_use=True) as instance:
        assert instance.model.number == 1
    assert manager.unloaded == [1]
    assert manager.get_pool_stats()["total"] == 0


def test_a_discarded_instance_is_not_pooled_again():
    manager = Manager()
    with manager.acquire() as instance:
        instance.discard()
    assert manager.unloaded == [1]


def test_without_the_pool_every_lease_makes_and_destroys():
    manager = Manager(settings(model_pool_enabled=False))
    with manager.acquire() as a, manager.acquire() as b, manager.acquire() as c:
        assert {a.model.number, b.model.number, c.model.number} == {1, 2, 3}
    assert sorted(manager.unloaded) == [1, 2, 3]


def test_cleanup_and_close():
    manager = Manager()
    held = manager.get_instance()
    manager.acquire().release()
    assert manager.cleanup() is False
    assert manager.cleanup(timeout=0.05) is False
    manager.release_instance(held)
    assert manager.cleanup() is True
    assert manager.get_pool_stats()["total"] == 0
    with manager.acquire():
        pass
    manager.close()
    manager.close()
    with pytest.raises(remuda.PoolClosed, match="test/model"):
        manager.acquire()


def test_releasing_twice_and_elsewhere():
    first, second = Manager(), Manager()
    instance = first.get_instance()
    with pytest.raises(ValueError, match="another manager"):
        second.release_instance(instance)
    first.release_instance(instance)
    with pytest.raises(ValueError, match="was released"):
        first.release_instance(instance)
    with pytest.raises(ValueError, match="was released"):
        instance.release()
    with pytest.raises(ValueError, match="was released"):
        instance.model
    with pytest.raises(ValueError, match="was released"):
        with instance:
            pass
    with pytest.raises(TypeError, match="ModelInstance"):
        first.release_instance(first)
    assert first.get_pool_stats()["available"] == 1


def test_released_inside_its_block():
    manager = Manager()
    with manager.acquire() as instance:
        instance.release()
    assert manager.get_pool_stats()["available"] == 1


def test_what_is_forgotten_comes_home_with_a_warning():
    manager = Manager()
    with pytest.warns(ResourceWarning, match="instance .* of test/model was never released"):
        manager.acquire()
        gc.collect()
    assert manager.get_pool_stats()["available"] == 1


def test_a_loader_that_raises():
    class Broken(Manager):
        fail = True

        def _load_model(self):
            if self.fail:
                raise LookupError("no such weights")
            return super()._load_model()

    manager = Broken()
    with pytest.raises(LookupError, match="no such weights") as caught:
        manager.acquire()
    assert any(entry.name == "_load_model" for entry in caught.traceback)
    stats = manager.get_pool_stats()
    assert (stats["total"], stats["creation_failures"]) == (0, 1)
    manager.fail = False
    with manager.acquire() as instance:
        assert instance.model.number == 1


def test_a_tokenizer_that_raises_unloads_its_model():
    class Broken(Manager):
        def _load_tokenizer(self):
            raise OSError("no vocabulary")

    manager = Broken()
    with pytest.raises(OSError, match="no vocabulary"):
        manager.acquire()
    assert manager.unloaded == [1]


def test_a_waiter_gets_the_turn_of_a_loader_that_raised():
    started, go_on = threading.Event(), threading.Event()

    class Slow(Manager):
        def _load_model(self):
            model = super()._load_model()
            if model.number == 1:
                started.set()
                assert go_on.wait(30)
                raise LookupError("first")
            return model

    manager = Slow(settings(model_pool_max_instances=1))
    errors = []

    def first():
        try:
            manager.acquire()
        except LookupError as error:
            errors.append(str(error))

    thread = threading.Thread(target=first)
    thread.start()
    assert started.wait(30)
    threading.Timer(0.05, go_on.set).start()
    with manager.acquire(timeout=30) as instance:
        assert instance.model.number == 2
    thread.join()
    assert errors == ["first"]


def test_a_loader_that_acquires_from_another_manager():
    inner = Manager(settings(model_pool_max_instances=1))

    class Outer(Manager):
        def _load_model(self):
            with inner.acquire(timeout=30) as instance:
                return Model(100 + instance.model.number)

    outer = Outer()

    def work(numbers):
        with outer.acquire(timeout=30) as instance:
            numbers.append(instance.model.number)

    numbers = []
    threads = [threading.Thread(target=work, args=(numbers,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers == [101] * 8


def test_health_check():
    class Checked(Manager):
        def _check_instance(self, model):
            if model.number == 2:
                raise RuntimeError("broken")
            return model.number != 1

    manager = Checked()
    numbers = []
    for _ in range(4):
        with manager.acquire() as instance:
            numbers.append(instance.model.number)
    assert numbers == [1, 2, 3, 3]


def test_an_unloader_that_raises_is_told_of(monkeypatch):
    class Broken(Manager):
        def _unload_model(self, model):
            raise RuntimeError("could not unload")

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(str(unraisable.exc_value)))
    manager = Broken()
    with manager.acquire(destroy_after_use=True):
        pass
    assert told == ["could not unload"]
    assert manager.get_pool_stats()["total"] == 0


@pytest.mark.parametrize("kind", ["attribute", "property", "method"])
def test_names_in_every_form(kind):
    class Named(Manager):
        if kind == "property":
            model_name = property(lambda self: "named")
        elif kind == "method":

            def model_name(self):
                return "named"
        else:
            model_name = "named"

    assert Named().get_pool_stats()["name"] == "named"


def test_a_name_of_a_wrong_type():
    class Named(Manager):
        model_name = 3

    with pytest.raises(TypeError, match="Named.model_name: expected a str"):
        Named()


def test_what_a_subclass_must_have():
    class Incomplete(AbstractModelManager[Model]):
        model_name = "incomplete"
        model_type = "test"

    with pytest.raises(TypeError, match="_load_model"):
        Incomplete(settings())


def test_memory_by_a_method():
    class Sized(Manager):
        def memory_bytes(self, model):
            return 10 * model.number

    manager = Sized()
    with manager.acquire() as a, manager.acquire() as b:
        assert (a.private_bytes, b.private_bytes) == (10, 20)


# The garbage collector.


class Cyclic(Manager):
    def _load_model(self):
        model = super()._load_model()
        model.manager = self
        return model


def test_a_manager_goes_at_once_when_nobody_holds_it():
    manager = Manager()
    manager.acquire().release()
    unloaded = manager.unloaded
    gone = weakref.ref(manager)
    gc.disable()
    try:
        del manager
        assert gone() is None
    finally:
        gc.enable()
    assert unloaded == [1]


def test_cycles_through_the_manager_are_collected():
    manager = Cyclic()
    with manager.acquire() as instance:
        model = weakref.ref(instance.model)
    del instance
    unloaded = manager.unloaded
    gone = weakref.ref(manager)
    del manager
    gc.collect()
    assert gone() is None
    assert model() is None
    assert unloaded == [1]


def test_cycles_through_a_lease_are_collected():
    manager = Cyclic()
    instance = manager.get_instance()
    instance.model.lease = instance
    gone, model = weakref.ref(manager), weakref.ref(instance.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del manager, instance
        gc.collect()
    assert gone() is None
    assert model() is None


def test_a_lease_keeps_its_manager():
    manager = Manager()
    unloaded = manager.unloaded
    gone = weakref.ref(manager)
    instance = manager.acquire(destroy_after_use=True)
    del manager
    gc.collect()
    assert gone() is not None
    assert instance.model.number == 1
    instance.release()
    assert unloaded == [1]
    del instance
    gc.collect()
    assert gone() is None


def test_a_pool_from_a_function():
    unloaded = []
    pool = ModelPool(lambda: [1, 2], name="lists", max_instances=1, unload=unloaded.append, check=lambda x: len(x) < 4)
    with pool.acquire() as instance:
        instance.model.append(3)
        assert instance.tokenizer is None
    with pool.acquire() as instance:
        assert instance.model == [1, 2, 3]
        instance.model.append(4)
    assert unloaded == [[1, 2, 3, 4]]
    assert "lists" in repr(pool)
    with pytest.raises(TypeError, match="factory"):
        ModelPool(3)
    with pytest.raises(ValueError, match="max_instances"):
        ModelPool(list, max_instances=0)


def test_many_threads_never_share():
    manager = Manager()
    users = {}
    errors = []

    def work():
        for _ in range(300):
            with manager.acquire(timeout=30) as instance:
                number = instance.model.number
                if users.setdefault(number, 0):
                    errors.append(number)
                users[number] += 1
                time.sleep(0)
                users[number] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert manager.loads <= 2
    assert manager.get_pool_stats()["acquires"] == 2400


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("where", ["_check_instance", "_unload_model"])
def test_an_interruption_in_a_callback_reaches_the_caller(where, error):
    """Ctrl-C that comes while a manager's own code runs is the caller's, as everywhere in Python."""
    raised = []

    class Interrupted(Manager):
        def _check_instance(self, model):
            self.maybe("_check_instance")
            return True

        def _unload_model(self, model):
            super()._unload_model(model)
            self.maybe("_unload_model")

        def maybe(self, name):
            if name == where and not raised:
                raised.append(name)
                raise error("now")

    manager = Interrupted()
    with pytest.raises(error, match="now"):
        with manager.acquire(destroy_after_use=where == "_unload_model"):
            pass
    assert manager.get_pool_stats()["in_use"] == 0 and len(raised) == 1
    assert manager.unloaded == [1]  # Nobody knows in what state it is.
    with manager.acquire(timeout=1) as instance:
        assert instance.model.number == 2
    raised.clear()
    if where == "_unload_model":
        for call in (manager.cleanup, lambda: manager.shrink(0), manager.close):
            with manager.acquire(timeout=1):
                pass
            with pytest.raises(error, match="now"):
                call()
            raised.clear()
            assert manager.get_pool_stats()["total"] == 0
    manager.close()


def test_a_failure_of_an_unloader_is_still_nobodys():
    pool = ModelPool(list, unload=lambda model: 1 / 0)
    seen = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda found: seen.append(found.exc_type)
    try:
        with pool.acquire(destroy_after_use=True):
            pass
    finally:
        sys.unraisablehook = hook
    assert seen == [ZeroDivisionError]
    assert pool.get_pool_stats()["total"] == 0


def test_a_model_without_a_tokenizer():
    class Plain(AbstractModelManager[int]):
        model_name = model_type = "plain"

        def _load_model(self):
            return 3

    with Plain(settings()).acquire() as instance:
        assert (instance.model, instance.tokenizer) == (3, None)


@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("kind", ["embedding", "abstract", "pool", "fake"])
def test_managers_are_not_copied(how, kind, embedder):
    import copy
    import pickle

    from remuda.testing import FakeEmbeddingModelManager

    made = {
        "embedding": lambda: embedder,
        "abstract": Manager,
        "pool": lambda: ModelPool(list),
        "fake": FakeEmbeddingModelManager,
    }[kind]()
    with pytest.raises(TypeError, match=rf"make a {type(made).__name__} there"):
        {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": pickle.dumps}[how](made)
    with pytest.raises(TypeError, match=rf"make a {type(made).__name__} there"):
        {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": pickle.dumps}[how]([made] if how != "copy" else made)
    gc.collect()
    with made.acquire(timeout=5):  # The original is as it was.
        pass


def test_a_manager_in_a_with_block():
    with Manager() as manager, ModelPool(list) as pool:
        with manager.acquire(), pool.acquire():
            pass
    assert manager.unloaded == [1]
    for closed in (manager, pool):
        with pytest.raises(remuda.PoolClosed):
            closed.acquire()


def test_a_pool_that_is_not_enabled_says_that_nothing_bounds_it():
    with pytest.warns(UserWarning, match="max_instances bounds nothing"):
        pool = ModelPool(list, enabled=False, max_instances=2)
    instances = [pool.acquire() for _ in range(5)]
    assert pool.get_pool_stats()["in_use"] == 5
    for instance in instances:
        instance.release()
    ModelPool(list, enabled=False)
    ModelPool(list, max_instances=2)
