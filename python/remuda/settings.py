"""What a process can configure, and where the values come from."""

from __future__ import annotations

import os
import math
import sys
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from remuda import _native
from remuda._arguments import seconds, show

__all__ = ["Settings", "get_settings", "read_settings"]

#: A duration: any real number, a ``timedelta``.
Seconds = float | Fraction | Decimal | timedelta


@dataclass
class Settings:
    """Values, without behaviour. The environment variable of a field stands behind it.

    Managers take any object that has the first five attributes: a pydantic ``BaseSettings``, a ``SimpleNamespace``, a
    settings class of your own. What such an object lacks of the others, or has as None, is as `get_settings` has it. Here
    None stands for the default.
    """

    #: MODEL_POOL_ENABLED; False: every acquire makes an instance, and its release destroys it.
    model_pool_enabled: bool = True
    #: MODEL_POOL_MAX_INSTANCES, at least 1.
    model_pool_max_instances: int = 2
    #: MASX_FORCE_GPU
    masx_force_gpu: bool = False
    #: MASX_FORCE_CPU
    masx_force_cpu: bool = True
    #: GPU_USE_FP16
    gpu_use_fp16: bool = True
    #: REMUDA_DEVICE: "auto", "cpu", "cuda" (any GPU), or "cuda:N", which is that GPU and no other; where it is set, the
    #: force flags say nothing. None: as they say.
    device: str | None = None
    #: REMUDA_EMBEDDING_MODEL: a directory, or a name in the local Hugging Face cache.
    embedding_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    #: REMUDA_SUMMARIZATION_MODEL
    summarization_model: str = "remuda/bart-small-synopsis"
    #: REMUDA_PRECISION: "auto", "fp32", "bf16", "int8", "fp16" or "tf32".
    precision: str = "auto"
    #: REMUDA_MEMORY_LIMIT: bytes, "2GiB", "512Mi" (2^29), "2G" (2 * 10^9), "80%"; None: no limit of remuda's own.
    memory_limit: str | int | None = None
    #: REMUDA_COMPUTE_THREADS; 0: as many as the process may use.
    compute_threads: int = 0
    #: REMUDA_IDLE_TTL, in seconds; this and the next may be any real number or a timedelta.
    idle_ttl: Seconds | None = None
    #: REMUDA_MAX_LIFETIME, in seconds, after which an instance is made anew.
    max_lifetime: Seconds | None = None
    #: REMUDA_MIN_IDLE: instances to have ready.
    min_idle: int = 0
    #: REMUDA_MAX_WAITING: how many callers may wait; one more gets `Overloaded` at once. None: any number.
    max_waiting: int | None = None
    #: REMUDA_LEAK_THRESHOLD, in seconds; a lease held longer is reported.
    leak_threshold: Seconds = 300.0
    #: REMUDA_FALLBACK: "require", "prefer" or "spill".
    fallback: str = "prefer"
    #: REMUDA_CACHE_DIR; empty: ``$XDG_CACHE_HOME/remuda`` or ``~/.cache/remuda``. ``~`` is expanded.
    cache_dir: str | os.PathLike[str] = ""
    #: REMUDA_PINNED; True: the model is never evicted to make room for others.
    pinned: bool = False
    #: REMUDA_TASK_PARAMS; True: summaries' options as transformers' old summarization pipeline took them: config.json's
    #: task_specific_params.summarization outweighs the model's other files, and its prefix goes before each document.
    task_params: bool = False


def get_settings() -> Settings:
    """The defaults, overridden by ``remuda.toml`` where it exists, overridden by the environment.

    It has no parameters, so that a web framework that calls it as a dependency lets no request choose the file;
    `read_settings` takes one. Raises ``ValueError`` that names the variable, or the file and its key, of a value that does
    not parse.
    """
    return read_settings("remuda.toml")


def read_settings(toml: str | os.PathLike[str]) -> Settings:
    """As `get_settings`, with another file in the place of ``remuda.toml``."""
    if not isinstance(toml, (str, os.PathLike)):
        raise TypeError(f"toml: expected the path of a file, found {show(toml)}")
    path = os.fsdecode(toml)
    if "\0" in path:
        raise ValueError(f"toml: expected the path of a file, without NUL, found {show(toml)}")
    return Settings(**_native.get_settings(path))


