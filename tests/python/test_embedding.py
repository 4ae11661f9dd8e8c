"""Embeddings, and encode with sentence-transformers' conventions."""

import json
import subprocess
import threading
import time

import numpy as np
import pytest
from conftest import ROOT, results_together

import remuda

TEXTS = ["A horse is a horse.", "Of course, of course.", "Bread rises because yeast ferments sugar.", ""]


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_a_text_and_texts(embedder):
    one = embedder.embed_text(TEXTS[0])
    assert (one.shape, one.dtype) == ((384,), np.float32)
    many = embedder.embed_texts(TEXTS)
    assert many.values.shape == (4, 384)
    assert many.values[0].tobytes() == one.tobytes()  # Alone or in a batch.
    assert many.tokens.tolist()[:1] == [8]
    assert not many.truncated.any()
    with embedder.acquire() as instance:
        assert embedder.embed_text(TEXTS[0], instance).tobytes() == one.tobytes()
        assert embedder.embed_texts(iter(TEXTS), instance).values.tobytes() == many.values.tobytes()
        assert (instance.model_type, instance.precision) == ("embedding", "fp32")
        with pytest.raises(AttributeError, match="embed_text"):
            instance.model
    assert embedder.get_pool_stats()["in_use"] == 0


def test_the_command_line_says_the_same(embedder):
    ran = subprocess.run(
        [ROOT / "build/release/remuda", "embed"], input=TEXTS[0] + "\n", capture_output=True, text=True, check=True
    )
    expected = np.array(json.loads(ran.stdout)["embedding"], np.float32)
    assert embedder.embed_text(TEXTS[0]).tobytes() == expected.tobytes()


def test_golden(embedder):
    """The reference's answers; see tests/golden/make_encoder_golden.py and the C++ tests for all of them."""
    near = cosine(embedder.embed_text("Why does bread become fluffy?"), embedder.embed_text(TEXTS[2]))
    far = cosine(embedder.embed_text("Why does bread become fluffy?"), embedder.embed_text(TEXTS[0]))
    assert near == pytest.approx(0.61, abs=0.02)
    assert far < 0.2


def test_results_own_their_memory(embedder):
    values = embedder.encode(TEXTS)
    copy = values.copy()
    embedder.encode(["something else"] * 50)
    assert (values == copy).all()
    assert values.flags.writeable
    assert not values.flags.owndata  # No copy was made: the array shows what the engine wrote.


def test_truncation_is_told(embedder):
    result = embedder.embed_texts(["horse " * 1000, "horse"])
    assert result.truncated.tolist() == [True, False]
    assert result.tokens[0] == 1002
    assert result.used_tokens[0] == 256
    assert embedder.embed_texts(["a horse of course"], max_length=4).used_tokens.tolist() == [4]


def test_the_model_is_described(embedder):
    assert embedder.dimension == 384
    assert embedder.model_name == "sentence-transformers/all-MiniLM-L6-v2"
    assert embedder.info["parameters"] == 22_713_728 or embedder.info["parameters"] > 22_000_000
    assert embedder.info["modules"][0] == "transformer"
    assert embedder.get_device() == "cpu"
    assert "all-MiniLM-L6-v2" in repr(embedder)


def test_encode_shapes_and_types(embedder):
    assert embedder.encode("a horse").shape == (384,)
    assert embedder.encode(["a horse"]).shape == (1, 384)
    assert embedder.encode([]).shape == (0, 384)
    assert embedder.encode(np.array(["a", "b"])).shape == (2, 384)
    listed = embedder.encode(TEXTS, convert_to_numpy=False)
    assert isinstance(listed, list) and len(listed) == 4 and listed[0].shape == (384,)
    assert embedder.encode(TEXTS, truncate_dim=64).shape == (4, 64)
    normal = embedder.encode(TEXTS, truncate_dim=64, normalize_embeddings=True)
    assert np.linalg.norm(normal, axis=1) == pytest.approx(1, abs=1e-6)


def test_encode_to_a_tensor(embedder):
    torch = pytest.importorskip("torch")
    tensor = embedder.encode(TEXTS, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor) and tensor.shape == (4, 384)
    assert (tensor.numpy() == embedder.encode(TEXTS)).all()


def test_encode_to_a_tensor_without_torch(embedder):
    try:
        import torch  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="install torch"):
            embedder.encode("a horse", convert_to_tensor=True)
    else:
        pytest.skip("torch is there")


