"""A web service with FastAPI.   uvicorn examples.fastapi_app:app   (needs fastapi and uvicorn)

One manager of each kind for the process, made when it starts and closed when it ends. Requests wait for an instance without
blocking the event loop; one that is given up leaves the queue, and too long a wait is a 503.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from remuda import EmbeddingModelManager, SummarizationModelManager, get_settings

WAIT = 10.0


class Texts(BaseModel):
    texts: list[str]


class Document(BaseModel):
    text: str
    max_new_tokens: int | None = None


def create_app(embedder: EmbeddingModelManager, summarizer: SummarizationModelManager) -> FastAPI:
    """The service with these managers; a test gives those of remuda.testing."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        embedder.close()
        summarizer.close()

    app = FastAPI(title="remuda", lifespan=lifespan)

    @app.post("/embeddings")
    async def embeddings(request: Texts) -> dict[str, Any]:
        try:
            vectors = await embedder.aembed(request.texts, timeout=WAIT)
        except TimeoutError as error:
            raise HTTPException(503, str(error)) from error
        return {"embeddings": vectors.tolist()}

    @app.post("/summary")
    async def summary(document: Document) -> dict[str, str]:
        limit = {} if document.max_new_tokens is None else {"max_new_tokens": document.max_new_tokens}
        try:
            text = await summarizer.asummarize(document.text, timeout=WAIT, **limit)
        except TimeoutError as error:
            raise HTTPException(503, str(error)) from error
        return {"summary": text}

    @app.get("/stats")
    async def stats() -> dict[str, Any]:
        return {"embedding": embedder.get_pool_stats(), "summarization": summarizer.get_pool_stats()}

    return app


def __getattr__(name: str) -> FastAPI:
    """`app` is made when a server asks for it, so that importing this file loads nothing."""
    if name == "app":
        settings = get_settings()
        return create_app(EmbeddingModelManager(settings), SummarizationModelManager(settings))
    raise AttributeError(name)
