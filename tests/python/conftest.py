"""What the package's tests share. They use the package as it is installed in .venv, and the real models."""

import os
import pathlib
import re
import subprocess
import sys
import textwrap
import time

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
