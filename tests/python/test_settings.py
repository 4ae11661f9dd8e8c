"""Settings: from the environment, from a file, and from any object with the attributes."""

import dataclasses
import datetime
import enum
import pathlib
import types
from unittest import mock

import pytest
from conftest import settings as plain_settings

import remuda
from remuda import Settings, get_settings
from remuda.settings import native_settings

FIVE = vars(plain_settings(model_pool_max_instances=3))


def test_the_defaults_are_the_native_ones(tmp_path, monkeypatch):
    monkeypatch.delenv("REMUDA_CACHE_DIR")
    assert get_settings(tmp_path / "none.toml") == Settings()


def test_the_environment_outweighs_the_file(tmp_path, monkeypatch):
    toml = tmp_path / "remuda.toml"
    toml.write_text('model_pool_max_instances = 5\nprecision = "int8"\nidle_ttl = 1.5\nmemory_limit = "2GiB"\n')
    monkeypatch.setenv("MODEL_POOL_MAX_INSTANCES", "7")
    settings = get_settings(toml)
    assert settings.model_pool_max_instances == 7
    assert settings.precision == "int8"
    assert settings.idle_ttl == 1.5
    assert settings.memory_limit == str(2**31)


def test_the_environment_of_os_environ_is_seen(monkeypatch):
    monkeypatch.setenv("MODEL_POOL_MAX_INSTANCES", "9")
    pool = remuda.EmbeddingModelManager().get_pool_stats()
    assert pool["max_instances"] == 9


def test_how_long_instances_live_and_how_many_callers_wait(tmp_path, monkeypatch):
    toml = tmp_path / "remuda.toml"
    toml.write_text("max_lifetime = 2.5\nmin_idle = 1\n")
    monkeypatch.setenv("REMUDA_MAX_WAITING", "0")
    settings = get_settings(toml)
    assert (settings.max_lifetime, settings.min_idle, settings.max_waiting) == (2.5, 1, 0)
    settings.model_pool_max_instances = 1
    manager = remuda.EmbeddingModelManager(settings)
    assert manager.get_pool_stats()["fallbacks"] == 0
    with manager.acquire(), pytest.raises(remuda.Overloaded, match="wait"):
        manager.acquire(timeout=5.0)
    assert manager.get_pool_stats()["by_device"] == {"cpu": 1}


def test_a_variable_that_does_not_parse_is_named(monkeypatch):
    monkeypatch.setenv("MODEL_POOL_MAX_INSTANCES", "many")
    with pytest.raises(ValueError, match="MODEL_POOL_MAX_INSTANCES"):
        get_settings()


@pytest.mark.parametrize(
    ("toml", "kind", "message"),
    [
        (pathlib.Path(__file__).parent, ValueError, "tests/python: expected a TOML file, found a directory"),
        ("a\0b", ValueError, "toml: expected the path of a file, without NUL"),
        (None, TypeError, r"toml: expected the path of a file, found None \(NoneType\)"),
        (b"remuda.toml", TypeError, "toml: expected the path of a file"),
    ],
)
def test_a_path_that_is_no_file_is_named(toml, kind, message):
    with pytest.raises(kind, match=message):
        get_settings(toml)


class Enumerated(enum.Enum):
    INT8 = "int8"


OBJECTS = {
    "namespace": types.SimpleNamespace(**FIVE),
    "mock": mock.Mock(**FIVE),
    "magic mock": mock.MagicMock(**FIVE),
    "dataclass": dataclasses.make_dataclass("Own", FIVE)(**FIVE),
    "settings": Settings(**FIVE),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_any_object_with_the_attributes(kind):
    fields = native_settings(OBJECTS[kind])
    assert fields["model_pool_max_instances"] == 3
    assert fields["precision"] == "auto"
    manager = remuda.EmbeddingModelManager(OBJECTS[kind])
    assert manager.get_pool_stats()["max_instances"] == 3


def test_pydantic_settings():
    pydantic = pytest.importorskip("pydantic")

    class Own(pydantic.BaseModel):
        model_pool_enabled: bool = True
        model_pool_max_instances: int = 3
        masx_force_gpu: bool = False
        masx_force_cpu: bool = True
        gpu_use_fp16: bool = True
        summarization_model: str = "remuda/bart-small-synopsis"

    assert native_settings(Own())["model_pool_max_instances"] == 3


def test_values_of_other_types_that_mean_the_same():
    own = types.SimpleNamespace(
        **FIVE,
        precision=Enumerated.INT8,
        memory_limit=2**31,
        idle_ttl=datetime.timedelta(seconds=90),
        cache_dir=pathlib.Path("/tmp/somewhere"),
        pinned=True,
        embedding_model=pathlib.Path("models/all-MiniLM-L6-v2"),
    )
    fields = native_settings(own)
    assert fields["precision"] == "int8"
    assert fields["memory_limit"] == str(2**31)
    assert fields["idle_ttl"] == 90
    assert fields["cache_dir"] == "/tmp/somewhere"
    assert fields["pinned"] is True
    assert remuda.EmbeddingModelManager(own).precision == "int8"


@pytest.mark.parametrize("missing", FIVE)
def test_a_missing_attribute_is_named(missing):
    own = types.SimpleNamespace(**{name: value for name, value in FIVE.items() if name != missing})
    with pytest.raises(AttributeError, match=f"settings.{missing}: expected this attribute"):
        remuda.EmbeddingModelManager(own)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("model_pool_enabled", "yes", TypeError),
        ("model_pool_enabled", None, TypeError),
        ("model_pool_max_instances", 2.0, TypeError),
        ("model_pool_max_instances", "2", TypeError),
        ("model_pool_max_instances", True, TypeError),
        ("model_pool_max_instances", 0, ValueError),
        ("model_pool_max_instances", -1, ValueError),
        ("model_pool_max_instances", 2**70, ValueError),
        ("model_pool_max_instances", mock.Mock(), TypeError),
        ("embedding_model", 3, TypeError),
        ("embedding_model", b"bytes", TypeError),
        ("precision", "fp64", ValueError),
        ("memory_limit", "lots", ValueError),
        ("memory_limit", 1.5, TypeError),
        ("compute_threads", -1, ValueError),
        ("leak_threshold", float("nan"), ValueError),
        ("leak_threshold", "5", TypeError),
        ("idle_ttl", -1, ValueError),
        ("max_lifetime", "1h", TypeError),
        ("min_idle", -1, ValueError),
        ("min_idle", 9, ValueError),
        ("max_waiting", -1, ValueError),
        ("max_waiting", 1.5, TypeError),
        ("fallback", "maybe", ValueError),
        ("device", "gpu", ValueError),
        ("device", 0, TypeError),
        ("device", "cuda:99", remuda.Unsupported),
        ("cache_dir", 3, TypeError),
    ],
)
def test_a_value_of_no_use_is_named(name, value, error):
    own = types.SimpleNamespace(**{**FIVE, name: value})
    with pytest.raises(error, match=name):
        remuda.EmbeddingModelManager(own)


def test_both_force_flags():
    own = types.SimpleNamespace(**{**FIVE, "masx_force_gpu": True})
    with pytest.raises(ValueError, match="masx_force"):
        remuda.EmbeddingModelManager(own)


def test_a_class_instead_of_an_object():
    with pytest.raises(TypeError, match=r"Settings\(\)"):
        remuda.EmbeddingModelManager(Settings)
