#!/usr/bin/env python3
"""How long the whole process of `remuda embed` takes for one line, with its files in the page cache and its weights packed.

From starting the process to its end, n times in turn for each precision. Prints the smallest, the median and the
largest, and the median against the target.
"""
import argparse
import tempfile

import common

TARGET_MS = 80


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_program_flags(parser)
    parser.add_argument("--precisions", type=common.precision_list, default=list(common.PRECISIONS), metavar="NAME,...")
    parser.add_argument("-n", "--runs", type=int, default=20, help="for each precision (%(default)s)")
    arguments = parser.parse_args()
    common.check_program(arguments)
    if arguments.runs < 1:
        parser.error("--runs: expected at least 1")

    times = {precision: [] for precision in arguments.precisions}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
        text.write("A remuda is the herd of saddle horses.\n")
        text.flush()
        for run in range(arguments.runs + 1):
            for precision, seconds in times.items():
                command = [arguments.binary, "embed", "-m", arguments.model, "--precision", precision, text.name]
                seconds.append(common.wall_seconds(command))
    checks = []
    print(f"{arguments.runs} runs a precision, {common.processor()}")
    for precision, seconds in times.items():
        milliseconds = sorted(1e3 * value for value in seconds[1:])  # The first run packs the weights.
        middle = common.median(milliseconds)
        print(f"{precision:5} min {milliseconds[0]:6.1f}   median {middle:6.1f}   max {milliseconds[-1]:6.1f} ms")
        checks.append(common.Check(f"cold start, {precision}, median ms", middle, TARGET_MS, at_most=True, digits=1))
    common.report(checks)
    common.write_json(arguments.json, {"milliseconds": {name: [1e3 * value for value in seconds[1:]]
                                                        for name, seconds in times.items()},
                                       "checks": [check.as_json() for check in checks]})


if __name__ == "__main__":
    main()
