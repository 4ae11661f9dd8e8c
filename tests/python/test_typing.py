"""The package and the examples are typed: mypy --strict and pyright pass, and what is public is documented."""

import inspect
import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

import remuda

pytestmark = pytest.mark.unsanitized
EXAMPLES = ["examples/model_manager_usage.py", "examples/migration_guide.py", "examples/new_model_type.py",
            "examples/fastapi_app.py", "examples/wsgi_app.py", "demo_new_model_managers.py"]


@pytest.mark.parametrize("what", ["package", "examples"])
def test_mypy_strict(what):
    pytest.importorskip("mypy")
    arguments = ["-p", "remuda"] if what == "package" else EXAMPLES
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "build/mypy", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def pyright(*arguments):
    """What pyright reports of the files, or with --verifytypes, as its JSON."""
    pytest.importorskip("pyright")
    if shutil.which("node") is None:
        pytest.skip("pyright needs node")
    ran = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
        # The sources: it leaves out what lies in a folder whose name begins with a dot, such as .venv.
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYTHONPATH": str(ROOT / "python")},
    )
    return json.loads(ran.stdout)


OPTIONAL = ("langchain_core", "libcst", "llama_index", "sklearn", "torch", "tqdm")


@pytest.mark.parametrize("what", ["package", "examples"])
def test_pyright(what):
    report = pyright(*(["python/remuda"] if what == "package" else EXAMPLES))
    assert report["summary"]["filesAnalyzed"] >= len(EXAMPLES)
    errors = [f"{found['file']}: {found['message']}" for found in report["generalDiagnostics"] if found["severity"] == "error"]
    # Optional libraries need not be there.
    assert not [error for error in errors if not any(f'Import "{name}' in error for name in OPTIONAL)]


def test_every_public_type_is_written_down():
    """No checker has to guess a type of the package's own."""
    report = pyright("--verifytypes", "remuda", "--ignoreexternal")["typeCompleteness"]
    unknown = [
        symbol["name"]
        for symbol in report["symbols"]
        if symbol["isExported"] and not (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"])
    ]
    assert report["exportedSymbolCounts"]["withKnownType"] > 200
    # A class of an adapter is what its library's is, which need not be there.
    assert [name for name in unknown if not name.startswith("remuda.integrations.")] == []


SUBCLASSES = """
from remuda import AbstractModelManager

class Attributes(AbstractModelManager[int]):
    model_name = "counter"
    model_type: str = "counter"
    memory_bytes = 1000
    def _load_model(self) -> int:
        return 3
    def _load_tokenizer(self) -> None:
        return None

class Others(AbstractModelManager[int]):
    @property
    def model_name(self) -> str:
        return "counter"
    def model_type(self) -> str:
        return "counter"
    def memory_bytes(self, model: int) -> int:
        return model
    def _load_model(self) -> int:
        return 3
    def _load_tokenizer(self) -> None:
        return None

with Attributes().acquire() as instance:
    right: int = instance.model
with Others().acquire(timeout=3) as other:
    wrong: str = other.model
"""


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_managers_of_ones_own(checker, tmp_path):
    """Names may be attributes, properties or methods; what an instance holds is known: the last line is the one mistake."""
    file = tmp_path / "subclasses.py"
    file.write_text(SUBCLASSES)
    last = SUBCLASSES.count("\n")
    if checker == "pyright":
        found = [(d["range"]["start"]["line"] + 1, d["severity"]) for d in pyright(file)["generalDiagnostics"]]
        assert found == [(last, "error")]
    else:
        pytest.importorskip("mypy")
        ran = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "build/mypy", file],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=280,
        )
        assert f"subclasses.py:{last}: error" in ran.stdout and "Found 1 error" in ran.stdout, ran.stdout + ran.stderr


def test_the_wheel_has_type_information():
    package = remuda.__path__[0]
    assert (__import__("pathlib").Path(package) / "py.typed").exists()


def test_everything_public_is_documented():
    missing = []
    for name in remuda.__all__:
        item = getattr(remuda, name)
        if not callable(item):
            continue
        if not inspect.getdoc(item):
            missing.append(name)
        if inspect.isclass(item) and not issubclass(item, BaseException):
            for member, value in vars(item).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    if not inspect.getdoc(getattr(item, member)):
                        missing.append(f"{name}.{member}")
    assert not missing


def test_the_stub_has_what_the_module_has():
    stub = (ROOT / "python/remuda/_native.pyi").read_text()
    for name, item in vars(remuda._native).items():
        if name.startswith("__"):
            continue
        assert f"class {name}" in stub or f"def {name}(" in stub, name
        if inspect.isclass(item):
            for member in vars(item):
                if not member.startswith("_"):
                    assert f"def {member}(" in stub, f"{name}.{member}"


def test_help(python):
    ran = python("import remuda; help(remuda.EmbeddingModelManager.encode); help(remuda)")
    assert "batch_size" in ran.stdout and "AbstractModelManager" in ran.stdout
