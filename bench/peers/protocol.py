"""How a peer's process talks with the measurement that started it: a line of JSON for each line of JSON."""
import json
import os
import pathlib
import sys


def take_over_stdout():
    """The stream for answers; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def serve(worker, answers):
    """Says that the worker is ready, then calls the method that each request names, until the input ends."""
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(worker, request.pop("do"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


def peak_rss_bytes():
    (line,) = (line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
