"""The measurements in bench/ in a short form, and their arithmetic. Needs none of the peers."""
import array
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import bart_model  # noqa: E402
import common  # noqa: E402
import embed  # noqa: E402
import memory  # noqa: E402
import npy  # noqa: E402
import summarize  # noqa: E402
import texts  # noqa: E402

ENVIRONMENT = {"REMUDA_MODELS_DIR": str(ROOT / "models"), **os.environ}


def rounds(**figures):
    """Results of one kind: rounds from the values of each figure, in turn."""
    return {"rounds": [dict(zip(figures, values)) for values in zip(*figures.values())], "min_cosine": None}


class Measurements(unittest.TestCase):
    def measure(self, script, *arguments, codes=(0,)):
        """Runs a script of bench/; what it printed, and the figures that it wrote."""
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory) / "figures.json"
            command = [sys.executable, "-B", ROOT / "bench" / script, "--json", file, *arguments]
            done = subprocess.run(command, text=True, capture_output=True, env=ENVIRONMENT, timeout=240)
            self.assertIn(done.returncode, codes, done.stdout + done.stderr)
            return done, json.loads(file.read_text()) if file.exists() else None

    def test_remuda_alone_is_measured_without_the_peers(self):
        done, figures = self.measure("embed.py", "--only", "remuda-fp32", "--rounds", "2", "--texts", "20", "--seconds",
                                     "0.3")
        self.assertRegex(done.stdout, r"\| remuda-fp32 \| [\d,]+ \| [\d,]+ \| [\d,]+ \| [\d.]+ ms \|")
        self.assertNotIn("target", done.stdout)
        self.assertIn("round 2 of 2: remuda-fp32", done.stderr)
        (kind, result), = figures["engines"].items()
        self.assertEqual((kind, len(result["rounds"])), ("remuda-fp32", 2))
        for one in result["rounds"]:
            self.assertLessEqual(one["p50_ms"], one["p99_ms"])
            self.assertGreater(one["short_per_s"], one["docs_per_s"])
            self.assertAlmostEqual(one["tokens_per_s"] / one["docs_per_s"], figures["tokens_per_long_text"])
        self.assertGreater(result["peak_rss_bytes"], 10 * 2**20)
        self.assertGreater(result["start_s"], 0)

    def test_cold_start(self):
        done, figures = self.measure("cold_start.py", "--runs", "3", "--precisions", "int8,fp32")
        runs = {name: len(values) for name, values in figures["milliseconds"].items()}
        self.assertEqual(runs, {"int8": 3, "fp32": 3})
        for check in figures["checks"]:
            self.assertEqual(check["target"], 80)
            self.assertEqual(check["met"], check["measured"] <= 80)
        self.assertRegex(done.stdout, r"fp32 +min +[\d.]+ +median +[\d.]+ +max +[\d.]+ ms")

    def test_instances_share_memory_and_a_long_run_holds_it(self):
        done, figures = self.measure("memory.py", "--precisions", "int8", "--pools", "1,2", "--texts", "320", "--lines",
                                     "20000", codes=(0, 1))
        pools = figures["pools"]["int8"]
        self.assertEqual(list(pools), ["1", "2"])
        for memory_of_pool in pools.values():
            self.assertGreater(memory_of_pool["pss"], 10 * 2**20)
            self.assertLessEqual(memory_of_pool["pss"], memory_of_pool["rss"])
        *instances, lines = figures["checks"]
        self.assertTrue(all(check["met"] for check in instances), done.stdout)
        # After so few lines a thread that touches its last pages late still shows; the lines' vectors are a quarter.
        self.assertLessEqual(lines["measured"], 1.05, done.stdout)

    def test_summaries_of_remuda_alone_are_measured_without_the_peers(self):
        with tempfile.TemporaryDirectory() as cache:
            done, figures = self.measure("summarize.py", "--short", "--only", "remuda", "--cache", cache)
            self.assertRegex(done.stdout, r"\| remuda-int8 \| 3 \| [\d,]+ \| [\d.]+ ms \| [\d.]+ \| [\d.]+ s \| \d+ MB")
            self.assertNotIn("target", done.stdout)
            self.assertIn("3 documents: round 2 of 2: remuda-fp32", done.stderr)
            self.assertEqual(list(figures["documents"]), ["1", "3"])
            for engines in figures["documents"].values():
                self.assertEqual(list(engines), ["remuda-fp32", "remuda-bf16", "remuda-int8"])
                for result in engines.values():
                    self.assertEqual(len(result["rounds"]), 2)
                    self.assertTrue(all(value > 0 for value in result["median"].values()), result)
            again, _ = self.measure("summarize.py", "--short", "--only", "remuda-int8", "--cache", cache, "--documents",
                                    "1", "--rounds", "1")
            self.assertIn("Making", done.stderr)
            self.assertNotIn("Making", again.stderr)

    def test_what_is_missing_is_said(self):
        for script in ("embed.py", "cold_start.py", "memory.py"):
            for flag in ("--binary", "--model"):
                with self.subTest(script=script, flag=flag):
                    done, _ = self.measure(script, flag, "/nowhere", codes=(1,))
                    self.assertIn("/nowhere", done.stderr)
        done, _ = self.measure("summarize.py", "--binary", "/nowhere", codes=(1,))
        self.assertIn("/nowhere", done.stderr)
        done, _ = self.measure("summarize.py", "--only", "ctranslate2", "--python", "/nowhere", codes=(1,))
        self.assertIn("scripts/peers_env.sh bench/requirements.txt", done.stderr)
        done, _ = self.measure("embed.py", "--only", "remuda-fp32,tensorflow", codes=(2,))
        self.assertIn("tensorflow", done.stderr)
        self.assertIn("openvino-bf16", done.stderr)


