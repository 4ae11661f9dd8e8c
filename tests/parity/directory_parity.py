"""Compares remuda with the reference libraries on small model directories in every layout that these have written.

usage: .venv-peers/bin/python tests/parity/directory_parity.py [--short] [--only GLOB] [--list] [--keep DIR]
Cases are in tests/parity/directories/. `tokenize`: ids equal those of transformers' AutoTokenizer. `embed`: vectors
within 1e-5 of sentence-transformers'. `summarize`: ids equal those of transformers' `generate` in fp32. Prints a row a
case that differs, and a summary; exits with 1 if any differs. scripts/parity.sh runs it after what it needs.
"""
import argparse
import contextlib
import fnmatch
import importlib
import json
import logging
import pathlib
import pkgutil
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import directories  # noqa: E402
import texts as real_texts  # noqa: E402

MAX_ERROR = 1e-5  # Relative to the vectors' length where that is more than 1.
TIMEOUT = 120

SPECIAL = ["<s>", "</s>", "a <mask> b", " <mask>", "[CLS]", "[MASK] x", "x[SEP]y", "<pad>", "<unk>", "[UNK]", "[PAD]", "<|endoftext|>",
           "<extra_id_0> x", "Café 漢字", "CAFE\u0301", "  two  spaces ", "İstanbul ΑΣ ß ﬁ", "don't I'll", "a newword here",
           "tab\tnew\nline\r\n", "\u200b\u00a0\u3000", "x" * 101, "Ünïcödé", "1,000.50 $ € ½", "▁low ▁▁", "한국어 中文 日本語", "👨‍👩‍👧 🇩🇪", ""]


def default_texts(task):
    if task == "tokenize":
        return SPECIAL + real_texts.MULTILINGUAL + real_texts.NASTY
    if task == "embed":
        return ["Café 漢字 in Paris", "a newword here", "x", *real_texts.MULTILINGUAL[:6], real_texts.NASTY[0] or "y",
                "A longer text of some words, so that it is cut where a limit is small: " + "lorem ipsum dolor " * 20]
    return [text for text in real_texts.MULTILINGUAL if text.strip()][:4] + \
        ["The tower is 324 metres tall.", "A plain sentence of a few words, and another one after it.", "x"]


class Differs(Exception):
    """What the reference has and what remuda has."""


def remuda(binary, command, case, directory, texts, scratch, more=()):
    """Runs a command over the texts; its lines of JSON."""
    file = scratch / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    done = subprocess.run([binary, command, "-m", directory, "--jsonl", *more, *case.flags, file], capture_output=True,
                          timeout=TIMEOUT)
    error = done.stderr.decode(errors="replace").strip()
    if case.refused is not None:
        if done.returncode not in (1, 2) or not re.search(case.refused, error):
            raise Differs(f"expected a refusal that says /{case.refused}/, found exit {done.returncode}: {error[:400]}")
        return None
    if done.returncode != 0:
        raise Differs(f"refused (exit {done.returncode}): {error[:400]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def expect_equal(texts, expected, found):
    for text, one, other in zip(texts, expected, found, strict=True):
        if one != other:
            raise Differs(f"{text[:60]!r}: expected {one[:24]}, found {other[:24]}")


def check_tokenize(binary, case, directory, scratch):
    texts = case.texts or default_texts("tokenize")
    lines = remuda(binary, "tokenize", case, directory, texts, scratch)
    if lines is None:
        return
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory))
    expect_equal(texts, [tokenizer(text).input_ids for text in texts], [line["ids"] for line in lines])


def check_embed(binary, case, directory, scratch):
    texts = case.texts or default_texts("embed")
    lines = remuda(binary, "embed", case, directory, texts, scratch, ["--precision", "fp32"])
    if lines is None:
        return
    model = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": torch.float32})
    expected = np.stack([model.encode(text, show_progress_bar=False) for text in texts]).astype(np.float64)
    found = np.array([line["embedding"] for line in lines])
    if found.shape != expected.shape:
        raise Differs(f"expected {expected.shape} numbers, found {found.shape}")
    scale = np.maximum(1.0, np.linalg.norm(expected, axis=1, keepdims=True))
    error = np.abs(expected - found) / scale
    if not error.max() <= MAX_ERROR:
        worst = int(error.max(axis=1).argmax())
        raise Differs(f"{texts[worst][:60]!r}: off by {error.max():.1e}, at most {MAX_ERROR:.0e} wanted")


def flags_of(options):
    for name, value in options.items():
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, list):
            value = ",".join(map(str, value))
        yield f"--{name.replace('_', '-')}={'none' if value is None else value}"


@torch.no_grad()
def check_summarize(binary, case, directory, scratch):
    texts = case.texts or default_texts("summarize")
    lines = remuda(binary, "summarize", case, directory, texts, scratch,
                   ["--precision", "fp32", *flags_of(case.options)])
    if lines is None:
        return
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory))
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(directory), dtype=torch.float32).eval()
    window = min(model.config.max_position_embeddings, tokenizer.model_max_length)
    expected = []
    for text in texts:
        rows = tokenizer([text], truncation=True, max_length=window, return_tensors="pt")
        out = model.generate(rows.input_ids, attention_mask=rows.attention_mask, **case.options)
        expected.append(out[0].tolist())
    expect_equal(texts, expected, [line["ids"] for line in lines])


CHECKS = {"tokenize": check_tokenize, "embed": check_embed, "summarize": check_summarize}


def load_cases():
    for module in pkgutil.iter_modules(directories.__path__):
        importlib.import_module(f"directories.{module.name}")
    return directories.CASES


def outcome(binary, case, directory):
    """What is wrong with a case; None: nothing. An error of the reference's own is wrong as well."""
    directory.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            case.make(directory)
            CHECKS[case.task](binary, case, directory, pathlib.Path(scratch))
        except Differs as difference:
            return str(difference)
        except Exception as error:  # noqa: BLE001
            return f"the reference raises {type(error).__name__}: {error}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/remuda"))
    parser.add_argument("--short", action="store_true", help="without the cases that are large or slow")
    parser.add_argument("--only", default="*", metavar="GLOB", help="cases of these names")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="leave the directories there")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)  # Quicker on models so small.
    chosen = [case for name, case in sorted(load_cases().items())
              if fnmatch.fnmatch(name, arguments.only) and (case.short or not arguments.short)]
    if arguments.list:
        print("\n".join(f"{case.task:10} {case.name}" for case in chosen))
        return
    if not chosen:
        sys.exit(f"no case is named {arguments.only}")
    failed = 0
    with contextlib.ExitStack() as stack:
        root = arguments.keep or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for case in chosen:
            wrong = outcome(arguments.binary, case, root / case.name)
            failed += wrong is not None
            if wrong is not None:
                print(f"{case.task:10} {case.name}: {wrong}", flush=True)
    print(f"{len(chosen)} directories, {len(chosen) - failed} as the reference has them, {failed} not")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