@pytest.mark.parametrize(
    ("precision", "dtype", "width"),
    [("int8", np.int8, 384), ("uint8", np.uint8, 384), ("binary", np.int8, 48), ("ubinary", np.uint8, 48)],
)
def test_quantized(embedder, precision, dtype, width):
    full = embedder.encode(TEXTS)
    quantized = embedder.encode(TEXTS, precision=precision)
    assert (quantized.dtype, quantized.shape) == (dtype, (4, width))
    if precision == "ubinary":
        assert (np.unpackbits(quantized, axis=1) == (full > 0)).all()
    elif precision == "binary":
        assert (quantized.astype(int) + 128 == embedder.encode(TEXTS, precision="ubinary")).all()
    else:
        assert (quantized.astype(int).max(axis=0) - quantized.astype(int).min(axis=0)).max() == 255


def test_prompts(embedder):
    assert (embedder.encode("horse", prompt="query: ") == embedder.encode("query: horse")).all()
    with pytest.raises(ValueError, match="prompt_name"):
        embedder.encode("horse", prompt_name="passage")
    for name in ("query", "document"):  # They are always there.
        assert (embedder.encode("horse", prompt_name=name) == embedder.encode("horse")).all()


def test_a_progress_bar(embedder, capsys):
    texts = [f"horse number {i}" for i in range(600)]
    with_bar = embedder.encode(texts, show_progress_bar=True, batch_size=64)
    shown = capsys.readouterr()
    assert "Batches" in shown.err and "100%" in shown.err and shown.out == ""
    assert (with_bar == embedder.encode(texts)).all()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.embed_text(None), TypeError, "text: expected a str, found None"),
        (lambda m: m.embed_text(b"bytes"), TypeError, "text: expected a str"),
        (lambda m: m.embed_text(3), TypeError, "text: expected a str"),
        (lambda m: m.embed_text(["a"]), TypeError, "text: expected a str"),
        (lambda m: m.embed_texts("a horse"), TypeError, "one str; for one text use embed_text"),
        (lambda m: m.embed_texts(None), TypeError, "texts: expected a list of str"),
        (lambda m: m.embed_texts(["a", b"b"]), TypeError, r"text\[1\]: expected a str; decode the bytes"),
        (lambda m: m.embed_texts(["a", None]), TypeError, r"text\[1\]: expected a str"),
        (lambda m: m.embed_texts([["a"]]), TypeError, "expected a str"),
        (lambda m: m.embed_texts(["a", "x\ud800y"]), ValueError, r"text\[1\]: has a lone surrogate"),
        (lambda m: m.embed_text("a", max_length=1), ValueError, "max_length"),
        (lambda m: m.embed_text("a", timeout=float("nan")), ValueError, "timeout"),
        (lambda m: m.embed_text("a", timeout=-1), ValueError, "timeout"),
        (lambda m: m.embed_text("a", timeout="1"), TypeError, "timeout"),
        (lambda m: m.embed_text("a", timeout=True), TypeError, "timeout"),
        (lambda m: m.embed_text("a", "instance"), TypeError, "instance: expected a remuda.ModelInstance"),
        (lambda m: m.encode(None), TypeError, "expected a list of str"),
        (lambda m: m.encode(["a", 1]), TypeError, r"text\[1\]"),
        (lambda m: m.encode("a", precision="int4"), ValueError, "precision"),
        (lambda m: m.encode("a", batch_size=0), ValueError, "batch_size"),
        (lambda m: m.encode("a", truncate_dim=0), ValueError, "truncate_dim"),
        (lambda m: m.encode("a", output_value="tokens"), ValueError, "output_value"),
        (lambda m: m.encode("a", output_value="token_embeddings", precision="int8"), ValueError, "precision"),
        (lambda m: m.encode("a", device="cuda"), ValueError, "device"),
        (lambda m: m.acquire(timeout=-1), ValueError, "timeout: expected seconds, at least 0"),
        (lambda m: m.acquire(priority="urgent"), ValueError, "priority"),
        (lambda m: m.acquire(priority=1), TypeError, "priority"),
    ],
)
def test_bad_input(embedder, call, error, message):
    with pytest.raises(error, match=message):
        call(embedder)
    stats = embedder.get_pool_stats()
    assert stats["in_use"] == 0


