"""What embed.py and summarize.py measure. For embed.py, all have the same methods:

start()        starts the engine and returns the seconds to the first vector
tune()         finds its best settings here and returns them
round(seconds) measures and returns figures
vectors(path)  writes those of the long, then of the short texts, as .npy
close()        ends its processes

For summarize.py:

start()        starts the engine and loads the model
round()        measures and returns figures
close()        ends its process
"""
import json
import pathlib
import subprocess
import time

import common

BENCH = pathlib.Path(__file__).resolve().parent
MAX_TOKENS = 256
OFFLINE = {"HF_HUB_OFFLINE": "1"}


class Remuda:
    """The program, started anew for each measurement."""

    def __init__(self, precision, arguments, work):
        self._program = arguments.binary
        self._flags = ["-m", arguments.model, "--precision", precision, "--threads", arguments.threads]
        self._work = work

    def start(self):
        one = self._work / "one.txt"
        return common.wall_seconds([self._program, "embed", *self._flags, one])

    def tune(self):
        return {}

    def round(self, seconds):
        def bench(name):
            command = [self._program, "bench", "embed", "--json", "--seconds", seconds, "--max-length", MAX_TOKENS]
            return json.loads(common.run([*command, *self._flags, self._work / name]).stdout)

        long, short = bench("long.txt"), bench("short.txt")
        return {"docs_per_s": long["docs_per_s"], "short_per_s": short["docs_per_s"], "p50_ms": short["single_p50_ms"],
                "p99_ms": short["single_p99_ms"],
                "peak_rss_bytes": max(long["peak_rss_bytes"], short["peak_rss_bytes"])}

    def vectors(self, path):
        common.run([self._program, "embed", *self._flags, "--max-length", MAX_TOKENS, "--output", path,
                    self._work / "long.txt", self._work / "short.txt"])

    def close(self):
        pass


class Worker:
    """A process of peers/worker.py, which stays, idle while others are measured."""

    def __init__(self, command, log):
        self._command = [str(part) for part in command]
        self._log = log
        self._process = None

    def start(self, settings):
        begin = time.perf_counter()
        with open(self._log, "w") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                             text=True, env=common.environment() | settings)
        self._answer()
        return time.perf_counter() - begin

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise SystemExit(f"error: {' '.join(self._command)} failed ({self._process.returncode}):\n"
                             + self._log.read_text()[-2000:])
        return json.loads(line)

    def ask(self, **request):
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self):
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


class Peer:
    """An engine in one process for single texts, on all threads, and in another for bulk, with a batch on each thread:
    each is quicker so at what it is for. PyTorch computes a batch on all threads either way and needs one process.
    """

    def __init__(self, engine, precision, arguments, work, exported):
        def worker(calls):
            command = [arguments.python, BENCH / "peers/worker.py", engine, precision, arguments.model, exported,
                       work / "texts.json", "--threads", arguments.threads, "--calls", calls]
            return Worker(command, work / f"{engine}-{precision}-{calls}.log")

        self._threads = str(arguments.threads)
        self._single = worker(1)
        one_process = engine == "sentence-transformers" or arguments.threads == 1
        self._bulk = self._single if one_process else worker(arguments.threads)

    def start(self):
        # The tokenizer's threads and PyTorch's; the other engines are told theirs by the worker.
        settings = {"RAYON_NUM_THREADS": self._threads, "TOKENIZERS_PARALLELISM": "true", **OFFLINE}
        seconds = self._single.start(settings)
        if self._bulk is not self._single:
            self._bulk.start(settings)
        return seconds

    def tune(self):
        return self._bulk.ask(do="tune")

    def round(self, seconds):
        bulk = self._bulk.ask(do="bulk", seconds=seconds)
        single = self._single.ask(do="single", seconds=seconds / 2)
        return {**bulk, **single, "peak_rss_bytes": max(bulk["peak_rss_bytes"], single["peak_rss_bytes"])}

    def vectors(self, path):
        self._bulk.ask(do="vectors", path=str(path))

    def close(self):
        self._single.close()
        self._bulk.close()


def _generation_flags(arguments, documents):
    return ["--documents", documents, "--input-tokens", arguments.input_tokens, "--output-tokens",
            arguments.output_tokens, "--num-beams", arguments.num_beams, "--threads", arguments.threads]


class RemudaSummaries:
    """The program, started anew for each round."""

    def __init__(self, precision, arguments, model, documents):
        self._command = [arguments.binary, "bench", "summarize", "--json", "-m", model, "--precision", precision,
                         "--seconds", arguments.seconds, *_generation_flags(arguments, documents)]

    def start(self):
        common.run(self._command)  # So that what it keeps of a model is there.

    def round(self):
        figures = json.loads(common.run(self._command).stdout)
        return {"load_s": figures["load_ms"] / 1e3, "second_instance_ms": figures["second_instance_ms"],
                **{name: figures[name] for name in ("encode_tokens_per_s", "step_ms", "documents_per_s",
                                                    "peak_rss_bytes")}}

    def close(self):
        pass


class PeerSummaries:
    """A process of peers/bart.py, which stays, idle while others are measured."""

    def __init__(self, engine, precision, arguments, model, exported, documents, log):
        self._worker = Worker([arguments.python, BENCH / "peers/bart.py", engine, precision, model, exported,
                               *_generation_flags(arguments, documents)], log)
        self._load = None

    def start(self):
        for _ in range(2):  # The first time brings the files into the page cache.
            self._worker.close()
            self._worker.start(OFFLINE)
            self._load = self._worker.ask(do="load")

    def round(self):
        return {**self._load, **self._worker.ask(do="round")}

    def close(self):
        self._worker.close()
