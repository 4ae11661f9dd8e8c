"""A web service with WSGI alone.   gunicorn --preload --workers 4 examples.wsgi_app:app   (needs gunicorn)

With --preload the managers are made before gunicorn forks. Each worker has instances of its own, and all map the same packed
weights: four workers take little more memory than one. Too long a wait for an instance is a 503, a bad request a 400.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from remuda import EmbeddingModelManager, SummarizationModelManager, get_settings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

WAIT = 10.0


def create_app(embedder: EmbeddingModelManager, summarizer: SummarizationModelManager) -> WSGIApplication:
    """The service with these managers; a test gives those of remuda.testing."""

    def embeddings(request: dict[str, Any]) -> dict[str, Any]:
        return {"embeddings": embedder.embed_texts(request["texts"], timeout=WAIT).values.tolist()}

    def summary(request: dict[str, Any]) -> dict[str, Any]:
        options = {name: request[name] for name in ("num_beams", "max_new_tokens") if name in request}
        return {"summary": summarizer.summarize_text(request["text"], timeout=WAIT, **options)}

    def stats(request: dict[str, Any]) -> dict[str, Any]:
        return {"embedding": embedder.get_pool_stats(), "summarization": summarizer.get_pool_stats()}

    routes: dict[tuple[str, str], Callable[[dict[str, Any]], dict[str, Any]]] = {
        ("POST", "/embeddings"): embeddings,
        ("POST", "/summary"): summary,
        ("GET", "/stats"): stats,
    }

    def answer(environ: WSGIEnvironment) -> tuple[str, dict[str, Any]]:
        route = routes.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if route is None:
            return "404 Not Found", {"error": "there are POST /embeddings, POST /summary and GET /stats"}
        try:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return "200 OK", route(json.loads(body) if body else {})
        except TimeoutError as error:
            return "503 Service Unavailable", {"error": str(error)}
        except (TypeError, ValueError, KeyError) as error:
            return "400 Bad Request", {"error": str(error)}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, result = answer(environ)
        content = json.dumps(result).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
        return [content]

    return app


def __getattr__(name: str) -> WSGIApplication:
    """`app` is made when a server asks for it, so that importing this file loads nothing."""
    if name == "app":
        settings = get_settings()
        return create_app(EmbeddingModelManager(settings), SummarizationModelManager(settings))
    raise AttributeError(name)