def test_the_vectors_of_tokens(embedder):
    texts = ["A remuda is the herd.", "", "horse " * 400] + [f"horse {i}" * (i % 7 + 1) for i in range(300)]
    vectors = embedder.encode(texts, output_value="token_embeddings")
    result = embedder.embed_texts(texts)
    assert [len(v) for v in vectors] == result.used_tokens.tolist()
    assert vectors[1].shape == (2, 384) and vectors[2].shape == (256, 384) and vectors[0].dtype == np.float32
    # This model takes their mean.
    means = np.stack([v.mean(axis=0) for v in vectors])
    np.testing.assert_allclose(means / np.linalg.norm(means, axis=1, keepdims=True), result.values, atol=1e-5)
    # As ever, the company changes no bit.
    np.testing.assert_array_equal(embedder.encode(texts[0], output_value="token_embeddings"), vectors[0])
    shown = embedder.encode(texts, output_value="token_embeddings", show_progress_bar=True)
    assert all(np.array_equal(a, b) for a, b in zip(shown, vectors, strict=True))
    with embedder.acquire() as instance:
        np.testing.assert_array_equal(embedder.encode(texts[0], output_value="token_embeddings", instance=instance), vectors[0])
    assert embedder.encode([], output_value="token_embeddings") == []
    assert len(embedder.encode("two words", "query", output_value="token_embeddings")) == 4


def test_a_string_of_many_megabytes(embedder):
    result = embedder.embed_texts(["horse " * 2_000_000])
    assert result.truncated.tolist() == [True]
    assert result.tokens[0] == 2_000_002


def test_an_instance_of_another_manager(embedder, summarizer):
    with summarizer.acquire() as instance:
        with pytest.raises(ValueError, match="another manager"):
            embedder.embed_text("a horse", instance)
    with pytest.raises(ValueError, match="was released"):
        embedder.embed_text("a horse", instance)


def test_an_instance_in_use_is_not_released_by_another_thread(embedder):
    instance = embedder.get_instance()
    texts = ["a horse is a horse, of course, of course " * 20] * 20
    thread = threading.Thread(target=embedder.embed_texts, args=(texts, instance))
    thread.start()
    refused = 0
    while thread.is_alive():
        try:
            instance.release()
            break
        except RuntimeError as error:
            assert "computing on another thread" in str(error)
            refused += 1
            time.sleep(0.002)
    thread.join()
    if instance.is_leased:
        instance.release()
    assert refused > 0


@pytest.mark.parametrize(
    ("model", "error"),
    [("no/such-model", FileNotFoundError), ("README.md", FileNotFoundError), ("", ValueError), ("pretrained", ValueError)],
)
def test_a_model_that_is_none(model, error):
    settings = remuda.get_settings()
    settings.embedding_model = model
    with pytest.raises((error, remuda.RemudaError)):
        remuda.EmbeddingModelManager(settings)


def test_a_damaged_model(tmp_path):
    for name in ("config.json", "tokenizer.json", "modules.json"):
        (tmp_path / name).write_bytes((ROOT / "models/all-MiniLM-L6-v2" / name).read_bytes())
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_bytes(
        (ROOT / "models/all-MiniLM-L6-v2/1_Pooling/config.json").read_bytes()
    )
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    settings = remuda.get_settings()
    settings.embedding_model = str(tmp_path)
    with pytest.raises(ValueError, match="model.safetensors"):
        remuda.EmbeddingModelManager(settings).warm_up()


def test_a_long_list_is_shared_by_instances(python):
    """With threads for two, a list beyond a chunk goes to both instances, with the same bytes as on one."""
    code = """
        import remuda
        settings = remuda.get_settings()
        settings.precision, settings.compute_threads = "int8", 8
        manager = remuda.EmbeddingModelManager(settings)
        texts = [f"horse {i} " * 12 for i in range(300)]  # Batches of one instance leave some for another.
        shared = manager.embed_texts(texts)
        assert manager.get_pool_stats()["created"] == 2
        with manager.acquire() as instance:
            alone = manager.embed_texts(texts, instance)
            # Where none is free, the call waits for one, and needs no more.
            assert manager.encode(texts).tobytes() == shared.values.tobytes()
        assert alone.values.tobytes() == shared.values.tobytes()
        assert alone.tokens.tolist() == shared.tokens.tolist()
        assert manager.get_pool_stats()["in_use"] == 0
        print("shared")
    """
    done = python(code)
    assert done.stdout == "shared\n", done.stderr