class Arithmetic(unittest.TestCase):
    def test_ratio_is_the_median_of_each_rounds(self):
        results = {"remuda-fp32": rounds(p50_ms=[1, 2, 9]), "openvino-fp32": rounds(p50_ms=[4, 4, 12]),
                   "ctranslate2-fp32": rounds(p50_ms=[2, 8, 10])}
        peers = ["openvino-fp32", "ctranslate2-fp32", "onnxruntime-fp32"]
        self.assertEqual(common.ratio(results, "p50_ms", "remuda-fp32", peers, min), 0.5)  # Of 1/2, 2/4 and 9/10.
        self.assertEqual(common.ratio(results, "p50_ms", "remuda-fp32", peers[:1]), 0.5)  # Of 1/4, 2/4 and 9/12.
        self.assertIsNone(common.ratio(results, "p50_ms", "remuda-fp32", ["onnxruntime-fp32"]))
        self.assertIsNone(common.ratio(results, "p50_ms", "remuda-int8", peers))

    def test_targets_are_met_and_missed(self):
        results = {"remuda-int8": rounds(tokens_per_s=[130], p50_ms=[0.7]),
                   "onnxruntime-int8": rounds(tokens_per_s=[100], p50_ms=[1.0]),
                   "ctranslate2-int8": rounds(tokens_per_s=[100], p50_ms=[9.0])}
        results["remuda-int8"]["min_cosine"] = 0.996
        verdicts = {check.what: check.met for check in embed.target_checks(results)}
        self.assertEqual(verdicts, {"tokens/s on long texts, remuda-int8 by ctranslate2-int8": False,
                                    "tokens/s on long texts, remuda-int8 by onnxruntime-int8": True,
                                    "p50 of one short text, remuda-int8 by onnxruntime-int8": False,
                                    "smallest cosine, remuda-int8": True})

    def test_targets_of_summaries(self):
        def kind(**figures):
            return {**rounds(**figures), "median": {name: values[0] for name, values in figures.items()}}

        alone = {"remuda-int8": kind(steps_per_s=[90], encode_tokens_per_s=[150], load_s=[0.2], peak_rss_bytes=[530e6],
                                     second_instance_ms=[0.03]),
                 "ctranslate2-int8": kind(steps_per_s=[20], encode_tokens_per_s=[100], load_s=[2],
                                          peak_rss_bytes=[600e6])}
        checks = summarize.target_checks({1: alone, 3: alone})
        self.assertEqual({check.what: check.met for check in checks},
                         {"decode steps/s, 1 document, remuda-int8 by ctranslate2-int8": True,
                          "encoded tokens/s, 1 document, remuda-int8 by ctranslate2-int8": False,
                          "load, remuda-int8, s": True, "another instance, remuda-int8, ms": True,
                          "memory, 1 document, remuda-int8, MB": False})
        self.assertEqual(checks[0].measured, 4.5)
        self.assertEqual(summarize.times_better(alone, "load_s", "remuda-int8", "ctranslate2-int8"), 10)

    def test_made_model_has_the_shape_of_bart_large_cnn(self):
        sizes = bart_model.tensors_of(bart_model.LARGE)
        self.assertEqual(sum(map(math.prod, sizes.values())) - 50264, 406_290_432)  # Without final_logits_bias.

    def test_memory_that_grows_after_the_first_tenth_is_a_miss(self):
        flat = [{"lines": 10 * i, "rss": 100 + (i == 3)} for i in range(1, 101)]
        growing = [{"lines": 10 * i, "rss": 100 + i} for i in range(1, 101)]
        self.assertTrue(memory.growth_check(flat, 1000).met)
        self.assertFalse(memory.growth_check(growing, 1000).met)
        with self.assertRaises(SystemExit):
            memory.growth_check(flat[50:], 1000)

    def test_smallest_cosine(self):
        reference = [[1.0, 0.0], [0.0, 2.0]]
        self.assertAlmostEqual(embed.smallest_cosine([[3.0, 0.0], [4.0, 3.0]], reference), 0.6)
        with self.assertRaises(ValueError):
            embed.smallest_cosine(reference[:1], reference)

    def test_arrays_of_another_kind_are_refused(self):
        header = b"{'descr': '%s', 'fortran_order': False, 'shape': (2, 3), }"
        with tempfile.NamedTemporaryFile() as file:
            def write(descr):
                text = header % descr
                values = array.array("f", range(6)).tobytes()
                start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
                pathlib.Path(file.name).write_bytes(start + text + values)

            write(b"<f4")
            self.assertEqual([list(row) for row in npy.rows(file.name)], [[0, 1, 2], [3, 4, 5]])
            write(b"<f2")
            with self.assertRaisesRegex(ValueError, "<f2"):
                npy.rows(file.name)

    def test_texts(self):
        longs, shorts = texts.long_and_short(50)
        self.assertEqual((len(longs), len(shorts)), (50, 50))
        self.assertTrue(all(longs) and all(shorts))
        self.assertEqual(texts.long_and_short(50), (longs, shorts))

    def test_a_process_has_memory_until_it_is_gone(self):
        child = subprocess.Popen(["sleep", "60"])
        self.assertGreater(common.memory_of(child.pid)["Rss"], 0)
        child.kill()
        child.wait()
        self.assertIsNone(common.memory_of(child.pid))


if __name__ == "__main__":
    unittest.main()
