"""Queries and documents, as frameworks for retrieval tell them apart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from remuda import aio
from remuda._arguments import show
from remuda.embedding import EmbeddingModelManager
from remuda.integrations.sentence_transformers import SentenceTransformer
from remuda.native_manager import check_text, list_of_texts
from remuda.pool import Timeout

__all__ = ["RetrievalModel"]


class RetrievalModel:
    """A model whose prompts "query" and "document" are put before queries and documents."""

    def __init__(
        self,
        manager: EmbeddingModelManager | None,
        model_name: str | os.PathLike[str] | None,
        options: dict[str, Any],
        encode_kwargs: Mapping[str, Any] | None = None,
        query_encode_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if manager is not None and model_name is not None:
            raise TypeError("model_name: expected a manager or a model's name, found both; leave one out")
        if manager is not None and not isinstance(manager, EmbeddingModelManager):
            raise TypeError(f"manager: expected an EmbeddingModelManager, found {show(manager)}; a name is model_name")
        self._model = SentenceTransformer(model_name if manager is None else manager, **options)
        self.manager: EmbeddingModelManager = self._model.manager
        for name, given in (("encode_kwargs", encode_kwargs), ("query_encode_kwargs", query_encode_kwargs)):
            if given is not None and not isinstance(given, Mapping):
                raise TypeError(f"{name}: expected a dict, found {show(given)}")
        self._for_documents: dict[str, Any] = dict(encode_kwargs or {})
        self._for_queries: dict[str, Any] = dict(encode_kwargs or {} if query_encode_kwargs is None else query_encode_kwargs)

    def query(self, text: str, prompt: str | None, timeout: Timeout) -> Any:
        """[dimension]"""
        check_text(text)
        return self._encode_query(text, prompt, timeout, None)

    def documents(self, texts: Any, prompt: str | None, timeout: Timeout) -> Any:
        """[texts, dimension]"""
        texts = list_of_texts(texts, "the method for a query, or a list of one")
        return self._encode_documents(texts, prompt, timeout, None)

    async def aquery(self, text: str, prompt: str | None, timeout: Timeout) -> Any:
        """`query`, while the event loop goes on."""
        check_text(text)
        return await aio.call(None, timeout, lambda left, token: self._encode_query(text, prompt, left, token))

    async def adocuments(self, texts: Any, prompt: str | None, timeout: Timeout) -> Any:
        """`documents`, while the event loop goes on."""
        texts = list_of_texts(texts, "the method for a query, or a list of one")
        return await aio.call(None, timeout, lambda left, token: self._encode_documents(texts, prompt, left, token))

    def _encode_query(self, text: str, prompt: str | None, timeout: Timeout, token: Any) -> Any:
        return self._model.encode_query(text, _token=token, **_with(self._for_queries, prompt, timeout))

    def _encode_documents(self, texts: Any, prompt: str | None, timeout: Timeout, token: Any) -> Any:
        return self._model.encode_document(texts, _token=token, **_with(self._for_documents, prompt, timeout))


def _with(options: dict[str, Any], prompt: str | None, timeout: Timeout) -> dict[str, Any]:
    return {**options, "timeout": timeout, **({} if prompt is None else {"prompt": prompt})}
