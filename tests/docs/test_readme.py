"""Runs every command of the README, and holds its C++ example to the program that is built and run."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
# What runs these tests.
TESTS = "bash scripts/test.sh"
# What works on the checkout itself; it is built already.
QUICKSTART = "bash scripts/quickstart.sh"
PYTHON = "bash scripts/python_env.sh"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands():
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and line != TESTS]


class Readme(unittest.TestCase):
    def test_commands(self):
        found = commands()
        self.assertGreater(len(found), 8)
        self.assertEqual(found[0], QUICKSTART)
        with tempfile.TemporaryDirectory() as scratch:
            # What the commands write goes to a directory of its own, which sees the checkout's files.
            for name in ("build", "models", "pretrained", "README.md", "scripts", "bench", "examples", ".venv",
                         "demo_new_model_managers.py"):
                if (ROOT / name).exists():
                    os.symlink(ROOT / name, pathlib.Path(scratch) / name)
            for command in found:
                with self.subTest(command=command):
                    command = command.replace("PREFIX", "prefix")
                    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], text=True,
                                          cwd=ROOT if command in (QUICKSTART, PYTHON) else scratch,
                                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    if command == QUICKSTART:
                        self.assertIn("A connection pool keeps", done.stdout)

    def test_python_examples(self):
        python = ROOT / ".venv/bin/python"
        self.assertTrue(python.exists(), "run scripts/python_env.sh")
        found = blocks("python")
        self.assertGreater(len(found), 0)
        for example in found:
            done = subprocess.run([python, "-c", example], text=True, cwd=ROOT, capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            # What a comment after print says is what it prints.
            for line in re.findall(r"print\(.*\)  # (.*)", example):
                self.assertIn(line, done.stdout)

    def test_cpp_example_is_the_consumer(self):
        (example,) = blocks("cpp")
        program = (ROOT / "tests/consumer/main.cc").read_text()
        self.assertIn(example.strip(), program)


if __name__ == "__main__":
    unittest.main()
