"""GPUs that a library of the tests describes, and why there are none."""

import json
import os
import subprocess
import sys

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
        assert manager.get_pool_stats()["gpu_memory"] == {"cuda:0": {key: taken[key] for key in ("allocated", "reserved")}}
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


def test_a_gpu_that_is_lost(python, monkeypatch):
    monkeypatch.setenv("REMUDA_CUDA_LIBRARY", os.fspath(ON_HOST))
    ran = python(f"""
        import ctypes, remuda
        model = {os.fspath(ROOT / "tests/golden/encoders/bert_prompts")!r}
        automatic = remuda.EmbeddingModelManager(remuda.Settings(embedding_model=model, masx_force_cpu=False))
        demanding = remuda.EmbeddingModelManager(remuda.Settings(embedding_model=model, device="cuda:0"))
        automatic.warm_up()
        with demanding.acquire() as instance:
            ctypes.CDLL({os.fspath(ON_HOST)!r}).remuda_described_lose(0)
            for call in (lambda: demanding.embed_text("a horse", instance), lambda: demanding.embed_text("a horse")):
                try:
                    call()
                except remuda.DeviceError as error:
                    print(type(error).__mro__[2].__name__, error.device, error.is_lost, "fell off the bus" in str(error))
        print(automatic.embed_text("a horse").shape, automatic.get_device())
        for stats in (automatic.get_pool_stats(), demanding.get_pool_stats()):
            print(stats["lost"], stats["moved"], stats["room_waits"], stats["by_device"])
    """)
    assert ran.stdout.splitlines()[:3] == ["RuntimeError cuda:0 True True"] * 2 + ["(16,) cpu"], ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[3:] == ["1 0 0 {'cpu': 1}", "1 0 0 {}"]
    assert ran.stderr.count("cuda:0 is lost to this process") == 1


def test_what_a_gpu_has_no_memory_for_goes_on_elsewhere(python, monkeypatch):
    monkeypatch.setenv("REMUDA_CUDA_LIBRARY", os.fspath(ON_HOST))
    monkeypatch.setenv("REMUDA_DESCRIBED_GPUS", "full,9.0,16,0")
    ran = python(f"""
        import remuda
        model = {os.fspath(ROOT / "tests/golden/encoders/bert_prompts")!r}
        made = dict(embedding_model=model, device="cuda:0")
        print(remuda.EmbeddingModelManager(remuda.Settings(**made)).embed_text("a horse").shape)
        try:
            remuda.EmbeddingModelManager(remuda.Settings(**made, fallback="require")).embed_text("a horse", timeout=0.2)
        except remuda.OutOfMemory as error:
            print(isinstance(error, MemoryError), "cuda:0 has 0 bytes available" in str(error))
    """)
    assert ran.stdout.splitlines() == ["(16,)", "True True"], ran.stdout + ran.stderr


def test_what_a_model_will_take():
    model = os.fspath(ROOT / "tests/golden/encoders/bert_mean")
    half, full = (remuda.estimate_memory(model, precision=name, device="cuda:0") for name in ("fp16", "fp32"))
    assert half["weights"] < full["weights"] < 2 * half["weights"]
    small, large = (remuda.estimate_memory(model, max_batch_tokens=tokens) for tokens in (512, 5120))
    assert remuda.estimate_memory(model) == small and 0 < small["workspace"] < large["workspace"]
    assert small["document"] == small["sequence"] == 0
    with pytest.raises(remuda.Unsupported, match="int8"):
        remuda.estimate_memory(model, precision="int8", device="cuda")


def test_what_a_summarization_model_will_take(summarizer):
    model = summarizer.info["directory"]
    cpu, gpu = (remuda.estimate_memory(model, precision="fp32", device=device) for device in ("cpu", "cuda:0"))
    for cost in (cpu, gpu):
        assert 0 < cost["sequence"] < cost["document"] < cost["workspace"] and cost["weights"] > 0
    for device, cost, default in (("cpu", cpu, 8192), ("cuda:0", gpu, 65536)):
        assert cost == remuda.estimate_memory(model, precision="fp32", device=device, max_batch_tokens=default)
        assert cost["workspace"] > remuda.estimate_memory(model, precision="fp32", device=device, max_batch_tokens=1)["workspace"]
    assert gpu["workspace"] > 4 * cpu["workspace"]
    assert remuda.estimate_memory(model)["weights"] == cpu["weights"]
    assert remuda.estimate_memory(model, device="cuda")["weights"] < gpu["weights"]


def test_the_program_that_measures_a_gpus_memory(tmp_path):
    env = {**os.environ, "REMUDA_CUDA_LIBRARY": os.fspath(ON_HOST)}
    program = [sys.executable, "-B", ROOT / "bench/gpu_memory.py", "--small", "--cycles", "3", "--seconds", "2"]
    ran = subprocess.run([*program, "--json", tmp_path / "figures.json"], env=env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = json.loads((tmp_path / "figures.json").read_text())["checks"]
    assert len(rows) == 7 and all(row["holds"] for row in rows)
    env["REMUDA_DESCRIBED_GPUS"] = ""
    assert subprocess.run(program, env=env, capture_output=True, timeout=60).returncode == 77
