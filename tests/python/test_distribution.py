"""What is installed, and what the source archive holds."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest
from conftest import ROOT

import remuda

pytestmark = pytest.mark.unsanitized


def test_the_version_is_one():
    assert importlib.metadata.version("remuda") == remuda.__version__


def test_numpy_is_all_that_is_needed():
    needed = [r for r in importlib.metadata.requires("remuda") if "extra ==" not in r]
    assert [r.split(">")[0] for r in needed] == ["numpy"]


def test_an_import_loads_nothing_that_is_not_needed(python):
    ran = python("import sys, remuda; print(*sorted({'asyncio', 'torch', 'tqdm', 'libcst', 'langchain_core'} & set(sys.modules)))")
    assert ran.stdout.strip() == ""


def test_the_native_module_is_small():
    assert os.path.getsize(remuda._native.__file__) < 10_000_000


def test_the_source_archive_has_what_a_build_needs_and_no_more(tmp_path):
    pytest.importorskip("scikit_build_core")
    code = "import sys, scikit_build_core.build as b; print(b.build_sdist(sys.argv[1]))"
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    (archive,) = pathlib.Path(tmp_path).glob("*.tar.gz")
    assert archive.stat().st_size < 3_000_000
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"CMakeLists.txt", "tools/layers.txt", "src/python/module.cc", "python/remuda/py.typed"} <= names
    assert not [name for name in names if name.startswith(("build/", "models/", ".venv", "tests/", "pretrained/"))]
