"""tools/check_layers.py: that this checkout keeps to tools/layers.txt, and that what doesn't is found."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class CheckLayers(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.write("tools/layers.txt", "base:\npool: base\nmodels: base\ncli: base pool models\n")
        shutil.copy(ROOT / "tools/check_layers.py", self.root / "tools")
        self.write("src/pool/model_pool.cc", '#include "remuda/model_pool.h"\n#include "base/fail.h"\n#include <vector>\n')
        self.write("include/remuda/model_pool.h", "#pragma once\n")
        self.write("src/cli/main.cc", '#include "models/bart.h"\n#include "remuda/model_pool.h"\n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, root, code):
        done = subprocess.run([sys.executable, "-B", root / "tools/check_layers.py"], text=True, capture_output=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_this_checkout(self):
        self.assertRegex(self.check(ROOT, 0), r"layers: \d{3,} files keep to")

    def test_what_is_allowed(self):
        self.assertIn("3 files", self.check(self.root, 0))

    def test_an_upward_include(self):
        for header in ("cli/run.h", "models/bart.h"):
            self.write("src/pool/core.h", f'#pragma once\n\n#include "{header}"\n')
            self.assertIn(f"src/pool/core.h:3: pool may not include {header}", self.check(self.root, 1))

    def test_an_upward_include_of_a_kernel_for_gpus(self):
        self.write("src/pool/cuda/core.cu", '#include "models/bart.h"\n')
        self.assertIn("src/pool/cuda/core.cu:1: pool may not include models/bart.h", self.check(self.root, 1))

    def test_an_upward_include_by_a_public_header(self):
        self.write("include/remuda/model_pool.h", '#include "models/bart.h"\n')
        self.assertIn("include/remuda/model_pool.h:1: pool may not include", self.check(self.root, 1))
        self.write("include/remuda/model_pool.h", "")
        self.write("src/models/bart.cc", '#include <remuda/model_pool.h>\n')
        self.assertIn("models may not include remuda/model_pool.h (pool)", self.check(self.root, 1))

    def test_a_public_header_of_nobody(self):
        self.write("include/remuda/stray.h", "")
        self.assertIn("no module has stray.cc", self.check(self.root, 1))

    def test_a_cycle_cannot_be_written(self):
        self.write("tools/layers.txt", "base: cli\npool: base\nmodels: base\ncli: base pool models\n")
        self.assertIn("base names ['cli']", self.check(self.root, 1))


if __name__ == "__main__":
    unittest.main()
