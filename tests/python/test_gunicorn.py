"""Gunicorn with workers that it forked after the managers were made."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import ROOT

import remuda

pytest.importorskip("gunicorn")
WORKERS = 4
TEXTS = ["A horse is a horse.", "Of course."]


@contextlib.contextmanager
def gunicorn(log):
    """The example, served by four workers; gives its port and the process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS), "--bind", f"fd://{listener.fileno()}",
                "--no-control-socket", "examples.wsgi_app:app"]
        process = subprocess.Popen(
            line, cwd=ROOT, stdout=log, stderr=log, pass_fds=[listener.fileno()], env={**os.environ, "REMUDA_PRECISION": "int8"}
        )
        try:
            yield port, process
        finally:
            process.terminate()
            process.wait(timeout=30)


def ask(port, path, request=None):
    data = None if request is None else json.dumps(request).encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data), timeout=60) as answer:
        return json.load(answer)


def children(process):
    return [int(pid) for pid in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def packed_weights(pid):
    """Bytes of the packed weights' file that a process has mapped, is charged for (PSS), and has a copy of its own of."""
    sizes = dict.fromkeys(("Size", "Pss", "Private_Dirty"), 0)
    inside = False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = ".packed" in line
        elif inside and (name := line.partition(":")[0]) in sizes:
            sizes[name] += int(line.split()[1]) * 1024
    return sizes


def every_worker_answers(port, process):
    """Asks from many threads until each worker has weights mapped, that is, has computed."""
    deadline = time.monotonic() + 60
    wrong = []
    settings = remuda.get_settings()
    settings.precision = "int8"
    expected = remuda.EmbeddingModelManager(settings).embed_texts(TEXTS).values.tolist()

    def client():
        try:
            for _ in range(5):
                if ask(port, "/embeddings", {"texts": TEXTS})["embeddings"] != expected:
                    wrong.append("another answer")
        except OSError as error:
            wrong.append(error)

    while len(children(process)) < WORKERS or not all(packed_weights(pid)["Size"] for pid in children(process)):
        assert time.monotonic() < deadline, "a worker never had a request"
        threads = [threading.Thread(target=client) for _ in range(2 * WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_four_workers_share_the_weights(tmp_path):
    with open(tmp_path / "log", "w") as log, gunicorn(log) as (port, process):
        every_worker_answers(port, process)
        weights = [packed_weights(pid) for pid in children(process)]
        assert len(weights) == WORKERS
        one = max(sizes["Size"] for sizes in weights)  # What a worker that is alone is charged for.
        assert one > 8 << 20
        assert 0 < sum(sizes["Pss"] for sizes in weights) <= 1.3 * one
        assert sum(sizes["Private_Dirty"] for sizes in weights) == 0
        assert len(ask(port, "/summary", {"text": "This program copies files."})["summary"]) > 0
        for path, request, status in (("/embeddings", {"texts": [1]}, 400), ("/embeddings", {}, 400), ("/nothing", {}, 404)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(port, path, request)
            assert refused.value.code == status
            assert json.load(refused.value)["error"]
        assert ask(port, "/stats")["embedding"]["in_use"] == 0
    assert process.returncode == 0
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said and "ERROR" not in said and "died" not in said, said
