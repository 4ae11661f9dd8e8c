"""Sentence embeddings from Hugging Face model directories, with sentence-transformers' conventions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from remuda import _native
from remuda._arguments import check_count, check_str
from remuda.native_manager import NativeManager, check_text, list_of_texts
from remuda.pool import ModelInstance, Timeout
from remuda.progress import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EmbeddingModelManager", "Embeddings", "quantize_embeddings"]

EncodePrecision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
# Texts that are computed in one call while a progress bar moves; enough to sort by length within.
_PROGRESS_STEP = 256


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

    def __init__(self, settings: Any = None) -> None:
        """
        :param settings: any object with the attributes of `Settings`; None: what `get_settings` says.
        :raises FileNotFoundError: where there is no such model.
        :raises ValueError: where its files are damaged, or describe a model that remuda can't run.
        """
        super().__init__(settings, _native.EmbeddingPool)

    @property
    def dimension(self) -> int:
        """Numbers in an embedding."""
        dimension: int = self.info["dimension"]
        return dimension

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

        :param prompt_name: one of the model's prompts, put before every text.
        :param prompt: this text itself, put before every text.
        :param max_length: tokens that a text is cut at; None: the model's own.
        :param max_batch_tokens: computed at once; bounds the memory, never changes a result. None: 512, and on a GPU 8,192,
            which instances that are in use share.
        :param timeout: seconds to wait for an instance, or for a place among other calls' texts.
        """
        listed = list_of_texts(texts, "embed_text")
        return self._embed(listed, instance, prompt_name, prompt, max_length, max_batch_tokens, timeout, token=None)

    def _embed(
        self,
        texts: list[str],
        instance: ModelInstance[Any] | None,
        prompt_name: str | None,
        prompt: str | None,
        max_length: int | None,
        max_batch_tokens: int | None,
        timeout: Timeout,
        token: _native.CancelToken | None,
    ) -> Embeddings:
        check_str("prompt_name", prompt_name, optional=True)
        check_str("prompt", prompt, optional=True)
        check_count("max_length", max_length, optional=True)
        check_count("max_batch_tokens", max_batch_tokens, least=1, optional=True)
        values, tokens, used, _ = self._native.embed_texts(
            texts, instance, prompt_name, prompt, max_length, max_batch_tokens, timeout, token
        )
        return Embeddings(values, tokens, used)

    def encode(
        self,
        sentences: str | Sequence[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding"] = "sentence_embedding",
        precision: EncodePrecision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        *,
        truncate_dim: int | None = None,
        instance: ModelInstance[Any] | None = None,
        timeout: Timeout = None,
    ) -> Any:
        """Embeddings, with the arguments that sentence-transformers' ``encode`` has.

        :param sentences: a text, for [dimension], or a list of them, for [texts, dimension].
        :param prompt_name: one of the model's prompts; ``prompt``: this text itself, put before every sentence.
        :param batch_size: texts between two looks at the progress bar. The engine batches by tokens, not by this, and
            no result depends on it.
        :param show_progress_bar: tqdm's where it is installed, on stderr; None: no.
        :param precision: "float32", or "int8", "uint8", "binary" and "ubinary" as sentence-transformers quantizes.
        :param convert_to_numpy: False: a list with an array for each sentence.
        :param convert_to_tensor: a PyTorch tensor, which shares the memory.
        :param device: accepted where it is the manager's own.
        :param normalize_embeddings: scale each to length 1.
        :param truncate_dim: the first numbers of each alone, for models that were trained for it.
        :param instance: a leased instance; ``timeout``: seconds to wait, as in `embed_texts`, where there is none.
        """
        if output_value != "sentence_embedding":
            raise ValueError(f"output_value: expected 'sentence_embedding', found {output_value!r}")
        if device is not None and str(device) != self.get_device():
            raise ValueError(f"device: this manager computes on {self.get_device()!r}, found {device!r}")
        check_count("batch_size", batch_size, least=1)
        check_count("truncate_dim", truncate_dim, least=1, optional=True)
        alone = isinstance(sentences, str)
        texts = [sentences] if isinstance(sentences, str) else list_of_texts(sentences, "embed_text")

        def embed(part: list[str]) -> NDArray[np.float32]:
            return self._embed(part, instance, prompt_name, prompt, None, 512, timeout, token=None).values

        if show_progress_bar and texts:
            values = np.empty((len(texts), self.dimension), np.float32)
            for start in progress(range(0, len(texts), step := max(batch_size, _PROGRESS_STEP)), "Batches"):
                values[start : start + step] = embed(texts[start : start + step])
        else:
            values = embed(texts)
        return _finish(values, alone, precision, convert_to_numpy, convert_to_tensor, normalize_embeddings, truncate_dim)

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
            return self._embed(listed, instance, prompt_name, prompt, max_length, 512, left, token).values

        values = await aio.call(instance, timeout, work)
        return values[0] if alone else values


def _finish(
    values: NDArray[np.float32],
    alone: bool,
    precision: str,
    convert_to_numpy: bool,
    convert_to_tensor: bool,
    normalize: bool,
    truncate_dim: int | None,
) -> Any:
    if truncate_dim is not None:
        values = values[:, :truncate_dim]
    if normalize:
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        values = values / np.maximum(lengths, 1e-12)
    result: NDArray[Any] = values
    if precision != "float32":
        result = quantize_embeddings(values, precision)
    if alone:
        result = result[0]
    if convert_to_tensor:
        try:
            import torch
        except ImportError:
            raise ImportError("convert_to_tensor: PyTorch is not installed; install torch, or take numpy's arrays") from None
        return torch.from_numpy(np.ascontiguousarray(result))
    return result if convert_to_numpy or alone else list(result)


def quantize_embeddings(
    embeddings: NDArray[np.float32], precision: str, ranges: NDArray[np.float32] | None = None
) -> NDArray[Any]:
    """Embeddings in fewer bits, as sentence-transformers makes them.

    :param precision: "int8" and "uint8": each dimension's range in 255 steps; "binary" and "ubinary": a bit a
        dimension, above 0 or not, eight of them in a byte.
    :param ranges: [2, dimension], the least and the greatest number of each dimension; None: those of ``embeddings``,
        which should then be hundreds.
    """
    if not isinstance(embeddings, np.ndarray) or embeddings.ndim != 2 or embeddings.dtype.kind not in "fiu":
        found = f"{embeddings!r:.80} ({type(embeddings).__name__})"
        raise TypeError(f"embeddings: expected a numpy array of numbers, [texts, dimension], found {found}")
    if precision in ("int8", "uint8"):
        if ranges is None:
            ranges = np.vstack((np.min(embeddings, axis=0), np.max(embeddings, axis=0)))
        starts = ranges[0, :]
        steps = (ranges[1, :] - ranges[0, :]) / 255
        steps = np.where(steps == 0, 1, steps)  # A dimension that is the same in all.
        scaled = (embeddings - starts) / steps
        return np.clip(scaled, 0, 255).astype(np.uint8) if precision == "uint8" else np.clip(
            scaled - 128, -128, 127
        ).astype(np.int8)
    if precision == "ubinary":
        return np.packbits(embeddings > 0).reshape(embeddings.shape[0], -1)
    if precision == "binary":
        bits = np.packbits(embeddings > 0).reshape(embeddings.shape[0], -1)
        return (bits.astype(np.int16) - 128).astype(np.int8)
    raise ValueError(f"precision: expected float32, int8, uint8, binary or ubinary, found {precision!r}")
