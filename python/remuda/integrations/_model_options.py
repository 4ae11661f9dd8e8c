"""The options with which sentence-transformers' ``SentenceTransformer`` is constructed, as far as they mean something here.

What changes results and can't be honoured raises ``ValueError``. What means nothing to this engine is warned about.
"""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

from remuda._arguments import check_count, check_flag, check_str, show
from remuda.embedding import EmbeddingModelManager
from remuda.errors import NotFound
from remuda.settings import get_settings

__all__ = ["make_manager"]

_ORGANISATION = "sentence-transformers"
_BACKENDS = ("torch", "onnx", "openvino")
_PRECISIONS = {"float32": "fp32", "float": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "auto": None}
# Options of a processor that change no token id of a single text.
_HARMLESS = {
    "cache_dir", "clean_up_tokenization_spaces", "force_download", "legacy", "local_files_only", "pad_to_multiple_of",
    "padding", "padding_side", "proxies", "resume_download", "revision", "token", "trust_remote_code", "use_auth_token",
    "use_fast",
}  # fmt: skip


def make_manager(
    model: str | os.PathLike[str] | EmbeddingModelManager | None,
    *,
    device: Any = None,
    modules: Any = None,
    cache_folder: str | os.PathLike[str] | None = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    local_files_only: bool = False,
    token: bool | str | None = None,
    use_auth_token: bool | str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    processor_kwargs: Mapping[str, Any] | None = None,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    config_kwargs: Mapping[str, Any] | None = None,
    model_card_data: Any = None,
    backend: str = "torch",
) -> tuple[EmbeddingModelManager, int | None]:
    """A manager of the model, and the tokens that texts are to be cut at, where the options say so.

    :param model: a directory or a name; a manager that is there already; None: what the settings say.
    """
    check_flag("trust_remote_code", trust_remote_code)
    check_flag("local_files_only", local_files_only)  # Nothing is ever downloaded here.
    if modules is not None:
        raise ValueError("modules: PyTorch's modules can't be used here; save the model, and give the directory")
    if backend not in _BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(_BACKENDS)}, found {show(backend)}")
    _warn("trust_remote_code", trust_remote_code, "no code of a model is ever run; its own classes can't be used")
    _warn("token", token is not None or use_auth_token is not None, "models come from this machine, without the hub")
    _warn("model_card_data", model_card_data is not None, "no model card is written")
    _warn("backend", backend != "torch", "the engine is remuda's own")
    device, precision = _read_model_kwargs(_mapping("model_kwargs", model_kwargs), device)
    given = _mapping("tokenizer_kwargs", tokenizer_kwargs) | _mapping("processor_kwargs", processor_kwargs)
    max_seq_length = _read_processor_kwargs(given)
    for name in _mapping("config_kwargs", config_kwargs):
        if name not in _HARMLESS and name != "attn_implementation":
            raise ValueError(f"config_kwargs: {name} can't be changed here; change it in the model's config.json")
    if isinstance(model, EmbeddingModelManager):
        named = cache_folder is not None or revision is not None or precision is not None
        _warn("cache_folder, revision and the dtype", named, "the manager that was given has its model already")
        model._check_device(device)
        return model, max_seq_length
    settings = get_settings()
    if model is not None:
        settings.embedding_model = os.fspath(model)
    settings.embedding_model = _find(settings.embedding_model, cache_folder, revision)
    if device is not None:
        settings.device = f"cuda:{device}" if isinstance(device, int) and not isinstance(device, bool) else str(device)
    if precision is not None:
        settings.precision = precision
    return EmbeddingModelManager(settings), max_seq_length


def _warn(name: str, is_given: bool, why: str) -> None:
    if is_given:
        warnings.warn(f"{name}: means nothing here: {why}", stacklevel=4)


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a dict, found {show(value)}")
    return dict(value)


def _read_model_kwargs(options: dict[str, Any], device: Any) -> tuple[Any, str | None]:
    """The device and the precision."""
    precision = None
    for name, value in options.items():
        if name in ("dtype", "torch_dtype"):
            kind = str(value).removeprefix("torch.")
            if value is not None and kind not in _PRECISIONS:
                expected = ", ".join(_PRECISIONS)
                raise ValueError(f"model_kwargs: {name}: expected one of {expected}, found {show(value)}")
            precision = None if value is None else _PRECISIONS[kind]
        elif name == "device_map" and isinstance(value, Mapping):
            raise ValueError("model_kwargs: device_map: a model is on one device here; name that")
        elif name == "device_map":
            device = device if value is None else value
        elif name in ("quantization_config", "load_in_8bit", "load_in_4bit") and value:
            raise ValueError(f'model_kwargs: {name} isn\'t known here; set Settings.precision to "int8"')
        else:
            _warn(f"model_kwargs: {name}", True, "it is an option of PyTorch's model")
    return device, precision


def _read_processor_kwargs(options: dict[str, Any]) -> int | None:
    """The tokens that texts are cut at."""
    length: int | None = None
    for name, value in options.items():
        if name in ("model_max_length", "max_length"):
            check_count(f"processor_kwargs: {name}", value, optional=True)
            length = value
        elif name not in _HARMLESS:
            raise ValueError(
                f"processor_kwargs: {name} isn't honoured here, and may change token ids; write it into the model's "
                "tokenizer_config.json"
            )
        else:
            _warn(f"processor_kwargs: {name}", True, "it changes no token id")
    return length


def _find(model: str, cache_folder: str | os.PathLike[str] | None, revision: str | None) -> str:
    """The directory of a snapshot, where a folder or a revision is asked for; else the name as it is."""
    check_str("revision", revision, optional=True)
    folder = os.environ.get("SENTENCE_TRANSFORMERS_HOME") if cache_folder is None else os.fspath(cache_folder)
    if os.path.isdir(model) or model.count("/") > 1 or (not folder and revision is None):
        return model
    name = model if "/" in model else f"{_ORGANISATION}/{model}"
    caches = [pathlib.Path(folder).expanduser()] if folder else []
    caches += _hub_caches() if revision is not None else []
    for cache in caches:
        if (found := _snapshot(cache, name, revision)) is not None:
            return str(found)
    if revision is not None:
        places = ", ".join(map(str, caches))
        raise NotFound(f"{name}: expected revision {revision!r} in {places}, found none; download it: "
                       f"hf download {name} --revision {revision}")
    return model


def _hub_caches() -> list[pathlib.Path]:
    """Where huggingface_hub keeps models."""
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if value := os.environ.get(variable):
            return [pathlib.Path(os.path.expandvars(value)).expanduser() / below]
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return [pathlib.Path(base).expanduser() / "huggingface" / "hub"]


def _snapshot(cache: pathlib.Path, name: str, revision: str | None) -> pathlib.Path | None:
    folder = cache / ("models--" + name.replace("/", "--"))
    wanted = revision or "main"
    if ".." in pathlib.PurePath(wanted).parts or wanted.startswith("/"):
        raise ValueError(f"revision: expected a branch, a tag or a commit, found {revision!r}")
    reference = folder / "refs" / wanted
    commit = reference.read_text().strip() if reference.is_file() else wanted
    snapshot = folder / "snapshots" / commit
    if snapshot.is_dir():
        return snapshot
    snapshots = sorted((folder / "snapshots").glob("*")) if revision is None else []
    return snapshots[0] if len(snapshots) == 1 else None
