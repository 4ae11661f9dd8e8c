#!/usr/bin/env python3
"""What instances of a model cost in memory, and whether a long run holds it. Exits with 1 where a target is missed.

    bench/memory.py [--lines 100000]

First the same long texts are embedded with pools of 1, 2 and 4 instances that compute at the same time, with the threads
that it takes to have work for four, whatever the machine; printed are the
most memory that the process had resident (RSS) and its share of it (PSS, smaller where other processes have the same
files mapped). Then --lines short lines are streamed through one process, whose RSS is sampled: after the first tenth it
must not grow.
"""
import argparse
import itertools
import json
import subprocess
import tempfile
import threading
import time

import common
import texts

POOLS = (1, 2, 4)
THREADS = 16  # Calls open another instance for every four.
TARGET_TWO_INSTANCES = 1.1  # Of the memory of one.
TARGET_GROWTH = 1.01  # After the first tenth of the lines.
POOL_RUNS = 5  # Of which the median counts: what runs have resident at once depends on their threads' timing.
POOL_SAMPLE_SECONDS = 0.02
STREAM_SAMPLES = 400
MIB = 2**20


def start(arguments, precision, pool, *more, **options):
    command = [arguments.binary, "embed", "-m", arguments.model, "--precision", precision, "--pool", pool, "--stats",
               *more]
    return subprocess.Popen([str(part) for part in command], env=common.environment(), **options)


def statistics_of(process):
    """What --stats said at the end of a run that must have succeeded."""
    errors = process.stderr.read().decode()
    if process.wait() != 0:
        raise SystemExit(f"error: remuda embed failed ({process.returncode}): {errors}")
    return json.loads(errors.splitlines()[-1])


def measure_pool(arguments, precision, pool, file):
    """The most RSS and PSS while up to `pool` instances compute, and how many did."""
    with start(arguments, precision, pool, "--threads", THREADS, file, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        peak = 0
        while process.poll() is None:
            if memory := common.memory_of(process.pid):
                peak = max(peak, memory["Pss"])
            time.sleep(POOL_SAMPLE_SECONDS)
        stats = statistics_of(process)
    created = stats["pool"]["created"]
    if created < min(pool, 2):  # A third and a fourth may find that there is one free, with few processors.
        raise SystemExit(f"error: expected {pool} instances to compute, the pool made {created}; use more --texts")
    return {"instances": created, "rss": stats["peak_rss_bytes"], "pss": peak}


def compare_pools(arguments, checks):
    figures = {}
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        common.write_lines(file.name, texts.long_and_short(arguments.texts)[0])
        for precision in arguments.precisions:
            common.progress(f"pools of {', '.join(map(str, arguments.pools))} instances, {precision}")
            figures[precision] = {
                pool: common.medians([measure_pool(arguments, precision, pool, file.name) for _ in range(POOL_RUNS)])
                for pool in arguments.pools}
    for precision, pools in figures.items():
        for pool, memory in pools.items():
            print(f"{precision:5} pool of {pool}, instances that computed: {memory['instances']}   "
                  f"RSS {memory['rss'] / MIB:7.1f} MiB   PSS {memory['pss'] / MIB:7.1f} MiB")
        for kind in ("rss", "pss"):
            checks.append(common.Check(f"{kind.upper()} of two instances by that of one, {precision}",
                                       pools[2][kind] / pools[1][kind], TARGET_TWO_INSTANCES, at_most=True, digits=3))
    return figures


def feed(stream, count):
    """Writes `count` short lines; the pipe makes it wait for the reader. Yields how many lines each part has.

    After a tenth the lines repeat: by then the rows of the mapped word embeddings that they need are resident, so that
    what grows from there on is memory that was taken and not given back.
    """
    shorts = [f"{short}\n".encode() for short in texts.long_and_short(max(1, count // 10))[1]]
    with stream:
        lines = itertools.islice(itertools.cycle(shorts), count)
        while block := b"".join(itertools.islice(lines, 100)):
            stream.write(block)
            yield block.count(b"\n")


def stream_lines(arguments, checks):
    """RSS after each part of the lines, which one process reads, embeds and writes as it goes."""
    precision = arguments.precisions[-1]
    step = max(1, arguments.lines // STREAM_SAMPLES)
    samples, fed = [], 0
    with start(arguments, precision, 2, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
               stderr=subprocess.PIPE) as process:
        written = Counter(process.stdout)
        for number in feed(process.stdin, arguments.lines):
            fed += number
            if fed // step > len(samples) and (memory := common.memory_of(process.pid)):
                samples.append({"lines": written.lines, "rss": memory["Rss"]})
                if len(samples) % (STREAM_SAMPLES // 10) == 0:
                    common.progress(f"{fed:,} of {arguments.lines:,} lines, RSS {memory['Rss'] / MIB:.1f} MiB")
        stats = statistics_of(process)
        written.join()
    if stats["texts"] != arguments.lines or written.lines != arguments.lines:
        raise SystemExit(f"error: expected {arguments.lines} lines to be embedded, found {stats['texts']}, and "
                         f"{written.lines} written")
    most = max(sample["rss"] for sample in samples)
    print(f"{precision:5} {arguments.lines:,} short lines at {stats['texts_per_s']:,.0f} a second: "
          f"RSS up to {most / MIB:.1f} MiB, at the end {samples[-1]['rss'] / MIB:.1f} MiB")
    checks.append(growth_check(samples, arguments.lines))
    return samples


def growth_check(samples, lines):
    tenth = [sample["rss"] for sample in samples if sample["lines"] <= lines / 10]
    rest = [sample["rss"] for sample in samples if sample["lines"] > lines / 10]
    if not tenth or not rest:
        raise SystemExit("error: too few samples; use more --lines")
    return common.Check("RSS after the first tenth of the lines by that within it", max(rest) / max(tenth),
                        TARGET_GROWTH, at_most=True, digits=3)


class Counter(threading.Thread):
    """Counts the lines of a stream while they come."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.lines = 0
        self._stream = stream
        self.start()

    def run(self):
        while block := self._stream.read1(1 << 20):
            self.lines += block.count(b"\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_program_flags(parser)
    parser.add_argument("--precisions", type=common.precision_list, default=list(common.PRECISIONS), metavar="NAME,...",
                        help="the lines are streamed at the last of them (fp32,bf16,int8)")
    parser.add_argument("--pools", type=lambda text: [int(size) for size in text.split(",")], default=POOLS, metavar="N,...",
                        help="how many instances, 1 and 2 among them (1,2,4)")
    parser.add_argument("--texts", type=int, default=3072, help="long ones, for the pools (%(default)s)")
    parser.add_argument("--lines", type=int, default=1_000_000, help="short ones, to stream (%(default)s)")
    arguments = parser.parse_args()
    common.check_program(arguments)

    checks = []
    pools = compare_pools(arguments, checks)
    samples = stream_lines(arguments, checks)
    print()
    met = common.report(checks)
    common.write_json(arguments.json, {"pools": pools, "stream": samples,
                                       "checks": [check.as_json() for check in checks]})
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
