#!/usr/bin/env python3
"""A GPU's memory through the Python package: what four instances take beside one, whether the estimate is right, whether
loading and unloading leaves it as it was, and whether calls live through another process that takes and frees it.

usage: python bench/gpu_memory.py [--json FILE] [--seconds 60] [--cycles 500] [--small]
Needs remuda, numpy, and on a GPU torch, with which the other process takes memory. Exits with 0 where all holds, 1 where
something does not, 77 where there is no GPU. A library over the host's memory (REMUDA_CUDA_LIBRARY) will do for --small.
"""
import contextlib
import ctypes
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

import gpu_models
import gpu_report
import numpy as np
import remuda
from gpu_report import NO_GPU, Report

DEVICE = "cuda:0"
MIB = 1 << 20
MAX_RATIO_OF_FOUR = 1.3
MAX_ESTIMATE_ERROR = 0.1
# Of a driver's memory that comes and goes with other things than models: contexts, other processes.
SLACK = 4 * MIB

# The other process: takes what it is told, in bytes, a line each, and says when it has it. More than there is: what there is.
TAKER = """
import sys, torch
held = []
for line in sys.stdin:
    held.clear()
    torch.cuda.empty_cache()
    wanted = min(int(line), torch.cuda.mem_get_info()[0])
    while wanted > 1 << 20:
        try:
            held.append(torch.empty(wanted, dtype=torch.uint8, device="cuda"))
            break
        except torch.OutOfMemoryError:
            wanted -= wanted // 16
    print(wanted, flush=True)
"""


class OtherProcess:
    """Another process on the GPU."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", TAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.take(0)  # It has its context now.

    def take(self, size):
        self.process.stdin.write(f"{size}\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            raise SystemExit("error: the process that takes memory has ended")

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


class DescribedOthers:
    """In its place where the GPU is described: the library is told that others have the memory."""

    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        self.library.remuda_described_take.argtypes = (ctypes.c_int32, ctypes.c_uint64)

    def take(self, size):
        self.library.remuda_described_take(0, size)

    def end(self):
        self.take(0)


def memory():
    return next(gpu for gpu in remuda.gpu_memory() if gpu["device"] == DEVICE)


def settings(model, **changes):
    values = {"embedding_model": str(model), "device": DEVICE, "precision": "fp16", **changes}
    return remuda.Settings(**values)


class Peak:
    """The most memory that the process had meanwhile, of the driver's or in use, looked at every millisecond."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        self.bytes = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.done.wait(0.001):
            self.bytes = max(self.bytes, memory()[self.what])

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def encode_at_once(manager, texts, instances):
    """Every thread with an instance of its own, all at the same time. The most that it took of the driver's memory."""
    manager.warm_up()
    barrier = threading.Barrier(instances)

    def work():
        with manager.acquire(timeout=60) as instance:
            barrier.wait()
            manager.embed_texts(texts, instance)

    threads = [threading.Thread(target=work) for _ in range(instances)]
    with Peak("reserved") as peak:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return peak.bytes


def check_instances(report, model, texts):
    """Each computes full batches."""
    peaks = {}
    for instances in (1, 4):
        with contextlib.closing(remuda.EmbeddingModelManager(settings(model, model_pool_max_instances=instances))) as manager:
            peaks[instances] = encode_at_once(manager, texts, instances)
    ratio = peaks[4] / max(peaks[1], 1)
    report.add("4 instances' memory by one's", f"{ratio:.3f}", f"<= {MAX_RATIO_OF_FOUR}", 0 < ratio <= MAX_RATIO_OF_FOUR)
    return peaks


def check_estimate(report, model, texts, batch):
    """Of weights, and of what is computed with, where batches of so many tokens (None: the default) are full."""
    estimate = remuda.estimate_memory(str(model), precision="fp16", device=DEVICE, max_batch_tokens=batch)
    with contextlib.closing(remuda.EmbeddingModelManager(settings(model))) as manager:
        manager.warm_up()
        weights = memory()["allocated"]
    error = estimate["weights"] / max(weights, 1) - 1
    report.add("estimate of the weights, by what they take", f"{error:+.3f}", f"+-{MAX_ESTIMATE_ERROR}", abs(error) <= MAX_ESTIMATE_ERROR)
    with contextlib.closing(remuda.EmbeddingModelManager(settings(model))) as manager:
        with manager.acquire() as instance, Peak("allocated") as peak:
            manager.embed_texts(texts, instance, max_batch_tokens=batch)
    error = (estimate["weights"] + estimate["workspace"]) / max(peak.bytes, 1) - 1
    report.add("the same with what an instance computes with", f"{error:+.3f}", f"+-{MAX_ESTIMATE_ERROR}", abs(error) <= MAX_ESTIMATE_ERROR)
    return {"estimate": estimate, "weights": weights, "peak": peak.bytes}


