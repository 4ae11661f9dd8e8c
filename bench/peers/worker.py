#!/usr/bin/env python3
"""One peer in a process of its own, told by embed.py what to do. It answers each line of JSON by one.

It loads, embeds one text and says so; then "tune" chooses the batch size, "bulk" and "single" measure, "vectors" writes
the vectors of all texts, and the end of the input ends it.
"""
import argparse
import json
import pathlib
import time

import engines
import numpy as np
import protocol

BATCH_SIZES = (4, 8, 16, 32)
TUNING_TEXTS = 96
FEWEST_CALLS = 20


def texts_a_second(encode, texts, seconds):
    """Whole passes over the texts, at least one, as `remuda bench embed` does."""
    done, start = 0, time.perf_counter()
    while True:
        encode(texts)
        done += len(texts)
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return done / elapsed


def call_milliseconds(encode, texts, seconds):
    """One text at a time, in turn; sorted."""
    times, start = [], time.perf_counter()
    while len(times) < FEWEST_CALLS or time.perf_counter() - start < seconds:
        call = time.perf_counter()
        encode([texts[len(times) % len(texts)]])
        times.append((time.perf_counter() - call) * 1e3)
    return sorted(times)


class Worker:
    def __init__(self, engine, texts):
        self._engine = engine
        self._longs, self._shorts = texts["long"], texts["short"]
        self._batch_size = BATCH_SIZES[0]

    def _encode(self, texts):
        return self._engine.encode(texts, self._batch_size)

    def tune(self):
        """The batch size that is quickest on long texts."""
        rates = {}
        for self._batch_size in BATCH_SIZES:
            self._encode(self._longs[:TUNING_TEXTS])
            rates[self._batch_size] = texts_a_second(self._encode, self._longs[:TUNING_TEXTS], 0)
        self._batch_size = max(rates, key=rates.get)
        return {"batch_size": self._batch_size}

    def bulk(self, seconds):
        self._encode(self._longs[:TUNING_TEXTS])
        long_rate = texts_a_second(self._encode, self._longs, seconds)
        self._encode(self._shorts[:TUNING_TEXTS])
        short_rate = texts_a_second(self._encode, self._shorts, seconds)
        return {"docs_per_s": long_rate, "short_per_s": short_rate, "peak_rss_bytes": protocol.peak_rss_bytes()}

    def single(self, seconds):
        self._encode(self._shorts[:TUNING_TEXTS])
        times = call_milliseconds(self._encode, self._shorts, seconds)
        return {"p50_ms": times[int(0.5 * (len(times) - 1))], "p99_ms": times[int(0.99 * (len(times) - 1))],
                "peak_rss_bytes": protocol.peak_rss_bytes()}

    def vectors(self, path):
        np.save(path, np.ascontiguousarray(self._encode(self._longs + self._shorts), dtype="<f4"))
        return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=engines.ENGINES)
    parser.add_argument("precision")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("exported", type=pathlib.Path, help="what export.py wrote")
    parser.add_argument("texts", type=pathlib.Path, help='JSON: {"long": [...], "short": [...]}')
    parser.add_argument("--threads", type=int, required=True, help="of all calls together")
    parser.add_argument("--calls", type=int, required=True, help="batches computed at the same time")
    arguments = parser.parse_args()

    answers = protocol.take_over_stdout()
    texts = json.loads(arguments.texts.read_text())
    make = engines.ENGINES[arguments.engine]
    engine = make(arguments.model, arguments.exported, arguments.precision,
                  engines.Parallelism(arguments.calls, arguments.threads // arguments.calls))
    engine.encode(texts["short"][:1], 1)
    protocol.serve(Worker(engine, texts), answers)


if __name__ == "__main__":
    main()
