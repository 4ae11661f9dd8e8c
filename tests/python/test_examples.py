"""The examples, the demo and run_tests.py do what they say."""

import importlib.util
import subprocess
import sys

import pytest
from conftest import ROOT

from remuda.testing import FakeEmbeddingModelManager, FakeSummarizationModelManager

EXPECTED = {
    "examples/model_manager_usage.py": ["a second release is an error", "8 threads", "a long report", "after cleanup: 0"],
    "examples/migration_guide.py": ["before: Let the dough", "after:  Let the dough", "passes without a model"],
    "examples/new_model_type.py": ["'der hund und der fuchs' is german", "'el perro y el zorro' is spanish", "PyTorch"],
    "demo_new_model_managers.py": ["a third: pool", "in bits: 48 bytes", "as it is written: [", "0 instances are left"],
}


@pytest.mark.parametrize("program", EXPECTED)
def test_program(program):
    ran = subprocess.run([sys.executable, ROOT / program], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (0, "")
    for text in EXPECTED[program]:
        assert text in ran.stdout, ran.stdout
    assert max(map(len, ran.stdout.splitlines())) < 300


def test_fastapi_app():
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    spec = importlib.util.spec_from_file_location("fastapi_app", ROOT / "examples/fastapi_app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["fastapi_app"] = module
    spec.loader.exec_module(module)
    managers = FakeEmbeddingModelManager(dimension=8), FakeSummarizationModelManager(words=2)
    app = module.create_app(*managers)
    with TestClient(app) as client:
        for wrong in (0, -1, 1.5, 2**70):
            answer = client.post("/summary", json={"text": "one two three", "max_new_tokens": wrong})
            assert answer.status_code == 422 and "max_new_tokens" in answer.text, answer.text
        answer = client.post("/summary", json={"text": "one two three", "max_new_tokens": 10**9})
        assert answer.json() == {"summary": "one two"}, answer.text  # A summary ends where the model's positions do.
        for path, body in (("/embeddings", r'{"texts": ["\ud83d"]}'), ("/summary", r'{"text": "x \ud83d y"}')):
            answer = client.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 422 and answer.json()["detail"], answer.text
        with managers[0].acquire(), managers[0].acquire():
            module.WAIT = 0.01
            assert client.post("/embeddings", json={"texts": ["a"]}).status_code == 503
            module.WAIT = 10.0
    with TestClient(app) as client:  # Started again, with instances that are new.
        assert len(client.post("/embeddings", json={"texts": ["a", "b"]}).json()["embeddings"][1]) == 8
        assert client.post("/summary", json={"text": "one two three"}).json() == {"summary": "one two"}
        assert client.get("/stats").json()["embedding"]["in_use"] == 0
    assert managers[0].get_pool_stats()["total"] == 0


def test_run_tests():
    run = [sys.executable, ROOT / "run_tests.py"]
    ran = subprocess.run([*run, "nonsense"], capture_output=True, text=True)
    assert ran.returncode == 2 and "pool" in ran.stderr
    ran = subprocess.run([*run, "pool", "--", "-k", "try_acquire"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and "1 passed" in ran.stdout
