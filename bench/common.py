"""What the measurements share: program and model, texts as files, the memory of processes, figures against targets."""
import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRECISIONS = ("fp32", "bf16", "int8")

# Settings of the person who measures must not decide what is measured; the instruction set may be forced.
_SETTINGS = ("REMUDA_", "MODEL_POOL_", "MASX_FORCE_", "GPU_USE_FP16")
_KEPT = ("REMUDA_ISA",)


def environment():
    return {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_SETTINGS)}


def add_program_flags(parser):
    models = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models"))
    binary = os.environ.get("REMUDA_BINARY", ROOT / "build/release/remuda")
    parser.add_argument("--binary", type=pathlib.Path, default=binary, help="the program (build/release/remuda)")
    parser.add_argument("--model", type=pathlib.Path, default=models / "all-MiniLM-L6-v2",
                        help="a model directory (models/all-MiniLM-L6-v2)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures here too")


def check_program(arguments):
    if not os.access(arguments.binary, os.X_OK):
        raise SystemExit(f"error: no program in {arguments.binary}; build it with scripts/build.sh, or set --binary")
    if not (arguments.model / "config.json").is_file():
        raise SystemExit(f"error: no model in {arguments.model}; run scripts/fetch_model.sh, or set --model")


def precision_list(text):
    names = text.split(",")
    for name in names:
        if name not in PRECISIONS:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(PRECISIONS)}, found \"{name}\"")
    return names


def progress(message):
    print(message, file=sys.stderr, flush=True)


def write_lines(path, texts):
    """A text a line, as the program reads them."""
    lines = [" ".join(text.split("\n")) + "\n" for text in texts]
    pathlib.Path(path).write_text("".join(lines), encoding="utf-8")


def run(command, **options):
    """Runs to the end and returns what it wrote; a failure ends the measurement with what it said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, env=environment(), **options)
    if done.returncode != 0:
        raise SystemExit(f"error: {command[0]} failed ({done.returncode}): {done.stderr.decode(errors='replace')}")
    return done


def wall_seconds(command, **options):
    start = time.perf_counter()
    run(command, **options)
    return time.perf_counter() - start


def memory_of(pid):
    """Bytes of "Rss" and "Pss" (a page that n processes share counts as 1/n); None when the process is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    if "Pss" not in fields:  # A zombie has none.
        return None
    return {name: int(fields[name].split()[0]) * 1024 for name in ("Rss", "Pss")}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


@dataclasses.dataclass
class Check:
    """A figure and its target."""
    what: str
    measured: float
    target: float
    at_most: bool  # Else at least.
    digits: int = 2

    @property
    def met(self):
        return self.measured <= self.target if self.at_most else self.measured >= self.target

    def __str__(self):
        sign = "<=" if self.at_most else ">="
        verdict = "met" if self.met else "MISSED"
        return (f"{self.what:62} {self.measured:9.{self.digits}f}   target {sign} {self.target:.{self.digits}f}   "
                f"{verdict}")

    def as_json(self):
        return {**dataclasses.asdict(self), "met": self.met}


def report(checks):
    """Prints each and how many are met; whether all are."""
    for check in checks:
        print(check)
    missed = sum(not check.met for check in checks)
    if checks:
        print(f"{len(checks) - missed} of {len(checks)} targets met")
    return missed == 0


def write_json(path, figures):
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n")


def median(values):
    return statistics.median(values)
