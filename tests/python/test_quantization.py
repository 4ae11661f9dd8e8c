"""Embeddings in fewer bits: sentence-transformers' answers, where it is installed, and what they come to."""

import numpy as np
import pytest

import remuda
from remuda.quantization import PRECISIONS
from remuda.testing import FakeEmbeddingModelManager

TEXTS = [f"horse number {i} of the herd" for i in range(7)]


def rows(count, dimension, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


SHAPES = [(0, 8), (0, 13), (1, 8), (1, 13), (2, 1), (5, 13), (5, 16), (7, 384), (130, 17)]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("given", ["array", "float64", "list", "ranges", "calibration"])
def test_the_library_says_the_same(precision, shape, given):
    library = pytest.importorskip("sentence_transformers.util.quantization")
    values = rows(*shape)
    options = {}
    if given == "ranges":
        options["ranges"] = np.vstack((np.full(shape[1], -1.5), np.linspace(0, 2, shape[1])))
    if given == "calibration":
        options["calibration_embeddings"] = rows(150, shape[1], seed=1)
    values = {"float64": values.astype(np.float64), "list": list(values)}.get(given, values)
    if given == "list" and shape[0] == 0:
        pytest.skip("an empty list has no dimension")
    try:
        expected = library.quantize_embeddings(values, precision, **options)
    except ValueError:
        with pytest.raises(ValueError, match="ranges"):
            remuda.quantize_embeddings(values, precision, **options)
        return
    found = remuda.quantize_embeddings(values, precision, **options)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("dimension", [1, 7, 8, 13, 64, 100])
@pytest.mark.parametrize("count", [1, 5, 8])
def test_bits_of_a_row_stay_in_it(dimension, count):
    values = rows(count, dimension)
    bits = remuda.quantize_embeddings(values, "ubinary")
    assert bits.shape == (count, -(-dimension // 8)) and bits.dtype == np.uint8
    assert (np.unpackbits(bits, axis=1)[:, :dimension] == (values > 0)).all()
    assert not np.unpackbits(bits, axis=1)[:, dimension:].any()
    signed = remuda.quantize_embeddings(values, "binary")
    assert signed.dtype == np.int8 and (signed.astype(int) + 128 == bits).all()
    assert (remuda.quantize_embeddings(values[0], "ubinary") == bits[0]).all()


def test_steps_are_floored():
    """Of a range of 255: 1.75 is in step 1, which int8 counts from -128."""
    values = np.array([[0.0], [1.75], [127.5], [254.9], [255.0]], np.float32)
    assert remuda.quantize_embeddings(values, "uint8")[:, 0].tolist() == [0, 1, 127, 254, 255]
    assert remuda.quantize_embeddings(values, "int8")[:, 0].tolist() == [-128, -127, -1, 126, 127]


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_one_embedding_has_no_range(embedder, precision):
    for call in (
        lambda: embedder.encode("a horse", precision=precision),
        lambda: embedder.encode(["a horse"], precision=precision),
        lambda: remuda.quantize_embeddings(rows(1, 8), precision),
        lambda: remuda.quantize_embeddings(rows(1, 8)[0], precision),
    ):
        with pytest.raises(ValueError, match="ranges"):
            call()
    ranges = np.vstack((np.full(8, -4.0), np.full(8, 4.0)))
    assert remuda.quantize_embeddings(rows(1, 8), precision, ranges=ranges).shape == (1, 8)


@pytest.mark.parametrize("dimension", [None, 1, 13, 64])
@pytest.mark.parametrize("precision", [*PRECISIONS, None])
@pytest.mark.parametrize("count", [0, 2, 5])
def test_encode(embedder, precision, dimension, count):
    full = embedder.encode(TEXTS[:count], truncate_dim=dimension)
    found = embedder.encode(TEXTS[:count], precision=precision, truncate_dim=dimension)
    expected = remuda.quantize_embeddings(full, precision or "float32")
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
    assert found.shape[0] == count
    fake = FakeEmbeddingModelManager(dimension=20)
    assert fake.encode(TEXTS[:count], precision=precision).shape[0] == count


@pytest.mark.parametrize("precision", ["float32", "int8", "binary", "ubinary"])
def test_the_library_encodes_the_same(embedder, precision):
    library = pytest.importorskip("sentence_transformers")
    original = library.SentenceTransformer("models/all-MiniLM-L6-v2", device="cpu")
    for texts, dimension in ((TEXTS, None), (TEXTS[:5], 13), (TEXTS, 8)):
        expected = original.encode(texts, precision=precision, truncate_dim=dimension)
        found = embedder.encode(texts, precision=precision, truncate_dim=dimension)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        # The last bits of the vectors differ, which moves few numbers to the next step.
        assert np.mean(found != expected) < 0.05 or precision == "float32"
        assert np.abs(found.astype(float) - expected.astype(float)).max() < 1.5 or precision in ("binary", "ubinary")


@pytest.mark.parametrize(
    ("values", "precision", "error"),
    [
        (np.zeros((2, 3), np.int8), "ubinary", TypeError),
        (np.zeros((2, 3), np.uint8), "int8", TypeError),
        (np.zeros((2, 3, 4)), "ubinary", TypeError),
        (np.array(["a"]), "ubinary", TypeError),
        (3.0, "ubinary", TypeError),
        ([np.zeros(3), np.zeros(4)], "ubinary", ValueError),
        (np.zeros((2, 3)), "int4", ValueError),
    ],
)
def test_what_is_none(values, precision, error):
    with pytest.raises(error):
        remuda.quantize_embeddings(values, precision)


def test_few_embeddings_are_told(embedder, caplog):
    with caplog.at_level("WARNING", "remuda"):
        embedder.encode(TEXTS, precision="int8")
    assert "ranges are of 7 embeddings" in caplog.text
