#!/usr/bin/env python3
"""Tokenizes the same real texts with Hugging Face `tokenizers` and with remuda, one thread each, decodes the ids, and
prints the ratios.

    pip install tokenizers; cmake --build --preset release --target remuda_text_bench
    bench/tokenizer.py [--model DIR]... [--texts FILE]

tests/parity/make_tokenizers.py makes tokenizers of other kinds than the model's, GPT-2's among them.

Without --texts, the texts are the long descriptions of Debian's packages, where apt has them
(apt-get -o Acquire::Languages=en update), else the paragraphs under /usr/share/doc.
"""
import argparse
import glob
import gzip
import json
import os
import pathlib
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers  # noqa: E402  (reads the variable when it is imported)

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models"))


def package_descriptions():
    command = ["/usr/lib/apt/apt-helper", "cat-file"]
    for path in sorted(glob.glob("/var/lib/apt/lists/*Translation-en*"), key=os.path.getsize, reverse=True):
        lines = subprocess.run([*command, path], capture_output=True, check=True).stdout.decode().splitlines()
        description = []
        for line in [*lines, ""]:
            if line.startswith("Description-en:"):
                description = [line.partition(":")[2].strip()]
            elif line.startswith(" "):
                description.append(line.strip(" ."))
            elif description:
                yield " ".join(filter(None, description))
                description = []


def documentation_paragraphs():
    for path in sorted(glob.glob("/usr/share/doc/*/*")):
        if not os.path.isfile(path):
            continue
        opened = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")
        with opened as file:
            for paragraph in file.read().decode("utf-8", "replace").split("\n\n"):
                yield " ".join(paragraph.split())


def collect_texts(source, count):
    for candidates in (source and open(source, encoding="utf-8"), package_descriptions(), documentation_paragraphs()):
        texts = []
        for text in candidates or ():
            if text.strip():
                texts.append(text.rstrip("\n"))
            if len(texts) == count:
                break
        if texts:
            return texts
    raise SystemExit("no texts found; name a file with --texts")


def run_hugging_face(model, texts, seconds):
    """Texts a second by the fastest way to call it; each way runs for about `seconds`."""
    tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    ways = {
        "encode": lambda some: [tokenizer.encode(text) for text in some],
        "encode_batch": tokenizer.encode_batch,
        "encode_batch_fast": tokenizer.encode_batch_fast,
        "decode": lambda some: [tokenizer.decode(ids) for ids in some],
        "decode_batch": tokenizer.decode_batch,
    }
    rates = {}
    for name, way in ways.items():
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            chunk = (encoded if name.startswith("decode") else texts)[done % len(texts):][:256]
            way(chunk)
            done += len(chunk)
        rates[name] = done / (time.perf_counter() - start)
    return rates


def run_remuda(binary, model, texts):
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(text.replace("\n", " ") + "\n" for text in texts)
        file.flush()
        environment = os.environ | {"REMUDA_BENCH_MODEL": str(model), "REMUDA_BENCH_TEXTS": file.name}
        output = subprocess.run([binary, "--benchmark_format=json"], env=environment, check=True, capture_output=True)
    return {run["name"]: run for run in json.loads(output.stdout)["benchmarks"]}


def compare(arguments, model, texts):
    print(f"\n{model.name}")
    rates = run_hugging_face(model, texts, arguments.seconds)
    for name, rate in rates.items():
        print(f"  tokenizers {tokenizers.__version__} {name:18} {rate:12,.0f} texts/s")
    runs = run_remuda(arguments.binary, model, texts)
    for way in ("encode", "decode"):
        ours = runs[f"{way}_lines"]
        fastest = max(rate for name, rate in rates.items() if name.startswith(way))
        print(f"  remuda            {way:18} {ours['items_per_second']:12,.0f} texts/s, "
              f"{ours['bytes_per_second'] / 1e6:.0f} MB/s; ratio to the fastest {ours['items_per_second'] / fastest:.1f}")
    print(f"  remuda loads the tokenizer in {runs['load']['real_time']:.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, action="append", help="all-MiniLM-L6-v2; repeatable")
    parser.add_argument("--texts", help="a file with a text a line")
    parser.add_argument("--count", type=int, default=20000, help="texts to use (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each way to call the peer (%(default)s)")
    parser.add_argument("--binary", default=ROOT / "build/release/remuda_text_bench")
    arguments = parser.parse_args()

    texts = collect_texts(arguments.texts, arguments.count)
    size = sum(len(text.encode()) for text in texts)
    print(f"{len(texts)} texts, {size / len(texts):.0f} bytes on average; one thread")
    for model in arguments.model or [MODELS / "all-MiniLM-L6-v2"]:
        compare(arguments, model, texts)


main()
