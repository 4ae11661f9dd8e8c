"""GPUs that a library of the tests describes, and why there are none."""

import json
import os

import pytest
from conftest import ROOT

import remuda

DESCRIBED = ROOT / "build/release/test-libraries/libdescribed_backend.so"
ON_HOST = ROOT / "build/release/test-libraries/libremuda_cuda_on_host.so"
GIB = 1 << 30


def test_a_machine_has_those_that_the_driver_shows():
    for gpu in remuda.gpu_memory():
        assert gpu["device"].startswith("cuda:")
        assert 0 <= gpu["allocated"] <= gpu["reserved"]


def test_described_gpus(python, monkeypatch):
    if not DESCRIBED.exists():
        pytest.skip(f"needs {DESCRIBED}, which the release build's tests have")
    monkeypatch.setenv("REMUDA_CUDA_LIBRARY", os.fspath(DESCRIBED))
    monkeypatch.setenv("REMUDA_DESCRIBED_GPUS", "NVIDIA H100,9.0,80,79;Tesla T4,7.5,16,15")
    ran = python("import json, remuda; print(json.dumps(remuda.gpu_memory()))")
    h100, t4 = json.loads(ran.stdout)
    assert h100 == {"device": "cuda:0", "name": "NVIDIA H100", "total": 80 * GIB, "free": 79 * GIB, "allocated": 0,
                    "reserved": 0, "problem": None}
    assert "7.5" in t4["problem"]


def test_embeddings_of_a_gpu(python, monkeypatch):
    """The processor computes in its place."""
    if not ON_HOST.exists():
        pytest.skip(f"needs {ON_HOST}, which the release build's tests have")
    monkeypatch.setenv("REMUDA_CUDA_LIBRARY", os.fspath(ON_HOST))
    ran = python("""
        import json, remuda
        texts = ["a horse at dawn", "the herd"]
        expected = remuda.EmbeddingModelManager(remuda.Settings(precision="fp32")).encode(texts)
        manager = remuda.EmbeddingModelManager(remuda.Settings(device="cuda:0", precision="fp32"))
        error = abs(manager.encode(texts) - expected).max()
        (taken,) = remuda.gpu_memory()
        manager.cleanup()
        (left,) = remuda.gpu_memory()
        print(json.dumps([manager.get_device(), float(error), taken["allocated"], left["reserved"]]))
    """)
    device, error, taken, left = json.loads(ran.stdout)
    assert device == "cuda:0"
    assert error < 1e-4
    assert taken > 80 << 20
    assert left == 0


def test_summaries_of_a_gpu(python, monkeypatch):
    if not ON_HOST.exists():
        pytest.skip(f"needs {ON_HOST}, which the release build's tests have")
    monkeypatch.setenv("REMUDA_CUDA_LIBRARY", os.fspath(ON_HOST))
    ran = python("""
        import json, remuda
        text, how = "The herd waits at dawn.", dict(num_beams=2, max_length=6)
        expected = remuda.SummarizationModelManager(remuda.Settings(precision="fp32")).summarize_text(text, **how)
        manager = remuda.SummarizationModelManager(remuda.Settings(device="cuda:0", precision="fp32"))
        found = manager.summarize_text(text, **how)
        (taken,) = remuda.gpu_memory()
        manager.cleanup()
        (left,) = remuda.gpu_memory()
        print(json.dumps([manager.get_device(), expected, found, taken["allocated"], left["reserved"]]))
    """)
    device, expected, found, taken, left = json.loads(ran.stdout)
    assert device == "cuda:0"
    assert found == expected != ""
    assert taken > 0
    assert left == 0


def test_a_forced_gpu_that_is_not_there_says_why(python, monkeypatch):
    monkeypatch.setenv("REMUDA_CUDA_LIBRARY", "/nowhere/libremuda_cuda.so")
    ran = python("""
        import remuda
        settings = remuda.Settings(masx_force_cpu=False, masx_force_gpu=True)
        try:
            remuda.EmbeddingModelManager(settings)
        except remuda.Unsupported as error:
            print(error)
    """)
    assert "/nowhere/libremuda_cuda.so can't be loaded" in ran.stdout
