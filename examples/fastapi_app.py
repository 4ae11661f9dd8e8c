"""A web service with FastAPI.   uvicorn examples.fastapi_app:app   (needs fastapi and uvicorn)

One manager of each kind for the process; what is idle goes when the service stops, and comes back when it starts again. Requests
wait for an instance without blocking the event loop; one that is given up leaves the queue, and too long a wait is a 503. What a
model can't do with a request is a 422 that says why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
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
        embedder.cleanup()  # Not close(), which is final: the same app may be started again.
        summarizer.cleanup()

    app = FastAPI(title="remuda", lifespan=lifespan)

    @app.exception_handler(TimeoutError)
    async def busy(request: Request, error: TimeoutError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503)

    @app.exception_handler(ValueError)
    async def unusable(request: Request, error: ValueError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        """Without the input, which FastAPI's own handler repeats: half a character can't be sent back."""
        return JSONResponse({"detail": [{"loc": each["loc"], "msg": each["msg"]} for each in error.errors()]}, 422)

    @app.post("/embeddings")
    async def embeddings(request: Texts) -> dict[str, Any]:
        vectors = await embedder.aembed(request.texts, timeout=WAIT)
        return {"embeddings": vectors.tolist()}

    @app.post("/summary")
    async def summary(document: Document) -> dict[str, str]:
        limit: dict[str, Any] = {} if document.max_new_tokens is None else {"max_new_tokens": document.max_new_tokens}
        text = await summarizer.asummarize(document.text, timeout=WAIT, **limit)
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
