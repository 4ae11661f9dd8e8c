"""LlamaIndex's ``BaseEmbedding`` on a manager:  ``pip install 'remuda[llama-index]'``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from remuda.embedding import EmbeddingModelManager
from remuda.integrations._retrieval import RetrievalModel
from remuda.pool import Timeout

__all__ = ["RemudaEmbedding"]


class RemudaEmbedding(BaseEmbedding):  # type: ignore[misc, unused-ignore]
    """Embeddings for LlamaIndex's indexes.

    Queries get the model's own prompt "query", texts its prompt "document", as sentence-transformers' ``encode_query`` and
    ``encode_document`` do.

    :param manager: shared with whoever else uses it; None: one of ``model_name``, or of the environment's settings.
    :param model_name: a directory or a name, as LlamaIndex's ``HuggingFaceEmbedding`` has it.
    :param query_prompt: put before queries; ``text_prompt``: before texts; None: the model's own, "": none.
        ``query_instruction`` and ``text_instruction`` are their names in ``HuggingFaceEmbedding``.
    :param timeout: seconds to wait for an instance.
    :param normalize: scale each to length 1.
    :param max_length: tokens that a text is cut at.
    :param model_kwargs: further options of ``SentenceTransformer``; see `remuda.integrations.sentence_transformers`. Those
        named here are the same. ``fields``: of ``BaseEmbedding``, ``embed_batch_size`` for example.
    """

    _model: RetrievalModel = PrivateAttr()
    _manager: EmbeddingModelManager = PrivateAttr()
    _prompts: tuple[str | None, str | None] = PrivateAttr()
    _timeout: Timeout = PrivateAttr()

    def __init__(
        self,
        manager: EmbeddingModelManager | None = None,
        *,
        model_name: str | os.PathLike[str] | None = None,
        query_prompt: str | None = None,
        text_prompt: str | None = None,
        query_instruction: str | None = None,
        text_instruction: str | None = None,
        timeout: Timeout = None,
        normalize: bool = False,
        max_length: int | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        device: Any = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        trust_remote_code: bool = False,
        backend: str = "torch",
        **fields: Any,
    ) -> None:
        unknown = [name for name in fields if name not in type(self).model_fields]
        if unknown:
            raise TypeError(f"{unknown[0]}: neither an option of RemudaEmbedding nor a field of BaseEmbedding; "
                            "SentenceTransformer's own go into model_kwargs")
        options: dict[str, Any] = {
            "device": device,
            "cache_folder": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only,
            "token": token,
            "trust_remote_code": trust_remote_code,
            "backend": backend,
            **(model_kwargs or {}),
        }
        encode = {"normalize_embeddings": normalize, "max_length": max_length}
        model = RetrievalModel(manager, model_name, options, encode)
        super().__init__(model_name=model.manager.model_name, **fields)
        self._model = model
        self._manager = model.manager
        self._prompts = (
            query_instruction if query_prompt is None else query_prompt,
            text_instruction if text_prompt is None else text_prompt,
        )
        self._timeout = timeout

    @classmethod
    def class_name(cls) -> str:
        return "RemudaEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        row: list[float] = self._model.query(query, self._prompts[0], self._timeout).tolist()
        return row

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._model.documents(texts, self._prompts[1], self._timeout).tolist()
        return rows

    async def _aget_query_embedding(self, query: str) -> list[float]:
        row: list[float] = (await self._model.aquery(query, self._prompts[0], self._timeout)).tolist()
        return row

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = (await self._model.adocuments(texts, self._prompts[1], self._timeout)).tolist()
        return rows
