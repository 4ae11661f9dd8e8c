"""The package and the examples are typed: mypy --strict passes, and what is public is documented."""

import inspect
import subprocess
import sys

import pytest
from conftest import ROOT

import remuda

EXAMPLES = ["examples/model_manager_usage.py", "examples/migration_guide.py", "examples/new_model_type.py",
            "examples/fastapi_app.py", "demo_new_model_managers.py"]


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
