"""Settings: from the environment, from a file, and from any object with the attributes."""

import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import pathlib
import types
from unittest import mock

import numpy as np
import pytest
from conftest import settings as plain_settings

import remuda
from remuda import Settings, get_settings, read_settings
from remuda.settings import native_settings

FIVE = vars(plain_settings(model_pool_max_instances=3))


def test_the_defaults_are_the_native_ones(tmp_path, monkeypatch):
    monkeypatch.delenv("REMUDA_CACHE_DIR")
    assert read_settings(tmp_path / "none.toml") == Settings()


def test_the_environment_outweighs_the_file(tmp_path, monkeypatch):
    toml = tmp_path / "remuda.toml"
    toml.write_text('model_pool_max_instances = 5\nprecision = "int8"\nidle_ttl = 1.5\nmemory_limit = "2GiB"\n')
    monkeypatch.setenv("MODEL_POOL_MAX_INSTANCES", "7")
    settings = read_settings(toml)
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
    settings = read_settings(toml)
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
        read_settings(toml)


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
        ("memory_limit", "512Mib/s", ValueError),
        ("compute_threads", -1, ValueError),
        ("leak_threshold", float("nan"), ValueError),
        ("leak_threshold", "5", TypeError),
        ("leak_threshold", True, TypeError),
        ("leak_threshold", 1j, TypeError),
        ("leak_threshold", decimal.Decimal("sNaN"), ValueError),
        ("idle_ttl", 10**400, ValueError),
        ("idle_ttl", np.bool_(True), TypeError),
        ("idle_ttl", np.timedelta64("NaT"), ValueError),
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


def test_a_framework_finds_no_parameter_to_fill():
    """FastAPI makes a request's parameter of each that a dependency has."""
    assert not inspect.signature(get_settings).parameters
    with pytest.raises(TypeError):
        get_settings("remuda.toml")


def test_fastapi_depends_on_the_settings(tmp_path):
    fastapi = pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    (tmp_path / "other.toml").write_text("model_pool_max_instances = 9\n")
    app = fastapi.FastAPI()

    @app.get("/")
    def instances(settings=fastapi.Depends(get_settings)) -> int:
        return settings.model_pool_max_instances

    client = TestClient(app)
    assert client.get("/", params={"toml": str(tmp_path / "other.toml")}).json() == 2
    assert "parameters" not in app.openapi()["paths"]["/"]["get"]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_none_is_not_set(name, monkeypatch):
    """As if an object lacked the attribute; of Settings itself, the default."""
    assert native_settings(types.SimpleNamespace(**{**FIVE, name: None}))[name] == getattr(get_settings(), name)
    assert native_settings(Settings(**{name: None}))[name] == getattr(Settings(), name)
    own = mock.Mock(**{**FIVE, name: None})
    assert native_settings(own)[name] == getattr(get_settings(), name)


def test_none_is_what_the_environment_says(monkeypatch):
    monkeypatch.setenv("MODEL_POOL_MAX_INSTANCES", "7")
    monkeypatch.setenv("REMUDA_MEMORY_LIMIT", "3GiB")
    own = types.SimpleNamespace(**{**FIVE, "model_pool_max_instances": None, "memory_limit": None})
    fields = native_settings(own)
    assert (fields["model_pool_max_instances"], fields["memory_limit"]) == (7, str(3 << 30))
    assert native_settings(Settings(memory_limit=None))["memory_limit"] is None


@pytest.mark.parametrize(("given", "unset"), [("masx_force_gpu", "masx_force_cpu"), ("masx_force_cpu", "masx_force_gpu")])
def test_a_force_flag_outweighs_one_that_is_none(given, unset):
    fields = native_settings(types.SimpleNamespace(**{**FIVE, given: True, unset: None}))
    assert (fields[given], fields[unset]) == (True, False)


DURATIONS = [
    90,
    90.0,
    np.float32(90),
    np.float64(90),
    np.int16(90),
    fractions.Fraction(180, 2),
    decimal.Decimal("90.0"),
    datetime.timedelta(seconds=90),
    np.timedelta64(90, "s"),
    np.timedelta64(90_000, "ms"),
]


@pytest.mark.parametrize("duration", DURATIONS, ids=lambda value: type(value).__name__)
def test_durations_are_any_real_number(duration):
    own = types.SimpleNamespace(**FIVE, idle_ttl=duration, max_lifetime=duration, leak_threshold=duration)
    fields = native_settings(own)
    assert fields["idle_ttl"] == fields["max_lifetime"] == fields["leak_threshold"] == 90.0
    pool = remuda.ModelPool(list, idle_ttl=duration, max_lifetime=duration, leak_threshold=duration)
    with pool.acquire(timeout=duration), pytest.raises(TimeoutError):
        with pool.acquire(timeout=fractions.Fraction(1, 100)):
            pool.acquire(timeout=decimal.Decimal("0.01"))
    assert pool.cleanup(timeout=duration)


def test_for_ever_is_a_duration():
    fields = native_settings(types.SimpleNamespace(**FIVE, idle_ttl=float("inf"), leak_threshold=float("inf")))
    assert fields["leak_threshold"] == fields["idle_ttl"] == 1e9


@pytest.mark.parametrize(
    ("size", "found"),
    [
        ("512Mi", 512 << 20),
        ("512MiB", 512 << 20),
        ("1.5Gi", 3 << 29),
        ("2G", 2 * 10**9),
        ("2gb", 2 * 10**9),
        ("64k", 64_000),
        (" 1 GiB ", 1 << 30),
        (2**31, 2**31),
        (np.int64(2**31), 2**31),
        ("80%", "80%"),
    ],
)
def test_sizes(size, found, tmp_path, monkeypatch):
    remuda.EmbeddingModelManager(types.SimpleNamespace(**FIVE, memory_limit=size))
    monkeypatch.setenv("REMUDA_MEMORY_LIMIT", str(size))
    assert get_settings().memory_limit == str(found)
    monkeypatch.delenv("REMUDA_MEMORY_LIMIT")
    (tmp_path / "remuda.toml").write_text(f'memory_limit = "{size}"\n')
    assert read_settings(tmp_path / "remuda.toml").memory_limit == str(found)


@pytest.mark.parametrize("how", ["attribute", "environment"])
def test_the_home_directory_in_cache_dir(how, tmp_path, python):
    given = 'settings.cache_dir = "~/a cache"' if how == "attribute" else ""
    ran = python(
        f"""
        import os, remuda
        settings = remuda.get_settings()
        {given}
        settings.precision = "int8"
        os.chdir(os.environ["HOME"])
        remuda.EmbeddingModelManager(settings).warm_up()
        print(sorted(os.listdir()))
        """,
        HOME=str(tmp_path),
        REMUDA_CACHE_DIR="~/a cache",
        REMUDA_EMBEDDING_MODEL=str(pathlib.Path("models/all-MiniLM-L6-v2").resolve()),
    )
    assert ran.stdout.strip() == "['a cache']", ran.stderr
    assert any((tmp_path / "a cache").rglob("*"))
