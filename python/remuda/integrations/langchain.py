"""LangChain's ``Embeddings`` on a manager:  ``pip install 'remuda[langchain]'``."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from remuda.embedding import EmbeddingModelManager
from remuda.pool import Timeout

__all__ = ["RemudaEmbeddings"]


class RemudaEmbeddings(Embeddings):
    """Embeddings for LangChain's vector stores and retrievers.

    :param manager: shared with whoever else uses it; None: one of the environment's settings.
    :param query_prompt: put before queries; ``document_prompt``: before documents; for models that were trained so.
    :param timeout: seconds to wait for an instance.
    """

    def __init__(
        self,
        manager: EmbeddingModelManager | None = None,
        *,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        timeout: Timeout = None,
    ) -> None:
        self.manager: EmbeddingModelManager = manager if manager is not None else EmbeddingModelManager()
        self.query_prompt = query_prompt
        self.document_prompt = document_prompt
        self.timeout = timeout

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        values = self.manager.embed_texts(texts, prompt=self.document_prompt, timeout=self.timeout).values
        rows: list[list[float]] = values.tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        row: list[float] = self.manager.embed_text(text, prompt=self.query_prompt, timeout=self.timeout).tolist()
        return row

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        values = await self.manager.aembed(texts, prompt=self.document_prompt, timeout=self.timeout)
        rows: list[list[float]] = values.tolist()
        return rows

    async def aembed_query(self, text: str) -> list[float]:
        row: list[float] = (await self.manager.aembed(text, prompt=self.query_prompt, timeout=self.timeout)).tolist()
        return row
