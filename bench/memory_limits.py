#!/usr/bin/env python3
"""Whether a memory limit that is above one that is enough is enough, too. Exits with 1 where one isn't.

    bench/memory_limits.py [--steps 60] [--only KIND[,KIND]] [--short]

Runs the program with limits from too little upwards, a MiB at a time, over 16 documents (512 texts for embeddings), and
looks at each run: whether it failed, what it wrote, and how long it took. Whoever waits for memory that nobody gives
back waits 10 s. Kinds: summaries-fp32, summaries-int8, long-fp32, embeddings-fp32, embeddings-int8.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import common
import texts

MIB = 2**20
KINDS = ("summaries-fp32", "summaries-int8", "long-fp32", "embeddings-fp32", "embeddings-int8")
SUMMARIZER = "bart-small-synopsis"


def command_of(arguments, kind):
    """The program's arguments, and the model."""
    what, _, precision = kind.rpartition("-")
    if what == "embeddings":
        return ["embed", "-m", str(arguments.model), "--precision", precision], str(arguments.model)
    long = ["--long", "--part-tokens", "64", "--whole-file"] if what == "long" else []
    return ["summarize", "--precision", precision, *long], SUMMARIZER


def run_once(arguments, command, text, limit=None):
    limited = [] if limit is None else ["--memory-limit", str(limit)]
    start = time.perf_counter()
    done = subprocess.run([arguments.binary, *command, *limited, str(text)], capture_output=True,
                          env=common.environment())
    return {"limit": limit, "seconds": time.perf_counter() - start, "code": done.returncode, "out": done.stdout,
            "error": done.stderr.decode(errors="replace").strip()}


def shared_weights(arguments, model, precision):
    report = json.loads(common.run([arguments.binary, "inspect", "--json", model]).stdout)
    return report["precisions"][precision]["shared_weights_bytes"]


def measure(arguments, kind, inputs, checks):
    command, model = command_of(arguments, kind)
    text = inputs["texts" if kind.startswith("embeddings") else "documents"]
    unlimited = run_once(arguments, command, text)  # Packs the weights, too.
    if unlimited["code"] != 0:
        raise SystemExit(f"error: {kind}: {unlimited['error']}")
    first = shared_weights(arguments, model, kind.rpartition("-")[2]) // MIB
    runs, works = [], None
    for limit in range(first, first + 200):
        if works is not None and limit - works >= arguments.steps:
            break
        run = run_once(arguments, command, text, limit * MIB)
        runs.append(run)
        if run["code"] == 0 and works is None:
            works = limit
        if arguments.short and works is not None and limit - works >= 8:
            break
    above = [run for run in runs if works is not None and run["limit"] >= works * MIB]
    failed = [run for run in above if run["code"] != 0]
    other = [run for run in above if run["code"] == 0 and run["out"] != unlimited["out"]]
    slowest = max(run["seconds"] for run in runs)
    print(f"{kind}: fails at once below {works} MiB, works with {len(above) - len(failed)} of {len(above)} limits from "
          f"there on; {unlimited['seconds']:.2f} s without a limit, at most {slowest:.2f} s with one")
    for run in failed:
        print(f"  {run['limit'] // MIB} MiB: {run['error']}")
    checks.append(common.Check(f"{kind}: limits that fail above one that works", len(failed), 0, at_most=True, digits=0))
    checks.append(common.Check(f"{kind}: limits that change what is written", len(other), 0, at_most=True, digits=0))
    waited = [run for run in runs if run["seconds"] > 9.5 + unlimited["seconds"]]
    checks.append(common.Check(f"{kind}: limits with which it waits in vain", len(waited), 0, at_most=True, digits=0))
    return {"works_from_mib": works, "limits": len(above), "failed": [run["limit"] for run in failed],
            "unlimited_seconds": unlimited["seconds"], "slowest_seconds": slowest}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_program_flags(parser)
    parser.add_argument("--only", type=common.kind_list(KINDS), default=list(KINDS), metavar="KIND[,KIND]")
    parser.add_argument("--steps", type=int, default=60, help="MiB above the least that works (%(default)s)")
    parser.add_argument("--short", action="store_true", help="8 MiB, in a minute")
    arguments = parser.parse_args()
    common.check_program(arguments)

    checks, figures = [], {}
    with tempfile.TemporaryDirectory() as directory:
        inputs = {name: pathlib.Path(directory) / f"{name}.txt" for name in ("texts", "documents")}
        pairs = texts.descriptions(512)
        common.write_lines(inputs["texts"], [long for _, long in pairs])
        common.write_lines(inputs["documents"], [long for _, long in pairs[:16]])
        for kind in arguments.only:
            common.progress(kind)
            figures[kind] = measure(arguments, kind, inputs, checks)
    met = common.report(checks)
    common.write_json(arguments.json, {**figures, "checks": [check.as_json() for check in checks]})
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
