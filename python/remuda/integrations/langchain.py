"""LangChain's ``Embeddings`` on a manager:  ``pip install 'remuda[langchain]'``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from langchain_core.embeddings import Embeddings

from remuda.embedding import EmbeddingModelManager
from remuda.integrations._retrieval import RetrievalModel
from remuda.pool import Timeout

__all__ = ["RemudaEmbeddings"]


class RemudaEmbeddings(Embeddings):
    """Embeddings for LangChain's vector stores and retrievers.

    Queries get the model's own prompt "query", documents its prompt "document", as sentence-transformers' ``encode_query``
    and ``encode_document`` do.

    :param manager: shared with whoever else uses it; None: one of ``model_name``, or of the environment's settings.
    :param model_name: a directory or a name, as langchain-huggingface's ``HuggingFaceEmbeddings`` has it.
    :param query_prompt: put before queries; ``document_prompt``: before documents; None: the model's own, "": none.
    :param timeout: seconds to wait for an instance.
    :param model_kwargs: what ``SentenceTransformer`` is constructed with: ``device``, ``revision``, ``trust_remote_code``,
        ...; they may also be given here by their names. See `remuda.integrations.sentence_transformers`.
    :param encode_kwargs: of `EmbeddingModelManager.encode`: ``normalize_embeddings``, ``prompt``, ``batch_size``, ...;
        ``query_encode_kwargs``: for queries, in its place.
    """

    def __init__(
        self,
        manager: EmbeddingModelManager | None = None,
        *,
        model_name: str | os.PathLike[str] | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        timeout: Timeout = None,
        model_kwargs: Mapping[str, Any] | None = None,
        encode_kwargs: Mapping[str, Any] | None = None,
        query_encode_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._model = RetrievalModel(
            manager, model_name, {**(model_kwargs or {}), **options}, encode_kwargs, query_encode_kwargs
        )
        self.manager: EmbeddingModelManager = self._model.manager
        self.query_prompt = query_prompt
        self.document_prompt = document_prompt
        self.timeout = timeout

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._model.documents(texts, self.document_prompt, self.timeout).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        row: list[float] = self._model.query(text, self.query_prompt, self.timeout).tolist()
        return row

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = (await self._model.adocuments(texts, self.document_prompt, self.timeout)).tolist()
        return rows

    async def aembed_query(self, text: str) -> list[float]:
        row: list[float] = (await self._model.aquery(text, self.query_prompt, self.timeout)).tolist()
        return row