def one_instance():
    settings = remuda.get_settings()
    settings.model_pool_max_instances = 1
    return remuda.EmbeddingModelManager(settings)


def test_calls_of_many_threads_are_computed_together():
    manager = one_instance()
    texts = [f"horse number {i}" for i in range(16)]
    together = results_together(manager, manager.embed_text, texts)
    with manager.acquire() as instance:
        assert [vector.tobytes() for vector in together] == [manager.embed_text(text, instance).tobytes() for text in texts]


def test_calls_that_are_refused_are_counted():
    settings = remuda.get_settings()
    settings.model_pool_max_instances = 1
    settings.max_waiting = 0
    manager = remuda.EmbeddingModelManager(settings)
    outcomes = []

    def call():
        try:
            outcomes.append(manager.embed_text("a horse").shape)
        except remuda.Overloaded as error:
            outcomes.append(type(error))

    with manager.acquire():
        threads = [threading.Thread(target=call) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert manager.get_pool_stats()["overloaded"] == outcomes.count(remuda.Overloaded) == 40


def test_an_error_of_a_call_is_no_other_calls():
    manager = one_instance()
    outcomes = {}

    def call(name, **options):
        try:
            outcomes[name] = manager.embed_texts([name] * 200, **options).values.tobytes()
        except Exception as error:
            outcomes[name] = type(error)

    with manager.acquire():
        calls = [("good", {}), ("late", {"timeout": 0.05}), ("wrong", {"prompt_name": "none"}), ("also good", {})]
        threads = [threading.Thread(target=call, args=(name,), kwargs=options) for name, options in calls]
        for thread in threads:
            thread.start()
        for thread in threads[1:3]:
            thread.join()
    for thread in threads:
        thread.join()
    assert outcomes["wrong"] is remuda.InvalidArgument
    assert outcomes["late"] is remuda.AcquireTimeout
    for name in ("good", "also good"):
        assert outcomes[name] == manager.embed_texts([name] * 200).values.tobytes()
    assert manager.get_pool_stats()["in_use"] == 0


def test_a_very_long_list_is_copied_in_parts():
    """Rows keep their places, and a bad text at the end is found before anything is computed."""
    settings = remuda.get_settings()
    settings.precision = "int8"
    embedder = remuda.EmbeddingModelManager(settings)
    words = ["horse", "foal", "bread", "yeast", "oven", "saddle", "herd"]
    texts = [words[i % 7] for i in range(5000)]
    few = {word: embedder.embed_text(word) for word in words}
    result = embedder.embed_texts(texts)
    assert all(row.tobytes() == few[text].tobytes() for row, text in zip(result.values, texts, strict=True))
    with embedder.acquire() as instance:
        assert embedder.embed_texts(texts, instance).values.tobytes() == result.values.tobytes()
    assert result.tokens.shape == result.used_tokens.shape == (5000,)
    acquires = embedder.get_pool_stats()["acquires"]
    with pytest.raises(TypeError, match=r"text\[5000\]: expected a str"):
        embedder.embed_texts([*texts, 3])
    assert embedder.get_pool_stats()["acquires"] == acquires


def test_a_long_list_is_not_held_twice(python):
    ran = python("""
        import resource, remuda
        embedder = remuda.EmbeddingModelManager()
        texts = [f"{i} " + "horse " * 4000 for i in range(4000)]
        embedder.embed_texts(texts[:300], max_length=3)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        before = peak()
        result = embedder.embed_texts(texts, max_length=3)
        assert result.tokens[0] > 4000
        print(peak() - before)
        """)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 45  # MiB, of 92 that the texts have and 6 that the vectors have.


def test_out_of_memory():
    settings = remuda.get_settings()
    settings.memory_limit = "1MiB"
    settings.precision = "bf16"  # One that nobody else has loaded.
    with pytest.raises(MemoryError, match="MiB|MB|bytes"):
        remuda.EmbeddingModelManager(settings).warm_up()


def test_memory_is_flat_over_many_encodes():
    """In little; bench/python_package.py does it in full."""

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    settings = remuda.get_settings()
    settings.precision = "int8"
    manager = remuda.EmbeddingModelManager(settings)
    texts = [f"horse {i} " * (1 + i * 7 % 11) for i in range(8)]
    for i in range(30):
        manager.encode(texts[: 1 + i % 8])
    before = resident()
    for i in range(200):
        manager.encode(texts[: 1 + i * 13 % 8])
    assert resident() - before < 4 << 20
