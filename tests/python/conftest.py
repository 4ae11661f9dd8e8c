"""What the package's tests share. They use the package as it is installed in .venv, and the real models."""

import os
import pathlib
import subprocess
import sys
import textwrap

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
