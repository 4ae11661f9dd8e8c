"""What the package's tests share. They use the package as it is installed in .venv, and the real models."""

import os
import pathlib
import re
import subprocess
import sys
import textwrap
import threading
import time
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory):
    """The checkout's models, a cache of the tests' own, and nothing of the person's settings."""
    for name in list(os.environ):
        if name.startswith(("REMUDA_", "MODEL_POOL_", "MASX_")):
            del os.environ[name]
    cache = ROOT / "build/test-cache"
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["REMUDA_CACHE_DIR"] = str(cache)
    os.chdir(ROOT)
    import remuda

    remuda._native.set_leak_warnings(True)  # run.sh looks for one.


@pytest.fixture(scope="session")
def embedder():
    import remuda

    return remuda.EmbeddingModelManager()


@pytest.fixture(scope="session")
def summarizer():
    import remuda

    return remuda.SummarizationModelManager()


def settings(**changes):
    """Somebody's own settings object: the attributes that every one has."""
    values = dict(
        model_pool_enabled=True,
        model_pool_max_instances=2,
        masx_force_gpu=False,
        masx_force_cpu=True,
        gpu_use_fp16=True,
    )
    return types.SimpleNamespace(**{**values, **changes})


def until(condition):
    """Waits for what another thread is about to do."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.001)


def calls_that_wait(call):
    """How many calls without an instance are in a manager's queue, as one whose deadline passes at once says it."""
    with pytest.raises(TimeoutError) as caught:
        call("one more", timeout=0)
    said = re.search(r"(\d+) calls wait", str(caught.value))
    return int(said.group(1)) - 1 if said else 0


def results_together(manager, call, texts):
    """What a call without an instance gives for each text, from threads that all wait for the manager's only instance."""
    found = {}
    with manager.acquire():
        threads = [threading.Thread(target=lambda t=t: found.update({t: call(t)})) for t in texts]
        for thread in threads:
            thread.start()
        until(lambda: calls_that_wait(call) == len(texts))
        stats = manager.get_pool_stats()
        assert stats["waiting"] == 1  # One of them waits for the instance, for all.
    for thread in threads:
        thread.join()
    assert manager.get_pool_stats()["acquires"] == stats["acquires"] + 1
    return [found[text] for text in texts]


@pytest.fixture
def python():
    """Runs a program in an interpreter of its own; returns what it did."""

    def run(code, *options, timeout=60, **environment):
        return subprocess.run(
            [sys.executable, *options, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            env={**os.environ, **environment},
        )

    return run
