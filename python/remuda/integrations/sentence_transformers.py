"""A class that code which expects sentence-transformers' ``SentenceTransformer`` accepts. The library isn't needed."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from remuda import similarity as _similarity
from remuda._arguments import check_count, check_str, show
from remuda.embedding import EmbeddingModelManager
from remuda.integrations._model_options import make_manager

if TYPE_CHECKING:
    from typing_extensions import Self

    from remuda.tokenizer import Tokenizer

__all__ = ["SentenceTransformer"]

_logger = logging.getLogger("remuda")


class SentenceTransformer:
    """``encode``, ``similarity`` and what describes a model, as sentence-transformers 6.2 has them; computed by a manager.

    :param model_name_or_path: a directory, a name in the local Hugging Face cache, or an `EmbeddingModelManager` that is
        there already; None: what the settings say.
    :param device: "cpu", "cuda", "cuda:N"; None: as the settings say.
    :param prompts: texts by their names, which outweigh the model's own; ``default_prompt_name``: one to use always.
    :param similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan"; None: the model's own, or cosine.
    :param truncate_dim: the first numbers of each embedding alone.
    :param options: the library's others. ``cache_folder`` and ``revision`` choose a snapshot in a Hugging Face cache,
        ``model_kwargs`` a dtype and a device, ``processor_kwargs`` (``tokenizer_kwargs``) a ``model_max_length``.
        ``local_files_only`` is always so. ``trust_remote_code``, ``token``, ``backend`` and others mean nothing, which a
        warning says; an option that would change results and isn't honoured is an error.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | EmbeddingModelManager | None = None,
        *,
        device: Any = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: Any = None,
        truncate_dim: int | None = None,
        **options: Any,
    ) -> None:
        if similarity_fn_name is not None:
            _similarity.check_name(similarity_fn_name)
        self.backend: str = options.get("backend", "torch")
        self.manager: EmbeddingModelManager
        self.manager, max_seq_length = make_manager(model_name_or_path, device=device, **options)
        #: Texts to put before others, by their names; may be changed.
        self.prompts: dict[str, str] = {**self.manager.prompts, **_texts_by_name(prompts)}
        self.default_prompt_name: str | None = default_prompt_name or self.manager.default_prompt_name
        if self.default_prompt_name is not None and self.default_prompt_name not in self.prompts:
            raise ValueError(
                f"default_prompt_name: expected one of {', '.join(self.prompts)}, found {self.default_prompt_name!r}"
            )
        check_count("truncate_dim", truncate_dim, least=1, optional=True)
        self.truncate_dim: int | None = truncate_dim
        self._max_seq_length: int | None = None
        if max_seq_length is not None:
            self.max_seq_length = max_seq_length
        self.similarity_fn_name = similarity_fn_name

    # The model and its tokenizer, described.

    @property
    def device(self) -> str:
        """Where it computes."""
        return self.manager.get_device()

    @property
    def max_seq_length(self) -> int:
        """Tokens that a text is cut at. It can be set: for this object's calls, not for others of its manager."""
        return self.manager.max_seq_length if self._max_seq_length is None else self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        self._max_seq_length = None if value is None else self.manager._possible_length(value)

    def get_max_seq_length(self) -> int:
        """`max_seq_length`."""
        return self.max_seq_length

    def get_embedding_dimension(self) -> int:
        """Numbers in an embedding."""
        dimension = self.manager.dimension
        return dimension if self.truncate_dim is None else min(dimension, self.truncate_dim)

    def get_sentence_embedding_dimension(self) -> int:
        """Numbers in an embedding, under the older name."""
        return self.get_embedding_dimension()

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.manager.tokenizer

    def tokenize(self, texts: Any, **options: Any) -> dict[str, Any]:
        """``input_ids`` and ``attention_mask`` of texts, as the model reads them."""
        return self.tokenizer(texts, **{"max_length": self.max_seq_length, **options})

    def preprocess(self, inputs: Any, prompt: str | None = None, **options: Any) -> dict[str, Any]:
        """`tokenize`, with a prompt put before every text."""
        check_str("prompt", prompt, optional=True)
        return self.tokenize([prompt + text for text in inputs] if prompt else inputs, **options)

    def get_backend(self) -> str:
        """The backend that was asked for."""
        return self.backend

    def get_model_kwargs(self) -> list[str]:
        """Names of further arguments that `encode` passes to the model: none."""
        return []

    @property
    def modalities(self) -> list[str]:
        """What can be embedded: text."""
        return ["text"]

    def supports(self, modality: object) -> bool:
        """Whether this kind of input can be embedded."""
        return bool(modality == "text")

    # Embeddings.

    def encode(
        self, inputs: Any = None, prompt_name: str | None = None, prompt: str | None = None, *rest: Any, **options: Any
    ) -> Any:
        """As `EmbeddingModelManager.encode`, with this object's prompts, ``max_seq_length`` and ``truncate_dim``."""
        if inputs is not None:
            options["inputs"] = inputs
        elif "sentences" not in options:
            raise TypeError("inputs: expected a list of str, found None (NoneType)")
        names = ("batch_size", "show_progress_bar", "output_value", "precision", "convert_to_numpy", "convert_to_tensor",
                 "device", "normalize_embeddings", "truncate_dim", "pool", "chunk_size")  # fmt: skip
        if len(rest) > len(names):
            raise TypeError(f"encode(): expected at most {len(names) + 3} arguments by position, found {len(rest) + 3}")
        options = {**dict(zip(names, rest, strict=False)), **options}
        if options.get("truncate_dim") is None:
            options["truncate_dim"] = self.truncate_dim
        if options.get("max_length") is None:
            options["max_length"] = self._max_seq_length
        return self.manager.encode(prompt=self._resolve_prompt(prompt_name, prompt), **options)

    def _resolve_prompt(self, prompt_name: str | None, prompt: str | None) -> str:
        check_str("prompt_name", prompt_name, optional=True)
        check_str("prompt", prompt, optional=True)
        if prompt is not None:
            if prompt_name is not None:
                _logger.warning("encode(): prompt outweighs prompt_name, which was given, too; give one of them")
            return prompt
        name = self.default_prompt_name if prompt_name is None else prompt_name
        if name is None:
            return ""
        if name not in self.prompts:
            raise ValueError(f"prompt_name: expected one of {', '.join(self.prompts)}, found {name!r}")
        return self.prompts[name]

    def encode_query(
        self, inputs: Any = None, prompt_name: str | None = None, prompt: str | None = None, *rest: Any, **options: Any
    ) -> Any:
        """`encode` with the prompt "query", where the call gives no other."""
        return self._encode_with(("query",), inputs, prompt_name, prompt, rest, options)

    def encode_document(
        self, inputs: Any = None, prompt_name: str | None = None, prompt: str | None = None, *rest: Any, **options: Any
    ) -> Any:
        """`encode` with the prompt "document", where the call gives no other."""
        return self._encode_with(("document", "passage", "corpus"), inputs, prompt_name, prompt, rest, options)

    def _encode_with(
        self,
        names: tuple[str, ...],
        inputs: Any,
        prompt_name: str | None,
        prompt: str | None,
        rest: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        if prompt_name is None and prompt is None:
            prompt_name = next((name for name in names if name in self.prompts), None)
        return self.encode(inputs, prompt_name, prompt, *rest, **options)

    def __call__(self, sentences: Any) -> Any:
        return self.encode(sentences)

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Within the block embeddings are their first numbers alone."""
        check_count("truncate_dim", truncate_dim, least=1, optional=True)
        before, self.truncate_dim = self.truncate_dim, truncate_dim
        try:
            yield
        finally:
            self.truncate_dim = before

    truncate_sentence_embeddings = truncate_embeddings

    # How similar embeddings are.

    @property
    def similarity_fn_name(self) -> str:
        """How embeddings are compared; can be set to a name, or to None for the model's own."""
        return self.manager.similarity_fn_name if self._similarity_fn_name is None else self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: Any) -> None:
        self._similarity_fn_name: str | None = None if value is None else _similarity.check_name(value)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How similar each of the first is to each of the second, [n, m]; a PyTorch tensor for PyTorch tensors."""
        return _similarity.similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How similar each of the first is to the one in its place of the second, [n]."""
        return _similarity.pairwise_similarity(self.similarity_fn_name, embeddings1, embeddings2)

    # Methods that every PyTorch module has.

    def to(self, device: Any = None) -> Self:
        """This object, on a device. Moving needs a model that was given by name: it gets a manager there."""
        if device is None or str(device) == self.device or (str(device) == "cuda" and self.device.startswith("cuda")):
            return self
        if type(device).__name__ == "dtype":
            raise ValueError(f"to(): the precision is chosen when a model is made, with model_kwargs, found {device}")
        settings = copy.copy(self.manager.settings)
        if settings is None or not hasattr(settings, "device"):
            raise ValueError(f"to(): this model's manager computes on {self.device!r}, found {show(device)}; make another")
        settings.device = f"cuda:{device}" if isinstance(device, int) else str(device)
        self.manager = EmbeddingModelManager(settings)
        return self

    def cpu(self) -> Self:
        """`to` the processor."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """`to` a GPU."""
        return self.to("cuda" if device is None else device)

    def eval(self) -> Self:
        """This object: it never does anything but infer."""
        return self

    def train(self, mode: bool = True) -> Self:
        """This object for ``mode=False``; remuda trains no models."""
        if mode:
            raise NotImplementedError("train(): remuda trains no models; train with sentence-transformers, and save")
        return self

    # Processes, which nothing needs: calls of all threads share the instances.

    def start_multi_process_pool(self, target_devices: Any = None) -> dict[str, Any]:
        """What `encode` takes as ``pool``. No process is started: the engine uses all cores in this one."""
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: dict[str, Any]) -> None:
        """There is nothing to stop."""

    def encode_multi_process(self, sentences: Any, pool: dict[str, Any], *rest: Any, **options: Any) -> Any:
        """`encode`, in this process."""
        names = ("prompt_name", "prompt", "batch_size", "chunk_size", "show_progress_bar", "precision",
                 "normalize_embeddings", "truncate_dim")  # fmt: skip
        return self.encode(sentences, **{**dict(zip(names, rest, strict=False)), **options})

    def __repr__(self) -> str:
        return f"<remuda SentenceTransformer: {self.manager.model_name}>"


def _texts_by_name(prompts: Any) -> dict[str, str]:
    if prompts is None:
        return {}
    if not isinstance(prompts, dict):
        raise TypeError(f"prompts: expected a dict of texts by their names, found {show(prompts)}")
    for name, text in prompts.items():
        check_str("prompts: a name", name)
        check_str(f"prompts: {name}", text, optional=True)
    return {name: text for name, text in prompts.items() if text is not None}
