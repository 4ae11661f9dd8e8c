"""What the Python package costs: its import, a lease, encode beside the command, threads, Ctrl-C, memory, forked workers.

Run with the Python that has the package:  .venv/bin/python bench/python_package.py  [--only NAME]
Each figure stands beside its target; the exit status is 1 where one is missed.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import numpy as np

import common
import texts as corpus

results = []


def report(name, value, unit, target, reached):
    results.append({"name": name, "value": value, "unit": unit, "target": target, "reached": reached})
    print(f"{name:58} {value:10.3f} {unit:10} {target:14} {'' if reached else 'MISSED'}", flush=True)


def best_of(work, rounds=7):
    return min(work() for _ in range(rounds))


def measure_import():
    def seconds(modules):
        code = f"import time; start = time.perf_counter(); import {modules}; print(time.perf_counter() - start)"
        run = lambda: float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        return best_of(run, 11)

    more = 1000 * (seconds("numpy, remuda") - seconds("numpy"))
    report("import remuda, more than import numpy", more, "ms", "<= 60", more <= 60)


class ConditionPool:
    """The pool that one writes in Python: the peer."""

    def __init__(self, instances):
        self.idle = list(instances)
        self.condition = threading.Condition()

    def acquire(self, timeout=None):
        with self.condition:
            if not self.condition.wait_for(lambda: self.idle, timeout):
                raise TimeoutError
            return self.idle.pop()

    def release(self, instance):
        with self.condition:
            self.idle.append(instance)
            self.condition.notify()

    @contextlib.contextmanager
    def lease(self):
        instance = self.acquire()
        try:
            yield instance
        finally:
            self.release(instance)


def measure_leases():
    import remuda

    count = 100_000
    pool = remuda.ModelPool(object, max_instances=2)
    peer = ConditionPool([object(), object()])

    def timed(work):
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) / count * 1e6

    def ours():
        for _ in range(count):
            with pool.acquire():
                pass

    def theirs():
        for _ in range(count):
            with peer.lease():
                pass

    ours()
    microseconds, other = best_of(lambda: timed(ours)), best_of(lambda: timed(theirs))
    report("acquire + release by context manager", microseconds, "us", "<= 0.7", microseconds <= 0.7)
    report("... of a pool made with threading.Condition", microseconds / other, "x", "<= 0.333", microseconds / other <= 1 / 3)


def some_texts(count):
    return [" ".join(long.split()) for _, long in corpus.descriptions(count)]


def measure_encode(arguments):
    import remuda

    texts = some_texts(arguments.texts)
    settings = remuda.get_settings()
    settings.embedding_model, settings.precision = str(arguments.model), "int8"
    with tempfile.TemporaryDirectory() as scratch:
        file, output = pathlib.Path(scratch, "texts.txt"), pathlib.Path(scratch, "vectors.npy")
        file.write_text("\n".join(texts) + "\n")
        command = [arguments.binary, "embed", "-m", arguments.model, "--precision", "int8", "--output", output, file]
        program = [sys.executable, "-c",
                   "import sys, numpy, remuda; s = remuda.get_settings(); s.embedding_model, s.precision = sys.argv[1], 'int8';"
                   "numpy.save(sys.argv[3], remuda.EmbeddingModelManager(s).encode(open(sys.argv[2]).read().splitlines()))",
                   arguments.model, file, pathlib.Path(scratch, "ours.npy")]
        times = {"command": [], "python": []}
        for _ in range(arguments.rounds):  # In turn: what else the machine does meets both.
            for name, line in (("command", command), ("python", program)):
                start = time.perf_counter()
                subprocess.run(line, check=True, stderr=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - start)
        same = np.array_equal(np.load(output), np.load(pathlib.Path(scratch, "ours.npy")))
    ratio = min(times["python"]) / min(times["command"])
    report(f"encode of {arguments.texts} texts, process and all, of the command's time", ratio, "x", "<= 1.05", ratio <= 1.05)
    report("... the same bytes", float(same), "", "1", same)


def measure_threads(arguments):
    import remuda

    settings = remuda.get_settings()
    settings.embedding_model, settings.precision, settings.model_pool_max_instances = str(arguments.model), "int8", 2
    manager = remuda.EmbeddingModelManager(settings)
    texts = some_texts(64)
    manager.encode(texts)
    counted = [0]
    stop = threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            if counted[0] % 1000 == 0:
                time.sleep(0)

    def throughput(threads, seconds=0.5):
        done = []
        end = time.perf_counter() + seconds

        def work():
            mine = 0
            while time.perf_counter() < end:
                manager.encode(texts)
                mine += len(texts)
            done.append(mine)

        workers = [threading.Thread(target=work) for _ in range(threads)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(done) / (time.perf_counter() - start)

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(texts) + "\n")
        file.flush()
        line = [arguments.binary, "bench", "embed", "--json", "-m", arguments.model, "--precision", "int8", "--seconds", "0.5", file.name]

        def native():
            figures = json.loads(subprocess.run(line, capture_output=True, check=True).stdout)
            return figures["docs_per_s"]

        # Short ones in turn, many: a machine's spells of a few seconds, which change both by a quarter, meet both.
        ratio = statistics.median(throughput(8) / native() for _ in range(8 * arguments.rounds))
    report("8 Python threads on 2 instances, of native throughput", ratio, "x", ">= 0.95", ratio >= 0.95)
    counter = threading.Thread(target=count)
    counter.start()
    throughput(8, 1.0)
    stop.set()
    counter.join()
    report("a pure-Python thread beside them, turns", counted[0] / 1000, "thousand/s", "> 10", counted[0] > 10_000)


def measure_joined(arguments):
    """Many threads, or tasks, with a text each, beside one call with all texts: in turn, in a few rounds."""
    import asyncio

    import remuda

    settings = remuda.get_settings()
    settings.embedding_model, settings.precision, settings.model_pool_max_instances = str(arguments.model), "int8", 2
    manager = remuda.EmbeddingModelManager(settings)
    texts = some_texts(256)

    def one_call():
        manager.encode(texts)

    def threads():
        def work(part):
            for text in part:
                manager.embed_text(text)

        workers = [threading.Thread(target=work, args=(texts[i::16],)) for i in range(16)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def tasks():
        async def all_of_them():
            await asyncio.gather(*(manager.aembed(text) for text in texts))

        asyncio.run(all_of_them())

    def seconds(work):
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    one_call()
    times = {work: [] for work in (one_call, threads, tasks)}
    for _ in range(arguments.rounds):
        for work, taken in times.items():
            taken.append(seconds(work))
    for work, name in ((threads, "16 threads with a text each"), (tasks, "256 tasks with a text each")):
        share = min(times[one_call]) / min(times[work])
        report(f"{name}, of one encode's throughput", share, "x", ">= 0.8", share >= 0.8)


def measure_interrupt(arguments):
    """Ctrl-C on the main thread: the median of several, in a wait for an instance and in one for a joined call."""
    import remuda

    settings = remuda.get_settings()
    settings.embedding_model, settings.precision, settings.model_pool_max_instances = str(arguments.model), "int8", 1
    manager = remuda.EmbeddingModelManager(settings)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Also in a background that ignores it.
    sent = [0.0]

    def interrupt():
        sent[0] = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    def interrupted(wait, number):
        # At moments that have nothing to do with when the wait looks for signals.
        threading.Timer(0.1 + 0.0137 * number, interrupt).start()
        try:
            wait()
        except KeyboardInterrupt:
            return 1000 * (time.perf_counter() - sent[0])
        raise SystemExit("error: a wait ended without the interrupt")

    with manager.acquire():
        for name, wait in (("acquire", manager.acquire), ("encode", lambda: manager.encode("a horse"))):
            median = statistics.median(interrupted(wait, number) for number in range(15))
            report(f"KeyboardInterrupt through a wait in {name}", median, "ms", "<= 50", median <= 50)


def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure_memory(arguments):
    import remuda

    settings = remuda.get_settings()
    settings.embedding_model, settings.precision = str(arguments.model), "int8"
    manager = remuda.EmbeddingModelManager(settings)
    texts = some_texts(128)
    lengths = [1 + i * 37 % 128 for i in range(200)]
    for length in lengths[:50]:
        manager.encode(texts[:length])
    before = resident()
    for length in lengths:
        manager.encode(texts[:length])
    grown = (resident() - before) / 2**20
    report("resident memory after 200 encodes of varied lengths, more", grown, "MiB", "<= 4", grown <= 4)


def pss(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"error: no proportional set size of process {pid}")


def ask(port):
    body = json.dumps({"text": "one two three", "max_new_tokens": 4, "num_beams": 1}).encode()
    with contextlib.suppress(urllib.error.HTTPError):  # A 503, while the model is loaded.
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/summary", body, timeout=120) as answer:
            json.load(answer)


def has_packed_weights(pid):
    return ".packed" in pathlib.Path(f"/proc/{pid}/maps").read_text()


def worker_memory(model, count):
    """What so many of gunicorn's workers take, MiB, when each has answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(count), "--bind", f"fd://{listener.fileno()}",
                "--timeout", "300", "--no-control-socket", "--log-level", "warning", "examples.wsgi_app:app"]
        settings = {"REMUDA_SUMMARIZATION_MODEL": str(model), "REMUDA_PRECISION": "int8"}
        server = subprocess.Popen(line, cwd=common.ROOT, pass_fds=[listener.fileno()], env={**os.environ, **settings})
    try:
        deadline = time.monotonic() + 300
        while True:
            workers = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            if len(workers) == count and all(map(has_packed_weights, workers)):
                return sum(map(pss, workers))
            if time.monotonic() > deadline or server.poll() is not None:
                raise SystemExit("error: gunicorn's workers did not answer; see above")
            callers = [threading.Thread(target=ask, args=[port]) for _ in range(count)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
    finally:
        server.terminate()
        server.wait()


def measure_workers(arguments):
    if arguments.bart is None:
        raise SystemExit("error: workers needs a model of 406 million parameters; name its directory with --bart "
                         "(bench/summarize.py makes one in build/bench)")
    worker_memory(arguments.bart, 1)  # The packed file is made.
    one, four = worker_memory(arguments.bart, 1), worker_memory(arguments.bart, 4)
    report("4 workers of gunicorn, sum of proportional set sizes, of one's", four / one, "x", "<= 1.3", four / one <= 1.3)
    print(f"  {one:.0f} MiB and {four:.0f} MiB")


MEASUREMENTS = {
    "import": lambda arguments: measure_import(),
    "leases": lambda arguments: measure_leases(),
    "encode": measure_encode,
    "threads": measure_threads,
    "joined": measure_joined,
    "interrupt": measure_interrupt,
    "memory": measure_memory,
    "workers": measure_workers,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    common.add_program_flags(parser)
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="these alone")
    parser.add_argument("--texts", type=int, default=10_000, help="for encode [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparisons; the best counts [%(default)s]")
    parser.add_argument("--bart", type=pathlib.Path, help="a model directory of bart-large's size, for the workers")
    arguments = parser.parse_args()
    common.check_program(arguments)
    os.environ.setdefault("REMUDA_CACHE_DIR", str(common.ROOT / "build/bench/cache"))
    pathlib.Path(os.environ["REMUDA_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
    for name, measure in MEASUREMENTS.items():
        if arguments.only is None and name == "workers" and arguments.bart is None:
            print("workers: left out; give a model with --bart")
        elif arguments.only is None or name in arguments.only:
            measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(result["reached"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