def check_cycles(report, model, cycles):
    """The driver's own figure, before and after, once the context is there."""
    manager = remuda.EmbeddingModelManager(settings(model))
    free = []
    for cycle in range(cycles + 1):
        manager.embed_text("a horse")
        assert manager.cleanup(timeout=60)
        if cycle in (0, cycles):
            free.append(memory()["free"])
    lost = free[0] - free[1]
    report.add(f"{cycles} loads and unloads: memory that is gone", f"{lost / MIB:.1f} MiB", f"<= {SLACK // MIB} MiB", lost <= SLACK)
    kept = memory()["reserved"]
    report.add("after the last, kept of the driver's memory", f"{kept} bytes", "== 0", kept == 0)
    manager.close()


def check_others(report, model, texts, others, seconds):
    """8 threads embed, and their answers are looked at, while the memory comes and goes at random."""
    choose = random.Random(1)
    wrong, failures, calls = [0], [], [0]
    stop = threading.Event()
    free_at_all = memory()["free"]
    made = settings(model, device="auto", masx_force_cpu=False, precision="fp32", model_pool_max_instances=2)
    manager = remuda.EmbeddingModelManager(made)
    right = np.stack([manager.embed_text(text) for text in texts])

    def work(number):
        random_text = random.Random(number)
        while not stop.is_set():
            which = random_text.randrange(len(texts))
            try:
                found = manager.embed_text(texts[which], timeout=60)
                wrong[0] += float(np.abs(found - right[which]).max()) > 1e-3
                calls[0] += 1
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # Often all of it; now and then so little that there is room for weights and none to compute with; or nothing.
        others.take(choose.choice((free_at_all * 2, free_at_all - choose.randrange(256 * MIB), choose.randrange(free_at_all), 0)))
        time.sleep(choose.random() * min(2.0, seconds / 10))
    stop.set()
    for thread in threads:
        thread.join()
    others.end()
    stats = manager.get_pool_stats()
    manager.close()
    for failure in failures[:3]:
        print(f"  {failure}")
    what = f"{calls[0]} calls in {seconds:.0f} s of others' taking memory"
    report.add(f"{what}: failed", len(failures), "== 0", not failures and calls[0] > 0)
    report.add(f"{what}: wrong", wrong[0], "== 0", wrong[0] == 0)
    return {name: stats[name] for name in ("moved", "fallbacks", "evicted", "lost", "created", "by_device")} | {"calls": calls[0]}


def main():
    parser = gpu_report.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of others' taking and freeing memory (60)")
    parser.add_argument("--cycles", type=int, default=500, help="loads and unloads (500)")
    arguments = parser.parse_args()
    usable = [gpu for gpu in remuda.gpu_memory() if gpu["device"] == DEVICE and gpu["problem"] is None]
    if not usable:
        print(f"no GPU: {[gpu['problem'] for gpu in remuda.gpu_memory()] or 'none was found'}; nothing was tried")
        return NO_GPU
    report = Report()
    figures = {}
    with tempfile.TemporaryDirectory() as directory:
        model = gpu_models.make(pathlib.Path(directory), arguments.small)
        texts = gpu_models.texts(1 if arguments.small else 64, 254)  # Each is cut where it fills a batch.
        figures["peaks"] = check_instances(report, model, texts)
        figures["memory"] = check_estimate(report, model, texts, 512 if arguments.small else None)
        check_cycles(report, model, arguments.cycles)
        library = os.environ.get("REMUDA_CUDA_LIBRARY", "")
        others = DescribedOthers(library) if "on_host" in pathlib.Path(library).name else OtherProcess()
        figures["others"] = check_others(report, model, gpu_models.texts(4, 12), others, arguments.seconds)
    return report.end(arguments.json, device=usable[0]["name"], figures=figures)


if __name__ == "__main__":
    sys.exit(main())
