#!/usr/bin/env python3
"""A BART of bart-large-cnn's shape (406 M random parameters) from model.safetensors and from pytorch_model.bin.

The whole process of `remuda summarize` for a short line and two tokens, its files in the page cache: the first load,
which packs the weights, and a later one, which maps what was packed. In turn, n times; prints medians of seconds and of
the largest resident memory, and the ratios against the targets.
"""
import argparse
import os
import pathlib
import shutil
import tempfile
import time

import bart_model
import common
import torch_file

LOADS = ("first load", "later load")
MOST_TIME, MOST_MEMORY = 1.2, 1.1


def make_models(cache, shape):
    """Directories by the kind of their file; they differ in nothing else."""
    directories = {}
    safe = cache / shape.name
    if not safe.is_dir():
        common.progress(f"making {safe}")
        cache.mkdir(parents=True, exist_ok=True)
        bart_model.make(safe, shape)
    directories["safetensors"] = safe
    pickled = cache / f"{shape.name}-bin"
    if not (pickled / "pytorch_model.bin").is_file():
        shutil.rmtree(pickled, ignore_errors=True)
        shutil.copytree(safe, pickled, ignore=shutil.ignore_patterns("*.safetensors"))
        torch_file.write(pickled / "part", safe / "model.safetensors")
        (pickled / "part").rename(pickled / "pytorch_model.bin")
    directories["pytorch_model.bin"] = pickled
    return directories


def measure(arguments, directory, packed):
    """Seconds and largest resident memory in MB of a process."""
    command = [arguments.binary, "summarize", "-m", directory, "--precision", arguments.precision, "--max-length", "2", "--min-length", "0"]
    environment = common.environment() | {"REMUDA_CACHE_DIR": str(packed)}
    reader, writer = os.pipe()
    os.write(writer, b"A remuda is the herd of saddle horses.\n")
    os.close(writer)
    with open(os.devnull, "wb") as nowhere:
        start = time.perf_counter()
        actions = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)]
        process = os.posix_spawn(arguments.binary, [str(part) for part in command], environment, file_actions=actions)
        _, status, usage = os.wait4(process, 0)
    os.close(reader)
    if status != 0:
        raise SystemExit(f"error: {' '.join(map(str, command))} failed")
    return {"seconds": time.perf_counter() - start, "memory": usage.ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_program_flags(parser, with_model=False)
    parser.add_argument("--cache", type=pathlib.Path, default=common.ROOT / "build/bench", help="where the models are kept (build/bench)")
    parser.add_argument("--precision", default="fp32", choices=common.PRECISIONS)
    parser.add_argument("--tiny", action="store_true", help="a small model, to try the script")
    parser.add_argument("-n", "--runs", type=int, default=5, help="of each (%(default)s)")
    arguments = parser.parse_args()
    common.check_program(arguments)
    if arguments.runs < 1:
        parser.error("--runs: expected at least 1")

    directories = make_models(arguments.cache, bart_model.TINY if arguments.tiny else bart_model.LARGE)
    rounds = {kind: {load: [] for load in LOADS} for kind in directories}
    for run in range(arguments.runs + 1):
        for kind, directory in directories.items():
            with tempfile.TemporaryDirectory(dir=arguments.cache) as packed:
                for load in LOADS:
                    figures = measure(arguments, directory, packed)
                    if run > 0:  # The first fills the page cache.
                        rounds[kind][load].append(figures)
    print(f"{arguments.runs} runs each, {arguments.precision}, {common.processor()}")
    results = {kind: {load: common.medians(each) for load, each in loads.items()} for kind, loads in rounds.items()}
    checks = []
    for load in LOADS:
        for kind in directories:
            figures = results[kind][load]
            print(f"{load:10} {kind:18} {figures['seconds']:7.3f} s   {figures['memory']:8.1f} MB")
        ours, theirs = (results[kind][load] for kind in ("pytorch_model.bin", "safetensors"))
        checks += [common.Check(f"{load}, seconds of pytorch_model.bin / of safetensors", ours["seconds"] / theirs["seconds"], MOST_TIME, at_most=True),
                   common.Check(f"{load}, largest memory of pytorch_model.bin / of safetensors", ours["memory"] / theirs["memory"], MOST_MEMORY, at_most=True)]
    common.report(checks)
    common.write_json(arguments.json, {"rounds": rounds, "checks": [check.as_json() for check in checks]})


if __name__ == "__main__":
    main()
