"""Checks that the package which this Python has works, and chooses its kernels as it runs; prints a line about it."""

import os
import re
import subprocess
import sys

PROGRAM = """
import time
import remuda
settings = remuda.get_settings()
settings.embedding_model = "all-MiniLM-L6-v2"
manager = remuda.EmbeddingModelManager(settings)
texts = ["A horse is a horse, of course, of course, and no one can talk to a horse of course."] * 64
vectors = manager.encode(texts)
least = 1e9
for _ in range(5):  # The machine may have other things to do.
    start = time.perf_counter()
    manager.encode(texts)
    least = min(least, time.perf_counter() - start)
print(vectors.shape, round(len(texts) / least), vectors[0].tobytes().hex())
"""


def ran(isa):
    """What the program says where REMUDA_ISA is so; None: where it isn't set."""
    environment = {name: value for name, value in os.environ.items() if name != "REMUDA_ISA"}
    if isa is not None:
        environment["REMUDA_ISA"] = isa
    return subprocess.run([sys.executable, "-I", "-c", PROGRAM], capture_output=True, text=True, env=environment)


def answer(isa):
    result = ran(isa)
    if result.returncode != 0:
        sys.exit(f"error: the package doesn't work:\n{result.stderr}")
    shape, rate, vector = result.stdout.rsplit(maxsplit=2)
    if shape != "(64, 384)":
        sys.exit(f"error: expected the shape (64, 384), found {shape}")
    return int(rate), vector


def main():
    # The error names the instruction sets that there are, in rising order.
    named = re.search(r"REMUDA_ISA: expected one of ([a-z0-9_, ]+), found", ran("none").stderr)
    if named is None:
        sys.exit("error: an unknown REMUDA_ISA was not refused")
    available = named[1].split(", ")
    rate, vector = answer(None)
    if vector != answer(available[-1])[1]:
        sys.exit(f"error: the kernels of {available[-1]} are not what a process takes by itself")
    if len(available) > 1 and (slow := answer("generic")[0]) * 2 > rate:
        sys.exit(f"error: {available[-1]} gives {rate} texts/s, the generic kernels {slow}")
    print(f"{rate} texts/s with {available[-1]}")


if __name__ == "__main__":
    main()
