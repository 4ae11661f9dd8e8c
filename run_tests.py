#!/usr/bin/env python3
"""Runs the tests of the Python package:   .venv/bin/python run_tests.py [NAME...]

NAME is a test file's name without test_ and .py, for example: pool. Without names, all. What stands after -- goes to pytest.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent / "tests" / "python"


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    names, options = arguments[:split], arguments[split + 1 :]
    known = sorted(path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no tests are called {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    files = [str(TESTS / f"test_{name}.py") for name in names] or [str(TESTS)]
    return subprocess.call([sys.executable, "-m", "pytest", "-q", *options, *files], cwd=TESTS.parents[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
