#!/usr/bin/env python3
"""Whether models keep to a memory limit, and what many managers of one model take. Exits with 1 where a target is missed.

    bench/budget.py [--seconds 60] [--cycles 1000] [--short]

Runs tests of build/release/remuda_manager_test in their long form and holds what they measured against the targets:
five models of 60 to 200 MB used at random by 16 threads with a limit of 300 MB; 1,000 times loading, using and cleaning
up all-MiniLM-L6-v2; one manager of a BART of 406 million random weights in int8 against eight of two instances each;
a second process that loads what the first has packed.
"""
import argparse
import json
import os
import pathlib
import subprocess

import bart_model
import common

UNCOUNTED = 40 * 2**20  # As src/device/memory_budget.h has it.


def run_test(arguments, name, **environment):
    """The figures of one test, which must have passed."""
    common.progress(name)
    done = subprocess.run([arguments.binary, f"--gtest_filter={name}"], capture_output=True, text=True,
                          env={**common.environment(), **environment})
    figures = {}
    for line in done.stdout.splitlines():
        if line.startswith("figure: "):
            figures |= json.loads(line.removeprefix("figure: "))
    if not figures:
        raise SystemExit(f"error: {name} printed no figures ({done.returncode}): {done.stdout}{done.stderr}")
    if done.returncode != 0:
        common.progress(done.stdout)
    return figures | {"passed": done.returncode == 0}


def measure_limit(arguments, checks):
    seconds = 2 if arguments.short else arguments.seconds
    found = run_test(arguments, "MemoryLimit.FiveModelsUsedAtRandomByManyThreadsKeepToIt",
                     REMUDA_TEST_SECONDS=str(seconds))
    print(f"limit {found['limit'] / 1e6:.0f} MB, models of {', '.join(f'{mb:.0f}' for mb in found['models_mb'])} MB, "
          f"{seconds} s: {found['served']:,} requests served, {found['refused']} refused, {found['loads']} loads "
          f"({found['optimal_loads']} of an optimal replay), {found['drains']} drained; "
          f"counted at most {found['peak_counted'] / 1e6:.1f} MB, RSS at most {found['peak_rss'] / 1e6:.1f} MB")
    checks.append(common.Check("requests neither served nor refused with a typed error",
                               found["requests"] - found["served"] - found["refused"], 0, at_most=True, digits=0))
    checks.append(common.Check("RSS beyond the limit, MiB", (found["peak_rss"] - found["limit"]) / 2**20,
                               UNCOUNTED / 2**20, at_most=True, digits=1))
    checks.append(common.Check("loads by those of an optimal replay", found["loads"] / found["optimal_loads"], 2,
                               at_most=True))
    return found


def measure_cycles(arguments, checks):
    cycles = 50 if arguments.short else arguments.cycles
    found = run_test(arguments, "MemoryLimit.RssIsFlatOverLoadsAndCleanups", REMUDA_TEST_CYCLES=str(cycles))
    checks.append(common.Check(f"RSS after {cycles} loads and cleanups by that after 10",
                               found["rss_at_the_end"] / found["rss_after_10"], 1.02, at_most=True, digits=3))
    return found


def measure_managers(arguments, checks):
    environment = {}
    if not arguments.short:
        source = pathlib.Path(bart_model.__file__)
        environment["REMUDA_TEST_BART"] = str(common.made_once(
            arguments.cache, bart_model.LARGE.name, [source], lambda path: bart_model.make(path, bart_model.LARGE)))
    found = run_test(arguments, "MemoryLimit.EightManagersOfTwoInstancesTakeWhatOneTakes", **environment)
    print(f"int8: one manager, one instance: RSS {found['one_manager_peak_rss'] / 1e6:.0f} MB; eight managers of two: "
          f"{found['eight_managers_peak_rss'] / 1e6:.0f} MB")
    checks.append(common.Check("peak RSS of 8 managers of 2 instances by that of 1",
                               found["eight_managers_peak_rss"] / found["one_manager_peak_rss"], 1.25, at_most=True))
    return found


def measure_processes(arguments, checks):
    found = run_test(arguments, "MemoryProcesses.TheSecondLoadsQuicklyAndSharesThePages")
    checks.append(common.Check("load of the second process, ms", found["second_load_ms"], 30, at_most=True, digits=1))
    checks.append(common.Check("PSS of two processes by that of one", found["pss_of_two"] / found["pss_of_one"], 1.15,
                               at_most=True))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=common.ROOT / "build/release/remuda_manager_test",
                        help="the tests (build/release/remuda_manager_test)")
    parser.add_argument("--cache", type=pathlib.Path, default=common.ROOT / "build/bench",
                        help="where the model that is made is kept (build/bench)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures here too")
    parser.add_argument("--seconds", type=int, default=60, help="of models used at random (%(default)s)")
    parser.add_argument("--cycles", type=int, default=1000, help="of loads and cleanups (%(default)s)")
    parser.add_argument("--short", action="store_true", help="with small models, in seconds")
    arguments = parser.parse_args()
    if not os.access(arguments.binary, os.X_OK):
        raise SystemExit(f"error: no tests in {arguments.binary}; build them with scripts/build.sh, or set --binary")

    checks = []
    figures = {"limit": measure_limit(arguments, checks), "cycles": measure_cycles(arguments, checks),
               "managers": measure_managers(arguments, checks), "processes": measure_processes(arguments, checks)}
    met = common.report(checks)
    common.write_json(arguments.json, {**figures, "checks": [check.as_json() for check in checks]})
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
