"""Sentence embeddings from Hugging Face model directories, with sentence-transformers' conventions."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from remuda import _native, similarity as _similarity
from remuda._arguments import check_count, check_str, show
from remuda.errors import InvalidArgument
from remuda.native_manager import NativeManager, check_no_instance, check_text, list_of_texts
from remuda.pool import ModelInstance, Timeout
from remuda.progress import progress
from remuda.quantization import PRECISIONS, quantize_embeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EmbeddingModelManager", "Embeddings", "quantize_embeddings"]

EncodePrecision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
# Texts that are computed in one call while a progress bar moves; enough to sort by length within.
_PROGRESS_STEP = 256
# Names of prompts that sentence-transformers tries for documents, in this order.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
_MISSING: Any = object()


class Embeddings(NamedTuple):
    """What `EmbeddingModelManager.embed_texts` knows of its texts; row i of each belongs to text i."""

    #: float32, [texts, dimension].
    values: NDArray[np.float32]
    #: Tokens that each text has, special tokens included.
    tokens: NDArray[np.int64]
    #: How many of them the model read.
    used_tokens: NDArray[np.int64]

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """Which texts the model read only the beginning of."""
        return self.used_tokens < self.tokens


class EmbeddingModelManager(NativeManager["EmbeddingModelManager", _native.EmbeddingPool]):
    """A pool of native embedding models: BERT, DistilBERT, MPNet, RoBERTa, XLM-R.

    ::

        manager = EmbeddingModelManager(settings)
        vectors = manager.encode(["A horse is a horse.", "Of course."])
        with manager.acquire(timeout=10.0) as instance:
            vector = manager.embed_text("The remuda waits at dawn.", instance)

    Weights are loaded with the first instance and shared by all. The same text gives the same bytes: alone, in any batch,
    on any instance, with any number of threads.
    """

    model_type = "embedding"

    # The least tokens that a text can be cut at: two special ones and one of the text.
    _SHORTEST = 3

    _max_seq_length: int | None = None
    _prompts: dict[str, str] | None = None

    def __init__(self, settings: Any = None) -> None:
        """
        :param settings: any object with the attributes of `Settings`; None: what `get_settings` says.
        :raises FileNotFoundError: where there is no such model.
        :raises ValueError: where its files are damaged, or describe a model that remuda can't run.
        """
        self._start(settings, settings, _native.EmbeddingPool)

    @property
    def dimension(self) -> int:
        """Numbers in an embedding."""
        dimension: int = self._native.info["dimension"]
        return dimension

    def get_embedding_dimension(self) -> int:
        """Numbers in an embedding, under sentence-transformers' name."""
        return self.dimension

    def get_sentence_embedding_dimension(self) -> int:
        """Numbers in an embedding, under sentence-transformers' older name."""
        return self.dimension

    @property
    def max_seq_length(self) -> int:
        """Tokens that a text is cut at. It can be set, for every later call; None: the model's own.

        What the model has no positions for is cut all the same, with a warning when it is set.
        """
        length: int = self._native.info["max_seq_length"] if self._max_seq_length is None else self._max_seq_length
        return length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        self._max_seq_length = None if value is None else self._possible_length(value)

    def _possible_length(self, value: Any) -> int:
        check_count("max_seq_length", value)
        length: int = value.__index__()
        longest: int = self._native.info["longest_text"]
        if length > longest:
            warnings.warn(
                f"max_seq_length: {self.model_name} has positions for {longest} tokens, found {length}; texts are cut at "
                f"{longest}",
                stacklevel=3,
            )
            return longest
        return self._check_length("max_seq_length", length)

    def _check_length(self, name: str, value: int) -> int:
        longest: int = self._native.info["longest_text"]
        if not self._SHORTEST <= value <= longest:
            raise InvalidArgument(
                f"{name}: {self.model_name} can be cut at {self._SHORTEST} to {longest} tokens, found {value}"
            )
        return value

    @property
    def prompts(self) -> dict[str, str]:
        """The model's prompts by their names; "query" and "document" are always there, if need be empty."""
        if self._prompts is None:
            self._prompts = {"query": "", "document": "", **self._native.info["prompt_texts"]}
        return dict(self._prompts)

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt that is used where a call names none; None: there is none."""
        name: str | None = self._native.info["default_prompt_name"]
        return name

    @property
    def similarity_fn_name(self) -> str:
        """How embeddings of this model are compared: "cosine", "dot", "euclidean" or "manhattan"."""
        return _similarity.check_name(self._native.info["similarity"])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How similar each of the first is to each of the second, [n, m], by `similarity_fn_name`.

        Arrays for arrays, PyTorch's tensors for tensors.
        """
        return _similarity.similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How similar each of the first is to the one in its place of the second, [n], by `similarity_fn_name`."""
        return _similarity.pairwise_similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def embed_text(
        self,
        text: str,
        instance: ModelInstance[Any] | None = None,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        max_length: int | None = None,
        timeout: Timeout = None,
    ) -> NDArray[np.float32]:
        """One text's embedding, [dimension]; on ``instance``, or computed together with other threads' calls."""
        check_text(text)
        result = self.embed_texts(
            [text], instance, prompt_name=prompt_name, prompt=prompt, max_length=max_length, timeout=timeout
        )
        row: NDArray[np.float32] = result.values[0]
        return row

    def embed_texts(
        self,
        texts: Iterable[str],
        instance: ModelInstance[Any] | None = None,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        max_length: int | None = None,
        max_batch_tokens: int | None = None,
        timeout: Timeout = None,
    ) -> Embeddings:
        """The embeddings of many texts, and how many tokens each had.

        Without an instance the call takes one, and under load calls of different threads are computed together; a long
        list is computed on every instance that nobody uses.

        :param texts: a list, or anything else that gives texts in an order; no dict, table or set.
        :param prompt_name: one of `prompts`, put before every text.
        :param prompt: this text itself, put before every text; outweighs ``prompt_name``.
        :param max_length: tokens that a text is cut at; None: `max_seq_length`.
        :param max_batch_tokens: computed at once; bounds the memory, never changes a result. None: 512, and on a GPU 8,192,
            which instances that are in use share.
        :param timeout: seconds to wait for an instance, or for a place among other calls' texts.
        """
        listed = list_of_texts(texts, "embed_text")
        return self._embed(listed, instance, prompt_name, prompt, max_length, max_batch_tokens, timeout)[0]

    def _embed(
        self,
        texts: list[str],
        instance: ModelInstance[Any] | None,
        prompt_name: str | None,
        prompt: str | None,
        max_length: int | None,
        max_batch_tokens: int | None,
        timeout: Timeout,
        token: _native.CancelToken | None = None,
        token_vectors: bool = False,
    ) -> tuple[Embeddings, list[NDArray[np.float32]]]:
        """With the vectors of each text's tokens, where they are asked for."""
        check_str("prompt_name", prompt_name, optional=True)
        check_str("prompt", prompt, optional=True)
        check_count("max_length", max_length, optional=True)
        check_count("max_batch_tokens", max_batch_tokens, least=1, optional=True)
        if prompt is None and prompt_name is not None:
            prompt = self._prompt_of(prompt_name)
        if max_length is not None:
            self._check_length("max_length", max_length.__index__())
        values, tokens, used, _, of_tokens = self._native.embed_texts(
            texts,
            instance,
            None,
            prompt,
            self._max_seq_length if max_length is None else max_length,
            max_batch_tokens,
            timeout,
            token,
            token_vectors,
        )
        return Embeddings(values, tokens, used), of_tokens

    def _prompt_of(self, name: str) -> str:
        prompts = self.prompts
        if name not in prompts:
            raise InvalidArgument(
                f"prompt_name: {self.model_name} knows the prompts [{', '.join(prompts)}], found {name!r}"
            )
        return prompts[name]

    def encode(
        self,
        inputs: str | Sequence[str] = _MISSING,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding", "token_embeddings"] = "sentence_embedding",
        precision: EncodePrecision | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        *,
        sentences: str | Sequence[str] = _MISSING,
        task: str | None = None,
        max_length: int | None = None,
        instance: ModelInstance[Any] | None = None,
        timeout: Timeout = None,
        _token: _native.CancelToken | None = None,
    ) -> Any:
        """Embeddings, with the arguments that sentence-transformers' ``encode`` has.

        :param inputs: a text, for [dimension], or a list of them, for [texts, dimension]; ``sentences`` is its older name.
        :param prompt_name: one of `prompts`; ``prompt``: this text itself, put before every text.
        :param batch_size: texts between two looks at the progress bar. The engine batches by tokens, not by this, and
            no result depends on it.
        :param show_progress_bar: tqdm's where it is installed, on stderr; None: no.
        :param output_value: "token_embeddings": for each text the vectors of its tokens as the model's last module leaves
            them, [tokens, width], special tokens and a prompt's included; on a CPU. Only ``convert_to_tensor`` changes them.
        :param precision: "float32", or "int8", "uint8", "binary" and "ubinary" as sentence-transformers quantizes.
        :param convert_to_numpy: False: a list with an array for each text.
        :param convert_to_tensor: a PyTorch tensor, which shares the memory.
        :param device: accepted where it is the manager's own.
        :param normalize_embeddings: scale each to length 1.
        :param truncate_dim: the first numbers of each alone, for models that were trained for it.
        :param pool: as ``chunk_size`` and ``task`` it changes nothing: calls share this process's instances.
        :param max_length: tokens that a text is cut at; None: `max_seq_length`.
        :param instance: a leased instance; ``timeout``: seconds to wait, as in `embed_texts`, where there is none.
        """
        if (inputs is _MISSING) == (sentences is _MISSING):
            found = "neither" if inputs is _MISSING else "both"
            raise TypeError(f"encode(): expected `inputs`, or `sentences` as its older name, found {found}")
        given = sentences if inputs is _MISSING else inputs
        check_no_instance("prompt_name", prompt_name, "encode")
        of_tokens = output_value == "token_embeddings"
        if not of_tokens and output_value != "sentence_embedding":
            raise ValueError(f"output_value: expected 'sentence_embedding' or 'token_embeddings', found {output_value!r}")
        if precision is not None and precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, found {show(precision)}")
        if of_tokens and precision not in ("float32", None):
            raise ValueError(f"precision: expected 'float32' for the vectors of tokens, found {precision!r}")
        self._check_device(device)
        check_count("batch_size", batch_size, least=1)
        check_count("chunk_size", chunk_size, least=1, optional=True)
        check_count("truncate_dim", truncate_dim, least=1, optional=True)
        alone = isinstance(given, str)
        texts = [given] if isinstance(given, str) else list_of_texts(given, "embed_text")

        def compute(part: list[str]) -> tuple[Embeddings, list[NDArray[np.float32]]]:
            return self._embed(part, instance, prompt_name, prompt, max_length, None, timeout, _token, of_tokens)

        if show_progress_bar and texts:
            values = np.empty((len(texts), self.dimension), np.float32)
            token_vectors: list[Any] = []
            for start in progress(range(0, len(texts), step := max(batch_size, _PROGRESS_STEP)), "Batches"):
                given_part, part_vectors = compute(texts[start : start + step])
                values[start : start + step] = given_part.values
                token_vectors += part_vectors
        else:
            whole, token_vectors = compute(texts)
            values = whole.values
        if of_tokens:
            if convert_to_tensor:
                token_vectors = [_to_tensor(vectors) for vectors in token_vectors]
            return token_vectors[0] if alone else token_vectors
        values = _shorten(values, truncate_dim, normalize_embeddings)
        result = values if precision in ("float32", None) else quantize_embeddings(values, precision)
        return _convert(result, alone, convert_to_numpy, convert_to_tensor)

    def encode_query(
        self, inputs: str | Sequence[str] = _MISSING, prompt_name: str | None = None, *rest: Any, **options: Any
    ) -> Any:
        """`encode` with the prompt "query", where the call gives no other."""
        return self._encode_with(("query",), inputs, prompt_name, rest, options)

    def encode_document(
        self, inputs: str | Sequence[str] = _MISSING, prompt_name: str | None = None, *rest: Any, **options: Any
    ) -> Any:
        """`encode` with the prompt "document", where the call gives no other."""
        return self._encode_with(_DOCUMENT_PROMPTS, inputs, prompt_name, rest, options)

    def _encode_with(
        self, names: tuple[str, ...], inputs: Any, prompt_name: str | None, rest: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        prompt = rest[0] if rest else options.get("prompt")
        if prompt_name is None and prompt is None:
            prompt_name = next((name for name in names if name in self.prompts), None)
        return self.encode(inputs, prompt_name, *rest, **options)

    def _check_device(self, device: Any) -> None:
        own = self.get_device()
        for given in device if isinstance(device, (list, tuple)) else [device]:
            if given is not None and str(given) != own and (str(given) != "cuda" or not own.startswith("cuda:")):
                raise ValueError(f"device: this manager computes on {own!r}, found {given!r}; its settings choose the device")

    async def aembed(
        self,
        texts: str | Iterable[str],
        instance: ModelInstance[Any] | None = None,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        max_length: int | None = None,
        timeout: Timeout = None,
    ) -> NDArray[np.float32]:
        """`embed_text` or `embed_texts` for asyncio: the event loop goes on, and a cancelled task ends the work.

        Returns [dimension] for a str, [texts, dimension] for several.
        """
        from remuda import aio

        alone = isinstance(texts, str)
        listed = [texts] if isinstance(texts, str) else list_of_texts(texts, "embed_text")

        def work(left: float | None, token: _native.CancelToken) -> NDArray[np.float32]:
            return self._embed(listed, instance, prompt_name, prompt, max_length, None, left, token)[0].values

        values = await aio.call(instance, timeout, work)
        return values[0] if alone else values


def _shorten(values: NDArray[np.float32], truncate_dim: int | None, normalize: bool) -> NDArray[np.float32]:
    if truncate_dim is not None:
        values = values[:, :truncate_dim]
    if normalize:
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        values = values / np.maximum(lengths, 1e-12)
    return values


def _to_tensor(array: NDArray[Any]) -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError("convert_to_tensor: PyTorch is not installed; install torch, or take numpy's arrays") from None
    return torch.from_numpy(np.ascontiguousarray(array))


def _convert(result: NDArray[Any], alone: bool, convert_to_numpy: bool, convert_to_tensor: bool) -> Any:
    if alone:
        result = result[0]
    if convert_to_tensor:
        return _to_tensor(result)
    return result if convert_to_numpy or alone else list(result)
