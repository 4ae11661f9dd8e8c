"""What the measurements share: program and model, texts as files, the memory of processes, figures against targets."""
import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRECISIONS = ("fp32", "bf16", "int8")

# Settings of the person who measures must not decide what is measured; the instruction set may be forced.
_SETTINGS = ("REMUDA_", "MODEL_POOL_", "MASX_FORCE_", "GPU_USE_FP16")
_KEPT = ("REMUDA_ISA",)


def environment():
    return {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_SETTINGS)}


def add_program_flags(parser, with_model=True):
    binary = os.environ.get("REMUDA_BINARY", ROOT / "build/release/remuda")
    parser.add_argument("--binary", type=pathlib.Path, default=binary, help="the program (build/release/remuda)")
    if with_model:
        models = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models"))
        parser.add_argument("--model", type=pathlib.Path, default=models / "all-MiniLM-L6-v2",
                            help="a model directory (models/all-MiniLM-L6-v2)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures here too")


def add_peer_flags(parser):
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "build/bench",
                        help="where models that were made or exported are kept (build/bench)")
    parser.add_argument("--python", type=pathlib.Path, help="one that has the peers (.venv-peers, made when missing)")


def check_program(arguments):
    if not os.access(arguments.binary, os.X_OK):
        raise SystemExit(f"error: no program in {arguments.binary}; build it with scripts/build.sh, or set --binary")
    if "model" in arguments and not (arguments.model / "config.json").is_file():
        raise SystemExit(f"error: no model in {arguments.model}; run scripts/fetch_model.sh, or set --model")


def peers_python(arguments, modules):
    """The Python that has the peers' modules: --python, or that of .venv-peers, which is made where it is missing."""
    how = "run scripts/peers_env.sh bench/requirements.txt and set --python .venv-peers/bin/python, or --only remuda"
    if not arguments.python:
        if subprocess.run(["bash", ROOT / "scripts/peers_env.sh", ROOT / "bench/requirements.txt"]).returncode != 0:
            raise SystemExit("error: scripts/peers_env.sh could not install the peers; see above, or --only remuda")
        arguments.python = ROOT / ".venv-peers/bin/python"
    if not os.access(arguments.python, os.X_OK):
        raise SystemExit(f"error: no Python in {arguments.python} for the peers; {how}")
    search = f"import importlib.util as u; print(*(m for m in {modules!r} if not u.find_spec(m)))"
    if missing := run([arguments.python, "-c", search]).stdout.decode().split():
        raise SystemExit(f"error: {arguments.python} lacks {', '.join(missing)}; {how}")
    return arguments.python


def kind_list(kinds):
    """The type of a flag that takes kinds ("engine-precision"); the name of an engine stands for all of its
    precisions. Gives them in the order of `kinds`."""
    def parse(text):
        chosen = set()
        for name in text.split(","):
            matching = {kind for kind in kinds if kind == name or kind.rpartition("-")[0] == name}
            if not matching:
                raise argparse.ArgumentTypeError(f'expected some of {", ".join(kinds)}, found "{name}"')
            chosen |= matching
        return [kind for kind in kinds if kind in chosen]

    return parse


def peers_among(kinds):
    return [kind for kind in kinds if not kind.startswith("remuda")]


def made_once(cache, name, sources, make):
    """The directory cache/name-DIGEST of what `make(directory)` makes of the files `sources`, made where it is
    missing."""
    digest = hashlib.sha256()
    for source in sources:
        with open(source, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    directory = cache / f"{name}-{digest.hexdigest()[:12]}"
    if not directory.is_dir():
        progress(f"Making {directory}")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as partial:
            made = pathlib.Path(partial) / "made"
            make(made)
            made.rename(directory)
    return directory


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


def medians(rounds):
    """Of each figure of the rounds."""
    return {name: median([one[name] for one in rounds]) for name in rounds[0]}


def ratio(results, figure, ours, theirs, best=max):
    """The median over the rounds of our figure by the best of theirs; None where one was not measured."""
    theirs = [kind for kind in theirs if kind in results]
    if ours not in results or not theirs:
        return None
    rounds = zip(results[ours]["rounds"], zip(*(results[kind]["rounds"] for kind in theirs)))
    return median([mine[figure] / best(one[figure] for one in others) for mine, others in rounds])
