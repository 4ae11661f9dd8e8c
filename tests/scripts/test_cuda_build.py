"""REMUDA_CUDA: what CMake makes of machines with an nvcc, without one, and with one that is of no use. Configures only."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HIDDEN = ";".join({"/usr/local/cuda/bin", *(folder for folder in os.environ["PATH"].split(":") if folder and
                                            os.access(os.path.join(folder, "nvcc"), os.X_OK))})


class CudaBuild(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def configure(self, *options, code=0):
        """What CMake said, in one line."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CUDA")}
        done = subprocess.run(["cmake", "-S", ROOT, "-B", self.directory / "build", "-G", "Ninja",
                               "-DREMUDA_BUILD_TESTS=OFF", *options], env=environment, text=True, capture_output=True)
        self.assertEqual(done.returncode != 0, code != 0, done.stdout + done.stderr)
        return re.sub(r"\s+", " ", done.stdout + done.stderr)

    def builds_backend(self):
        return "libremuda_cuda.so" in (self.directory / "build/build.ninja").read_text()

    def picked(self):
        """Which of the files that say whether there is a backend."""
        return re.findall(r"backends/(\w+)\.cc\.o:", (self.directory / "build/build.ninja").read_text())

    def nvcc(self, script):
        path = self.directory / "nvcc"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
        return f"-DREMUDA_NVCC={path}"

    def check_that_it_is_of_no_use(self, *options, why):
        self.assertIn(f"CUDA backend: not built ({why}", self.configure(*options))
        self.assertFalse(self.builds_backend())
        self.assertEqual(self.picked(), ["without_cuda"])
        said = self.configure("-DREMUDA_CUDA=ON", *options, code=1)
        self.assertIn(f"REMUDA_CUDA is ON, and {why}", said)
        self.assertIn("Install NVIDIA's CUDA toolkit", said)

    def test_no_nvcc(self):
        self.check_that_it_is_of_no_use(f"-DCMAKE_IGNORE_PATH={HIDDEN}", why="nvcc was not found")

    def test_an_nvcc_that_is_too_old(self):
        nvcc = self.nvcc('echo "Cuda compilation tools, release 12.4, V12.4.131"\n')
        self.check_that_it_is_of_no_use(nvcc, why=f"{nvcc[14:]} is not of CUDA 12.8 or later")

    def test_an_nvcc_that_can_not_build(self):
        nvcc = self.nvcc('[ "$1" = --version ] && echo "Cuda compilation tools, release 13.0, V13.0.88" && exit\n'
                         'echo "unsupported GNU version" >&2; exit 1\n')
        self.check_that_it_is_of_no_use(nvcc, why=f"{nvcc[14:]} can't build a program: unsupported GNU version")

    def test_off(self):
        self.assertNotIn("CUDA backend", self.configure("-DREMUDA_CUDA=OFF"))
        self.assertFalse(self.builds_backend())
        self.assertEqual(self.picked(), ["without_cuda"])

    def test_what_is_no_choice(self):
        self.assertIn("it can be AUTO, ON or OFF", self.configure("-DREMUDA_CUDA=maybe", code=1))

    def test_sanitizers_leave_it_out(self):
        self.configure("-DREMUDA_SANITIZE=address")
        self.assertFalse(self.builds_backend())

    @unittest.skipUnless(shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc"), "no nvcc here")
    def test_an_nvcc(self):
        said = self.configure()
        if "not built" in said:
            self.skipTest(said)  # Too old a one.
        self.assertTrue(self.builds_backend())
        self.assertEqual(self.picked(), ["with_cuda"])


if __name__ == "__main__":
    unittest.main()
