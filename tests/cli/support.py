"""Running the built program. Everything here works with Python's standard library alone."""
import array
import ast
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("REMUDA_BINARY", str(SOURCE / "build/release/remuda"))

# Settings of the person who runs the tests must not decide them.
_SETTINGS = ("REMUDA_", "MODEL_POOL_", "MASX_FORCE_", "GPU_USE_FP16")
_KEPT = ("REMUDA_MODELS_DIR", "REMUDA_BINARY", "REMUDA_ISA")


def environment(extra=None):
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or not k.startswith(_SETTINGS)}
    kept.setdefault("REMUDA_MODELS_DIR", str(SOURCE / "models"))
    # Started by hand too, tests keep out of a person's own cache.
    kept["XDG_CACHE_HOME"] = str(pathlib.Path(BINARY).resolve().parent / "test-cache")
    return {**kept, **(extra or {})}


MINILM = pathlib.Path(environment()["REMUDA_MODELS_DIR"]) / "all-MiniLM-L6-v2"


def default_signals():
    """What a shell gives its foreground jobs; a test runner in the background may have ignored them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class CliTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if not MINILM.is_dir():
            raise RuntimeError(f"no model in {MINILM}: run scripts/fetch_model.sh")
        if not pathlib.Path(BINARY).is_file():
            raise RuntimeError(f"no program in {BINARY}: build it, or set REMUDA_BINARY")

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def small_bart(self):
        """A golden BART (random weights, 70 positions) with a tokenizer and defaults of 4 beams."""
        path = self.directory / "small-bart"
        path.mkdir()
        golden = SOURCE / "tests/golden"
        for source in (golden / "bart/scaled/config.json", golden / "bart/scaled/model.safetensors",
                       golden / "encoders/bert_mean/tokenizer.json"):
            shutil.copy(source, path)
        (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
        (path / "generation_config.json").write_text(json.dumps(
            {"decoder_start_token_id": 9, "bos_token_id": 5, "eos_token_id": 7, "pad_token_id": 3, "num_beams": 4,
             "max_length": 20, "no_repeat_ngram_size": 2}))
        return path

    def write(self, name, content):
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def start(self, *arguments, env=None, **options):
        """A process whose working directory is the test's own."""
        defaults = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        preexec_fn=default_signals)
        process = subprocess.Popen([BINARY, *arguments], env=environment(env), cwd=self.directory,
                                   **{**defaults, **options})
        self.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process):
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def remuda(self, *arguments, stdin=b"", code=0, env=None, **options):
        """Runs to the end and checks the exit code; returns stdout and stderr as text."""
        process = self.start(*arguments, env=env, **options)
        out, err = process.communicate(stdin if isinstance(stdin, bytes) else stdin.encode(), timeout=240)
        err = err.decode()
        self.assertEqual(process.returncode, code, f"{arguments}: {err}")
        return (out or b"").decode(), err

    def embed(self, *arguments, **options):
        """The lines of `remuda embed`, parsed."""
        out, _ = self.remuda("embed", *arguments, **options)
        return [json.loads(line) for line in out.splitlines()]


def read_npy(path):
    """Shape and rows of a float32 array in NumPy's format 1.0."""
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    size = int.from_bytes(data[8:10], "little")
    assert (10 + size) % 64 == 0, size
    header = ast.literal_eval(data[10:10 + size].decode())
    assert header["descr"] == "<f4" and header["fortran_order"] is False, header
    rows, columns = header["shape"]
    values = array.array("f")
    values.frombytes(data[10 + size:])
    assert len(values) == rows * columns, (len(values), header)
    return (rows, columns), [values[i * columns:(i + 1) * columns] for i in range(rows)]
