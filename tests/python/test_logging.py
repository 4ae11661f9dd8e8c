"""Native log events arrive at logging.getLogger("remuda")."""

import logging
import threading
import time


from remuda import ModelPool


def test_events_and_levels(caplog):
    pool = ModelPool(list, name="logged", max_instances=1)
    with caplog.at_level(logging.DEBUG, logger="remuda"):
        pool.acquire().release()
    (record,) = [r for r in caplog.records if "logged" in r.message and "event=create" in r.message]
    assert record.name == "remuda"
    assert record.levelno == logging.DEBUG
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="remuda"):
        pool.cleanup()
        pool.acquire().release()
    assert not caplog.records


def test_a_forgotten_lease_is_reported(caplog):
    pool = ModelPool(list, name="leaky", max_instances=1, leak_threshold=0.01)
    held = pool.acquire(label="the forgetful one")
    time.sleep(0.05)
    stats = pool.get_pool_stats()
    assert stats["leaks"] == 1
    (record,) = [r for r in caplog.records if "leaky" in r.message and r.levelno == logging.WARNING]
    assert "the forgetful one" in record.message
    held.release()


def test_a_handler_may_use_pools_itself():
    pool = ModelPool(list, name="recursive", max_instances=1)
    other = ModelPool(list, name="inner", max_instances=1)
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            if "recursive" in record.getMessage():
                with other.acquire(timeout=5):
                    seen.append(record.getMessage())

    handler = Handler()
    logger = logging.getLogger("remuda")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        pool.acquire().release()
        pool.cleanup()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert any("event=create" in message for message in seen)


def test_a_handler_that_raises_costs_no_call(monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_value))

    class Handler(logging.Handler):
        def emit(self, record):
            raise LookupError("no handler")

    handler = Handler()
    logger = logging.getLogger("remuda")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with ModelPool(list, name="noisy").acquire() as instance:
            assert instance.model == []
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert any(isinstance(error, LookupError) for error in told)


def test_many_threads_log_at_once(caplog):
    pool = ModelPool(list, name="busy", enabled=False)
    with caplog.at_level(logging.DEBUG, logger="remuda"):
        threads = [threading.Thread(target=lambda: [pool.acquire().release() for _ in range(50)]) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pool.get_pool_stats()
    created = [r for r in caplog.records if "busy" in r.message and "event=create " in r.message]
    assert len(created) == 300


def test_nothing_is_printed_by_default(python):
    ran = python(
        """
        import remuda
        remuda.ModelPool(list).acquire().release()
        """
    )
    assert (ran.stdout, ran.stderr) == ("", "")


def test_warnings_are_printed_as_pythons(python):
    ran = python(
        """
        import remuda, time
        pool = remuda.ModelPool(list, leak_threshold=0.001)
        with pool.acquire():
            time.sleep(0.01)
        """
    )
    assert "was it forgotten?" in ran.stderr
