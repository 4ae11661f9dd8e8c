"""Abstractive summaries from Hugging Face BART directories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from remuda import _native
from remuda._native import DocumentPart, GeneratedText, LongSummary, Summary
from remuda._arguments import Unset, check_count, check_flag
from remuda.native_manager import NativeManager, check_text, list_of_texts
from remuda.pool import ModelInstance, Timeout

__all__ = ["DocumentPart", "GeneratedText", "LongSummary", "SummarizationModelManager", "Summary"]


class SummarizationModelManager(NativeManager["SummarizationModelManager", _native.SummarizationPool]):
    """A pool of native BART models.

    ::

        manager = SummarizationModelManager(settings)
        summary = manager.summarize_text(document, num_beams=4, max_length=142)
        with manager.acquire(timeout=10.0) as instance:
            summary = manager.summarize_text(document, instance)

    Options of the search have the names of transformers' ``generate``: num_beams, length_penalty, early_stopping,
    max_length, max_new_tokens, min_length, no_repeat_ngram_size, repetition_penalty, do_sample, temperature, top_k, top_p,
    seed, num_return_sequences and the rest. What isn't given, or is `Unset`, is as the model's files say; None switches an
    option off, whatever they say (``forced_bos_token_id=None``).
    """

    model_type = "summarization"

    def __init__(self, settings: Any = None) -> None:
        """
        :param settings: any object with the attributes of `Settings`; None: what `get_settings` says.
        :raises FileNotFoundError: where there is no such model.
        :raises ValueError: where its files are damaged, or describe a model that remuda can't run.
        """
        self._start(settings, settings, _native.SummarizationPool)

    @property
    def max_seq_length(self) -> int:
        """Tokens of a document that the model reads at most; `summarize_long` reads on."""
        window: int = self._native.info["window"]
        return window

    def summarize_text(
        self, text: str, instance: ModelInstance[Any] | None = None, *, timeout: Timeout = None, **generation: Any
    ) -> str:
        """A document's summary; on ``instance``, or decoded together with other threads' calls.

        What is beyond the model's window is not read; `summarize` says so, and `summarize_long` reads everything.

        :param timeout: seconds for the whole call: waiting for an instance, and generating.
        """
        check_text(text)
        return self.summarize([text], instance, timeout=timeout, **generation)[0].best.text

    def summarize_texts(
        self,
        texts: Iterable[str],
        instance: ModelInstance[Any] | None = None,
        *,
        timeout: Timeout = None,
        **generation: Any,
    ) -> list[str]:
        """Many documents' summaries, decoded together."""
        return [summary.best.text for summary in self.summarize(texts, instance, timeout=timeout, **generation)]

    def summarize(
        self,
        texts: Iterable[str],
        instance: ModelInstance[Any] | None = None,
        *,
        max_input_tokens: int | None = None,
        max_batch_tokens: int | None = None,
        timeout: Timeout = None,
        partial: bool = False,
        **generation: Any,
    ) -> list[Summary]:
        """Many documents' summaries, with ids, scores, and what of each document was read.

        :param max_input_tokens: that a document is cut at; None: the model's window.
        :param max_batch_tokens: bounds what is decoded at once; changes no result. None: 8,192, and on a GPU 65,536, as far
            as its memory goes.
        :param partial: when the time is over, return the summaries as far as they are (``best.complete`` is False)
            instead of raising ``TimeoutError``.
        """
        check_count("max_input_tokens", max_input_tokens, optional=True)
        check_count("max_batch_tokens", max_batch_tokens, least=1, optional=True)
        check_flag("partial", partial)
        listed = list_of_texts(texts, "summarize_text")
        return self._native.summarize(
            listed, instance, _given(generation), max_input_tokens, max_batch_tokens, timeout, partial, None, None
        )

    def summarize_long(
        self,
        text: str,
        instance: ModelInstance[Any] | None = None,
        *,
        part_tokens: int | None = None,
        overlap_tokens: int | None = None,
        timeout: Timeout = None,
        **generation: Any,
    ) -> LongSummary:
        """The summary of a document of any length.

        The document is split at the ends of paragraphs and sentences into parts that the model reads whole; those are
        summarised together, and their summaries again, as often as it takes. ``parts`` of the result says what was read.

        :param part_tokens: tokens of a part at most.
        :param overlap_tokens: tokens at the end of a part that the next one reads again, at most.
        """
        check_text(text)
        check_count("part_tokens", part_tokens, optional=True)
        check_count("overlap_tokens", overlap_tokens, optional=True)
        return self._native.summarize_long(text, instance, _given(generation), part_tokens, overlap_tokens, None, timeout, None, None)

    def stream(
        self, text: str, instance: ModelInstance[Any] | None = None, *, timeout: Timeout = None, **generation: Any
    ) -> Iterator[str]:
        """The summary in pieces, as they are settled; together they are what `summarize_text` returns.

        Greedy search (``num_beams=1``) and sampling settle every token as it is chosen, beam search what all beams share.
        Closing the iterator ends the work.
        """
        check_text(text)
        return _stream(self._native, text, instance, timeout, _given(generation))

    async def asummarize(
        self,
        text: str | Iterable[str],
        instance: ModelInstance[Any] | None = None,
        *,
        timeout: Timeout = None,
        **generation: Any,
    ) -> Any:
        """`summarize_text` or `summarize_texts` for asyncio: the event loop goes on, and a cancelled task ends the work.

        Returns a str for a str, a list of str for several.
        """
        from remuda import aio

        alone = isinstance(text, str)
        listed = [text] if isinstance(text, str) else list_of_texts(text, "summarize_text")
        given = _given(generation)

        def work(left: float | None, token: _native.CancelToken) -> list[str]:
            found = self._native.summarize(listed, instance, given, None, None, left, False, None, token)
            return [summary.best.text for summary in found]

        summaries = await aio.call(instance, timeout, work)
        return summaries[0] if alone else summaries


def _given(generation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in generation.items() if value is not Unset}


def _stream(
    summarizer: _native.SummarizationPool,
    text: str,
    instance: ModelInstance[Any] | None,
    timeout: Timeout,
    generation: dict[str, Any],
) -> Iterator[str]:
    import queue
    import threading

    pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
    token = _native.CancelToken()

    def work() -> None:
        try:
            summarizer.summarize(
                [text],
                instance,
                generation,
                None,
                None,
                timeout,
                False,
                lambda document, piece: pieces.put(piece),
                token,
            )
            pieces.put(None)
        except BaseException as error:
            pieces.put(error)

    thread = threading.Thread(target=work, name="remuda-stream", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        token.cancel()
        thread.join()