_REQUIRED = (
    "model_pool_enabled",
    "model_pool_max_instances",
    "masx_force_gpu",
    "masx_force_cpu",
    "gpu_use_fp16",
)
_MISSING = object()


def _is_mock(value: object) -> bool:
    mock = sys.modules.get("unittest.mock")
    return mock is not None and isinstance(value, mock.NonCallableMock)


def _wrong(name: str, expected: str, value: object) -> TypeError:
    hint = "; give the mock this attribute" if _is_mock(value) else ""
    return TypeError(f"settings.{name}: expected {expected}, found {value!r:.80} ({type(value).__name__}){hint}")


def _as_bool(name: str, value: object) -> bool:
    if type(value).__name__ in ("bool", "bool_"):  # numpy's, too.
        return bool(value)
    raise _wrong(name, "True or False", value)


def _as_int(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or _is_mock(value):
        raise _wrong(name, "a whole number", value)
    number: int = value.__index__()
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"settings.{name}: expected a whole number of 64 bits, found {number}")
    return number


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if isinstance(text, str):
            return text
    member: Any = getattr(value, "value", None)  # An Enum's member.
    if isinstance(member, str):
        return member
    raise _wrong(name, "a str or a path", value)


def _as_optional_text(name: str, value: Any) -> str | None:
    return None if value is None else _as_text(name, value)


def _as_limit(name: str, value: object) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) else str(_as_int(name, value))


#: What is longer is a mistake, or for ever.
_LONGEST = 1e9


def _as_seconds(name: str, value: Any) -> float:
    if _is_mock(value):
        raise _wrong(name, "seconds", value)
    found = seconds(f"settings.{name}", value)
    if math.isinf(found) and found > 0:
        return _LONGEST
    if not 0 <= found <= _LONGEST:
        raise ValueError(f"settings.{name}: expected seconds, 0 to 1e9, found {value!r}")
    return found


def _as_optional_seconds(name: str, value: Any) -> float | None:
    return None if value is None else _as_seconds(name, value)


def _as_optional_int(name: str, value: Any) -> int | None:
    return None if value is None else _as_int(name, value)


_READERS = {
    "model_pool_enabled": _as_bool,
    "model_pool_max_instances": _as_int,
    "masx_force_gpu": _as_bool,
    "masx_force_cpu": _as_bool,
    "gpu_use_fp16": _as_bool,
    "device": _as_optional_text,
    "embedding_model": _as_text,
    "summarization_model": _as_text,
    "precision": _as_text,
    "memory_limit": _as_limit,
    "compute_threads": _as_int,
    "idle_ttl": _as_optional_seconds,
    "max_lifetime": _as_optional_seconds,
    "min_idle": _as_int,
    "max_waiting": _as_optional_int,
    "leak_threshold": _as_seconds,
    "fallback": _as_text,
    "cache_dir": _as_text,
    "pinned": _as_bool,
    "task_params": _as_bool,
}


def native_settings(settings: Any) -> dict[str, Any]:
    """The fields of any settings object, each of its type. None stands for `get_settings`.

    Raises ``AttributeError`` for one that lacks an attribute that every settings object has, ``TypeError`` and
    ``ValueError`` for values that can't be used.
    """
    if settings is None:
        return vars(get_settings())
    if isinstance(settings, type):
        raise TypeError(f"settings: expected an object, found the class {settings.__name__}; write {settings.__name__}()")
    fields: dict[str, Any] = {}
    defaults = Settings() if isinstance(settings, Settings) else None
    for name, read in _READERS.items():
        value = getattr(settings, name, _MISSING)
        if value is _MISSING and name in _REQUIRED:
            raise AttributeError(
                f"settings.{name}: expected this attribute, found none on {type(settings).__name__}; "
                f"settings need {', '.join(_REQUIRED)}"
            )
        is_made_up = name not in _REQUIRED and _is_mock(value)  # A mock makes up an attribute for every name.
        if value is _MISSING or value is None or is_made_up:
            if defaults is None:
                defaults = get_settings()
            value = getattr(defaults, name)
        fields[name] = read(name, value)
    for flag, other in (("masx_force_gpu", "masx_force_cpu"), ("masx_force_cpu", "masx_force_gpu")):
        if fields[flag] and getattr(settings, other) is None:  # One that is set outweighs the other's default.
            fields[other] = fields[other] and getattr(settings, flag) is None
    _native.check_settings(fields)
    return fields
