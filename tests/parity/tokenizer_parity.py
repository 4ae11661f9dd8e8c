#!/usr/bin/env python3
"""Compares the ids of `remuda tokenize` with those of Hugging Face `tokenizers`, text by text.

    pip install tokenizers; tests/parity/tokenizer_parity.py [--model DIR] [--binary build/release/remuda]

make_tokenizers.py makes more tokenizers to compare on than that of the model.
The texts: every code point alone, between letters and among combining marks; random strings; and files of real text, a
line each (--texts, repeatable; by default the documentation of the packages installed here). Exits with 1 and the first
differences when there are any.
"""
import argparse
import glob
import gzip
import itertools
import json
import os
import pathlib
import queue
import random
import subprocess
import sys
import threading

import tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODELS = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models"))
SHOWN = 10
CHUNK = 2000


def is_scalar(point):
    return not 0xD800 <= point < 0xE000


def every_code_point(step):
    for point in filter(is_scalar, range(0, 0x110000, step)):
        c = chr(point)
        yield from (c, f"a{c}b", f"e{c}\u0327\u0301{c}")


SPECIAL = ["<s>", "</s>", " <mask> ", "<|endoftext|>", "▁", "Ġ", "I'll 'so''s", "<0x0A>", "   ", "[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]", "[sep]", " [MASK] ", "[SEP", "##ing", "embedding", "a" * 99, "a" * 100,
           "a" * 101, "é" * 100, "e\u0301" * 101, "中" * 7, "한국어", "\0", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", "\ufffd",
           "\u0130", "\u017f", "ΑΣ", "ß", "ﬁ", "\u302e", "\u302f", "\U0001d165", "👨‍👩‍👧", "don't", "...", "$1,000.00"]
RANGES = [(0x20, 0x7F), (0, 0x100), (0x100, 0x250), (0x300, 0x370), (0x370, 0x600), (0x600, 0x900), (0x900, 0x1100),
          (0x1E00, 0x2100), (0x2000, 0x3100), (0x3000, 0xA000), (0xA000, 0x10000), (0x10000, 0x20000), (0, 0x110000)]


def random_texts(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(0, 12)):
            if rng.random() < 0.3:
                parts.append(rng.choice(SPECIAL))
            else:
                low, high = rng.choice(RANGES)
                points = (rng.randrange(low, high) for _ in range(rng.randint(1, 6)))
                parts.append("".join(chr(p) for p in points if is_scalar(p)))
            parts.append(rng.choice(["", "", " "]))
        yield "".join(parts)


def real_texts(paths, count):
    def lines():
        for path in paths:
            if not os.path.isfile(path):
                continue
            with (gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")) as file:
                for line in file:
                    yield line.decode("utf-8", "replace")

    return itertools.islice((line for line in lines() if line.strip()), count)


def remuda_ids(binary, model, texts):
    """Yields (text, ids). The process reads ahead of what it has answered, so a thread feeds it."""
    process = subprocess.Popen([binary, "tokenize", "-m", str(model), "--jsonl"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, encoding="utf-8")
    asked = queue.SimpleQueue()

    def feed():
        try:
            with process.stdin:
                for text in texts:
                    process.stdin.write(json.dumps({"text": text}) + "\n")
                    asked.put(text)
        except BrokenPipeError:
            pass  # It ended early; the reader says so.
        asked.put(None)

    threading.Thread(target=feed, daemon=True).start()
    while (text := asked.get()) is not None:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{binary} ended early with {process.wait()}, at {text!a}")
        yield text, json.loads(line)["ids"]
    if process.wait() != 0:
        sys.exit(f"{binary} failed with {process.returncode}")


def load(model):
    """As transformers does it where there is no tokenizer.json."""
    if (model / "tokenizer.json").exists():
        return tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    import transformers

    return transformers.AutoTokenizer.from_pretrained(str(model)).backend_tokenizer


def compare(name, tokenizer, pairs):
    count = differences = 0
    pairs = iter(pairs)
    while chunk := list(itertools.islice(pairs, CHUNK)):
        for (text, ids), encoding in zip(chunk, tokenizer.encode_batch_fast([text for text, _ in chunk])):
            count += 1
            if ids != encoding.ids:
                differences += 1
                if differences <= SHOWN:
                    print(f"{name}: {text!a}\n  remuda       {ids}\n  Hugging Face {encoding.ids}")
    print(f"{name}: {count} texts, {differences} differ")
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=MODELS / "all-MiniLM-L6-v2")
    parser.add_argument("--binary", default=str(ROOT / "build/release/remuda"))
    parser.add_argument("--texts", action="append", help="a file of real text, a text a line; repeatable")
    parser.add_argument("--random", type=int, default=150_000, help="random strings (%(default)s)")
    parser.add_argument("--real", type=int, default=100_000, help="lines of real text at most (%(default)s)")
    parser.add_argument("--code-point-step", type=int, default=1, help="every n-th code point (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    tokenizer = load(arguments.model)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    paths = arguments.texts or sorted(glob.glob("/usr/share/doc/*/*"))
    sources = {
        "random strings": random_texts(arguments.random, arguments.seed),
        "real text": real_texts(paths, arguments.real),
        "code points": every_code_point(arguments.code_point_step),
    }
    print(f"remuda against tokenizers {tokenizers.__version__}, {arguments.model.name}")
    differences = sum(compare(name, tokenizer, remuda_ids(arguments.binary, arguments.model, texts))
                      for name, texts in sources.items())
    sys.exit(differences > 0)


main()
