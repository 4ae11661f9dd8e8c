#!/usr/bin/env python3
"""All of the package in a minute:   .venv/bin/python demo_new_model_managers.py"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

from remuda import (
    AbstractModelManager,
    EmbeddingModelManager,
    Settings,
    SummarizationModelManager,
    get_settings,
)

TEXTS = [
    "Bread rises because yeast ferments sugar and gives off carbon dioxide.",
    "A remuda is the herd of saddle horses that ranch hands draw a mount from.",
    "The tide follows the moon.",
    "Let the dough rest overnight.",
]
DOCUMENT = (
    "This program watches the directories that it is given and copies every file that changes to another machine over an "
    "encrypted connection. It keeps older versions for as long as there is room for them, so that a file which was "
    "overwritten or deleted by mistake can be brought back with one command."
)


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def leases(embedder: EmbeddingModelManager) -> None:
    title("Leases")
    with embedder.acquire(timeout=10.0, label="the demo") as instance:
        start = time.perf_counter()
        vector = embedder.embed_text(TEXTS[0], instance)
        took = 1000 * (time.perf_counter() - start)
        print(f"instance {instance.id} of {instance.model_name}, {instance.precision} on {instance.device}")
        print(f"one text: {vector.shape[0]} numbers in {took:.1f} ms")
        with embedder.acquire() as second:
            print(f"instance {second.id} shares its {second.shared_bytes / 1e6:.0f} MB, made in {second.load_time:.4f} s")
            try:
                embedder.acquire(timeout=0.2)
            except TimeoutError as error:
                print(f"a third: {error}")


def similarity(embedder: EmbeddingModelManager) -> None:
    title("Embeddings")
    question = "Why does bread become fluffy?"
    vectors = embedder.encode([question, *TEXTS], normalize_embeddings=True)
    print(question)
    for score, text in sorted(zip(vectors[1:] @ vectors[0], TEXTS, strict=True), reverse=True):
        print(f"  {score:5.2f}  {text}")
    small = embedder.encode(TEXTS, precision="ubinary")
    print(f"in bits: {small.shape[1]} bytes a text instead of {4 * vectors.shape[1]}")


def threads(embedder: EmbeddingModelManager) -> None:
    title("Eight threads, two instances")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            embedder.encode(TEXTS[:2])

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for _ in range(4):
        time.sleep(0.25)
        stats = embedder.get_pool_stats()
        bar = "#" * stats["in_use"] + "." * (stats["max_instances"] - stats["in_use"])
        print(f"in use [{bar}]  waiting {stats['waiting']}  leases {stats['acquires']}")
    stop.set()
    for worker in workers:
        worker.join()
    wait = embedder.get_pool_stats()["wait_time"]
    print(f"waits: {1000 * wait['p50']:.1f} ms in the middle, {1000 * wait['p99']:.1f} ms for the last percent")


def summaries(summarizer: SummarizationModelManager) -> None:
    title("Summaries")
    print(f"{DOCUMENT}\n  > {summarizer.summarize_text(DOCUMENT)}")
    print("as it is written: ", end="")
    for piece in summarizer.stream(DOCUMENT, num_beams=1):
        print(f"[{piece}]", end="", flush=True)
    long = summarizer.summarize_long("\n\n".join([DOCUMENT] * 12), part_tokens=256)
    print(f"\na long document in {len(long.parts)} parts, {long.summary.input_tokens} tokens: {long.text}")


def tasks(embedder: EmbeddingModelManager, summarizer: SummarizationModelManager) -> None:
    title("asyncio")

    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticker = asyncio.create_task(tick())
        vectors, summary = await asyncio.gather(embedder.aembed(TEXTS * 8), summarizer.asummarize(DOCUMENT))
        ticker.cancel()
        print(f"{len(vectors)} embeddings and a summary ({summary!r}), while the event loop turned {ticks} times")

    asyncio.run(main())


class WordCounter(AbstractModelManager[dict[str, int]]):
    """A model of one's own: any Python object."""

    model_name = "demo/words"
    model_type = "counter"

    def _load_model(self) -> dict[str, int]:
        return {}

    def _load_tokenizer(self) -> object:
        return str.split

    def _unload_model(self, model: dict[str, int]) -> None:
        print(f"unloaded a model that knew {len(model)} words")


def own_models(settings: Settings) -> None:
    title("A model of one's own")
    counter = WordCounter(settings)
    with counter.acquire() as instance:
        for word in instance.tokenizer(DOCUMENT):
            instance.model[word] = instance.model.get(word, 0) + 1
        print(f"{instance.model_type} {instance.model_name} knows {len(instance.model)} words")
    counter.cleanup()


def main() -> int:
    if not Path("models").is_dir():
        print("error: run scripts/quickstart.sh first, and this in the checkout's folder", file=sys.stderr)
        return 1
    settings = get_settings()
    embedder, summarizer = EmbeddingModelManager(settings), SummarizationModelManager(settings)
    leases(embedder)
    similarity(embedder)
    threads(embedder)
    summaries(summarizer)
    tasks(embedder, summarizer)
    own_models(settings)
    title("Memory comes back")
    embedder.cleanup(timeout=5.0)
    summarizer.cleanup(timeout=5.0)
    left = embedder.get_pool_stats()["total"] + summarizer.get_pool_stats()["total"]
    print(f"{left} instances are left; weights are gone with the last")
    return 0


if __name__ == "__main__":
    sys.exit(main())
