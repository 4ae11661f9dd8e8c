"""LlamaIndex's ``BaseEmbedding`` on a manager:  ``pip install 'remuda[llama-index]'``."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from remuda.embedding import EmbeddingModelManager
from remuda.pool import Timeout

__all__ = ["RemudaEmbedding"]


class RemudaEmbedding(BaseEmbedding):  # type: ignore[misc, unused-ignore]
    """Embeddings for LlamaIndex's indexes.

    :param manager: shared with whoever else uses it; None: one of the environment's settings.
    :param query_prompt: put before queries; ``text_prompt``: before texts; for models that were trained so.
    :param timeout: seconds to wait for an instance.
    """

    _manager: EmbeddingModelManager = PrivateAttr()
    _prompts: tuple[str | None, str | None] = PrivateAttr()
    _timeout: Timeout = PrivateAttr()

    def __init__(
        self,
        manager: EmbeddingModelManager | None = None,
        *,
        query_prompt: str | None = None,
        text_prompt: str | None = None,
        timeout: Timeout = None,
        **fields: Any,
    ) -> None:
        manager = manager if manager is not None else EmbeddingModelManager()
        super().__init__(model_name=manager.model_name, **fields)
        self._manager = manager
        self._prompts = (query_prompt, text_prompt)
        self._timeout = timeout

    @classmethod
    def class_name(cls) -> str:
        return "RemudaEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        row: list[float] = self._manager.embed_text(query, prompt=self._prompts[0], timeout=self._timeout).tolist()
        return row

    def _get_text_embedding(self, text: str) -> list[float]:
        row: list[float] = self._manager.embed_text(text, prompt=self._prompts[1], timeout=self._timeout).tolist()
        return row

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        values = self._manager.embed_texts(texts, prompt=self._prompts[1], timeout=self._timeout).values
        rows: list[list[float]] = values.tolist()
        return rows

    async def _aget_query_embedding(self, query: str) -> list[float]:
        row: list[float] = (await self._manager.aembed(query, prompt=self._prompts[0], timeout=self._timeout)).tolist()
        return row

    async def _aget_text_embedding(self, text: str) -> list[float]:
        row: list[float] = (await self._manager.aembed(text, prompt=self._prompts[1], timeout=self._timeout)).tolist()
        return row
