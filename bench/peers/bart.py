#!/usr/bin/env python3
"""One engine that summarises, in a process of its own, told by summarize.py what to do. It answers each line of JSON by
one: "load" loads the model, "round" measures.
"""
import argparse
import json
import pathlib
import time

import numpy as np
import protocol

REPEATED_SECONDS = 0.3
TRIES = 5


class Transformers:
    """PyTorch. Options that are not given here are the model's own, from its generation_config.json."""

    def __init__(self, model, exported, precision, threads):
        import torch
        from transformers import BartForConditionalGeneration

        self._torch = torch
        torch.set_num_threads(threads)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self._load = lambda: BartForConditionalGeneration.from_pretrained(model, dtype=dtype).eval()

    def load(self):
        self._model = self._load()

    def generate(self, ids, tokens, beams):
        """As many new tokens as asked for, of each document."""
        ids = self._torch.tensor(ids)
        with self._torch.inference_mode():
            out = self._model.generate(input_ids=ids, attention_mask=self._torch.ones_like(ids), num_beams=beams,
                                       min_new_tokens=tokens, max_new_tokens=tokens)
        return [len(row) - 1 for row in out]  # Without the start token.


class CTranslate2:
    def __init__(self, model, exported, precision, threads):
        import ctranslate2

        compute_type = {"fp32": "float32", "int8": "int8"}[precision]
        directory = exported / precision
        self._load = lambda: ctranslate2.Translator(str(directory), compute_type=compute_type, inter_threads=1,
                                                    intra_threads=threads)
        self._names = json.loads((directory / "shared_vocabulary.json").read_text(encoding="utf-8"))
        self._options = json.loads((model / "generation_config.json").read_text())

    def load(self):
        self._translator = self._load()

    def generate(self, ids, tokens, beams):
        rows = [[self._names[i] for i in row] for row in ids]
        results = self._translator.translate_batch(
            rows, beam_size=beams, min_decoding_length=tokens, max_decoding_length=tokens, max_input_length=0,
            no_repeat_ngram_size=self._options["no_repeat_ngram_size"], length_penalty=self._options["length_penalty"])
        return [len(result.hypotheses[0]) for result in results]


ENGINES = {"transformers": Transformers, "ctranslate2": CTranslate2}


def documents(model, count, tokens):
    """Random ids between the start and the end token."""
    config = json.loads((model / "config.json").read_text())
    ids = np.random.default_rng(1).integers(4, config["vocab_size"] - 4, (count, tokens))
    ids[:, 0], ids[:, -1] = config["bos_token_id"], config["eos_token_id"]
    return ids.tolist()


class Worker:
    def __init__(self, engine, ids, output_tokens, beams):
        self._engine = engine
        self._ids, self._output_tokens, self._beams = ids, output_tokens, beams

    def load(self):
        start = time.perf_counter()
        self._engine.load()
        seconds = time.perf_counter() - start
        self._call_seconds(1)
        return {"load_s": seconds}

    def _seconds(self, tokens):
        """Of a call; a short one is repeated, and the quickest counts."""
        times = []
        while sum(times) < REPEATED_SECONDS:
            times.append(self._call_seconds(tokens))
        return min(times)

    def _call_seconds(self, tokens):
        start = time.perf_counter()
        found = self._engine.generate(self._ids, tokens, self._beams)
        seconds = time.perf_counter() - start
        if found != [tokens] * len(self._ids):
            raise RuntimeError(f"expected {tokens} tokens of each document, found {found}")
        return seconds

    def _first_and_step(self):
        """Seconds of encoding and one step, and of a step. What can't be, since other work got in between, is measured
        again."""
        for _ in range(TRIES):
            first, whole = self._seconds(1), self._seconds(self._output_tokens)
            step = (whole - first) / (self._output_tokens - 1)
            if 0 < step < first:
                return first, step
        raise RuntimeError(f"one token took {first:.4f} s and {self._output_tokens} took {whole:.4f} s: too much other "
                           "work here")

    def round(self):
        """Encoding and one step, encoding and all steps: the difference is the other steps, and so encoding is known,
        with the keys and values for cross-attention, which the first step computes."""
        first, step = self._first_and_step()
        count = len(self._ids)
        return {"encode_tokens_per_s": count * len(self._ids[0]) / (first - step), "step_ms": 1e3 * step,
                "documents_per_s": count / (first + (self._output_tokens - 1) * step),
                "peak_rss_bytes": protocol.peak_rss_bytes()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("precision")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("exported", type=pathlib.Path, help="what export_bart.py wrote")
    for name in ("threads", "documents", "input-tokens", "output-tokens", "num-beams"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()

    answers = protocol.take_over_stdout()
    ids = documents(arguments.model, arguments.documents, arguments.input_tokens)
    engine = ENGINES[arguments.engine](arguments.model, arguments.exported, arguments.precision, arguments.threads)
    protocol.serve(Worker(engine, ids, arguments.output_tokens, arguments.num_beams), answers)


if __name__ == "__main__":
    main()
