"""GPUs, and why there are none. They are described by a library of the tests that stands for libremuda_cuda.so."""
import json
import pathlib
import unittest

from support import BINARY, CliTest

GIB = 1 << 30
FORCED = {"MASX_FORCE_GPU": "true", "MASX_FORCE_CPU": "false"}
BUILD = pathlib.Path(BINARY).resolve().parent


def library(name):
    return str(BUILD / "test-libraries" / f"lib{name}.so")


def described(gpus, **settings):
    """Of these GPUs: "name,compute capability,GiB,GiB free", with semicolons between them."""
    return {"REMUDA_CUDA_LIBRARY": library("described_backend"), "REMUDA_DESCRIBED_GPUS": gpus, **settings}


def on_host(**settings):
    """With models, which the processor computes in a GPU's place."""
    return {"REMUDA_CUDA_LIBRARY": library("remuda_cuda_on_host"), **settings}


def embeddings(out):
    return [json.loads(line)["embedding"] for line in out.splitlines()]


class Gpus(CliTest):
    def devices(self, env):
        report = json.loads(self.remuda("devices", "--json", env=env)[0])
        self.assertEqual(report["devices"][0]["id"], "cpu")
        return report["devices"][1:], report["gpu_problem"]

    def test_those_that_there_are(self):
        env = described("NVIDIA H100,9.0,80,79;Tesla T4,7.5,16,15;NVIDIA A100,8.0,40,0.25")
        (h100, t4, a100), problem = self.devices(env)
        self.assertIsNone(problem)
        self.assertEqual(h100, {"id": "cuda:0", "name": "NVIDIA H100", "memory_total": 80 * GIB,
                                "memory_available": 79 * GIB, "compute_capability": "9.0", "problem": None})
        self.assertEqual((t4["id"], t4["name"]), ("cuda:1", "Tesla T4"))
        self.assertIn("7.5", t4["problem"])
        self.assertIn("no memory", a100["problem"])
        text = self.remuda("devices", env=env)[0]
        self.assertIn("cuda:0     NVIDIA H100, compute capability 9.0\n  memory   79.0 GiB available of 80.0 GiB\n", text)
        self.assertIn(f"  not used: {t4['problem']}\n", text)
        self.assertNotIn("no GPU", text)

    def test_why_there_are_none(self):
        text = self.write("text.so", "This is no library.")
        for name, problem in (("/nowhere/libremuda_cuda.so", "No such file"), (text, "can't be loaded"),
                              (library("no_backend"), "not remuda's"), (library("other_version"), "of another remuda")):
            with self.subTest(name):
                env = {"REMUDA_CUDA_LIBRARY": name}
                self.assertIn(problem, self.devices(env)[1])
                self.assertIn(problem, self.remuda("devices", env=env)[0])
                out, err = self.remuda("embed", stdin="a text", env={**env, **FORCED}, code=1)
                self.assertEqual(out, "")
                self.assertIn("a GPU is demanded", err)
                self.assertIn(problem, err)
        self.assertIn("no GPU", self.devices(described(""))[1])

    def test_the_library_beside_the_program(self):
        gpus, problem = self.devices({})
        if gpus:
            self.skipTest("this machine has GPUs")
        if (BUILD / "libremuda_cuda.so").exists():
            self.assertIn("driver", problem)
        else:
            self.assertIn("built without", problem)

    @unittest.skipUnless((BUILD / "libremuda_cuda.so").exists(), "built without CUDA")
    def test_what_the_real_library_makes_of_a_driver(self):
        for driver, problem in (("11040", "driver is too old: it is for CUDA 11.4, and remuda's library needs one for"),
                                ("99000,100", "driver shows this process no GPU"),
                                ("99000,802", "cudaErrorSystemNotReady")):
            with self.subTest(driver):
                env = {"LD_LIBRARY_PATH": str(BUILD / "test-libraries/driver"), "REMUDA_DESCRIBED_DRIVER": driver}
                gpus, found = self.devices(env)
                self.assertEqual(gpus, [])
                self.assertIn(problem, found)

    def test_a_gpu_that_can_not_be_used_is_named_where_one_is_demanded(self):
        _, err = self.remuda("embed", stdin="a text", env=described("Tesla T4,7.5,16,15", **FORCED), code=1)
        self.assertIn("cuda:0 can't be used", err)
        self.assertIn("7.5", err)

    def test_a_model_computes_on_one(self):
        texts = "a horse at dawn\nthe herd\n"
        expected = embeddings(self.remuda("embed", stdin=texts)[0])
        for precision, computed_in, most in (("fp32", "fp32", 1e-4), ("tf32", "tf32", 5e-3), ("auto", "fp16", 5e-3)):
            with self.subTest(precision):
                out, err = self.remuda("embed", "--device", "cuda:0", "--precision", precision, "--stats", stdin=texts,
                                       env=on_host())
                stats = json.loads(err.splitlines()[-1])
                self.assertEqual(stats["device"], "cuda:0")
                self.assertEqual(stats["precision"], computed_in)
                self.assertEqual(stats["pool"]["by_device"], {"cuda:0": 1})
                found_all = embeddings(out)
                self.assertEqual(len(found_all), len(expected))
                for found, vector in zip(found_all, expected):
                    self.assertLess(max(abs(a - b) for a, b in zip(found, vector)), most)
        (gpu,), problem = self.devices(on_host())
        self.assertIsNone(problem)
        self.assertIsNone(gpu["problem"])

    def test_summaries_are_computed_on_one(self):
        arguments = ("summarize", "--num-beams", "2", "--max-length", "6")
        text = "The herd waits at dawn for the hands.\n"
        expected = self.remuda(*arguments, stdin=text)[0]
        out, err = self.remuda(*arguments, "--device", "cuda:0", "--precision", "fp32", "--stats", stdin=text,
                               env=on_host())
        self.assertEqual(out, expected)
        stats = json.loads(err.splitlines()[-1])
        self.assertEqual((stats["device"], stats["precision"]), ("cuda:0", "fp32"))
        self.assertEqual(stats["pool"]["by_device"], {"cuda:0": 1})

    def test_a_library_whose_models_can_not_be_used(self):
        for name, problem in (("described_backend", "models for GPUs"), ("other_models", "of another remuda")):
            with self.subTest(name):
                env = {"REMUDA_CUDA_LIBRARY": library(name)}
                for command in ("embed", "summarize"):
                    _, err = self.remuda(command, "--device", "cuda:0", stdin="a text", env=env, code=1)
                    self.assertIn(problem, err)

    def test_the_cpu_alone_opens_no_library(self):
        env = {"REMUDA_CUDA_LIBRARY": library("other_version")}
        self.assertNotIn("GPU", self.remuda("embed", "--stats", "--log-level", "debug", stdin="a text", env=env)[1])
        env["MASX_FORCE_CPU"] = "false"
        self.assertIn("of another remuda", self.remuda("embed", stdin="a text", env=env)[1])


if __name__ == "__main__":
    unittest.main()
