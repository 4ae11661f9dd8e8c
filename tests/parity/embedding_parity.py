"""Compares `remuda embed` with sentence-transformers on the same texts; fails where they are too far apart.

usage: .venv-peers/bin/python tests/parity/embedding_parity.py [--texts N] [--binary build/release/remuda]
Needs the tokenizers that tests/parity/make_tokenizers.py makes; scripts/parity.sh runs it all.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import random_models  # noqa: E402
import texts as real_texts  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

MAX_FP32_ERROR = 1e-5
MIN_COSINE = {"bf16": 0.9999, "int8": 0.995}
# Of strings made up to be difficult: of a text of two or three tokens, all of them marks, int8 keeps less.
MIN_COSINE_MADE_UP = {"bf16": 0.9999, "int8": 0.99}


def embed(binary, model, precision, texts, scratch):
    lines, output = scratch / "texts.jsonl", scratch / "out.npy"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    subprocess.run([binary, "embed", "-m", model, "--precision", precision, "--jsonl", "--output", output, lines],
                   check=True)
    return np.load(output)


def cosine(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def compare(name, reference, found, precision, min_cosine=MIN_COSINE):
    """Prints a row of the table; returns whether it is within bounds. Errors are relative to the vectors' length."""
    scale = np.maximum(1.0, np.linalg.norm(reference, axis=1, keepdims=True))
    error = (np.abs(reference - found) / scale).max()
    nearest = cosine(reference.astype(np.float64), found.astype(np.float64)).min()
    good = error <= MAX_FP32_ERROR if precision == "fp32" else nearest >= min_cosine[precision]
    print(f"{name:18} {precision:5} {len(reference):6} {error:10.2e} {nearest:12.7f}  {'ok' if good else 'TOO FAR'}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=str(ROOT / "build/release/remuda"))
    parser.add_argument("--texts", type=int, default=600)
    arguments = parser.parse_args()
    texts = real_texts.parity_texts(arguments.texts)
    made_up = np.isin(texts, real_texts.NASTY)
    minilm = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models")) / "all-MiniLM-L6-v2"
    print("model              prec.  texts  max error   min cosine")
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        reference = SentenceTransformer(str(minilm), device="cpu").encode(texts, batch_size=32)
        for precision in ("fp32", "bf16", "int8"):
            found = embed(arguments.binary, minilm, precision, texts, scratch)
            good &= compare("MiniLM", reference[~made_up], found[~made_up], precision)
            good &= compare("made up", reference[made_up], found[made_up], precision, MIN_COSINE_MADE_UP)
        trained = ROOT / "build/tokenizers"
        tokenizers = {"roberta": trained / "roberta", "xlm-roberta": trained / "xlmr", "camembert": trained / "xlmr"}
        for name in random_models.ARCHITECTURES:
            model = random_models.make(name, tokenizers.get(name, minilm), scratch)
            reference = model.encode(texts, batch_size=32)
            good &= compare(f"random {name}", reference, embed(arguments.binary, scratch / name, "fp32", texts, scratch), "fp32")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
