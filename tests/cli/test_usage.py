"""Flags, settings, help, and the commands that report."""
import json
import unittest

from support import CliTest

COMMANDS = (["embed"], ["summarize"], ["tokenize"], ["inspect"], ["devices"], ["bench"], ["bench", "embed"],
            ["bench", "summarize"], ["bench", "pool"], ["demo"])


class Usage(CliTest):
    def test_help_of_every_command_goes_to_stdout(self):
        for command in ([], *COMMANDS):
            out, err = self.remuda(*command, "--help")
            self.assertIn("Usage: " + " ".join(["remuda", *command]), out)
            self.assertEqual(err, "")
        self.assertIn("Examples:", self.remuda("embed", "--help")[0])

    def test_version(self):
        self.assertRegex(self.remuda("--version")[0], r"^remuda \d+\.\d+\.\d+\n$")

    def test_unknown_flags_and_commands_name_the_known_ones(self):
        for command in COMMANDS:
            out, err = self.remuda(*command, "--no-such-flag", code=2)
            self.assertEqual(out, "")
            self.assertIn("--no-such-flag", err)
            self.assertIn("--help", err)
        self.assertIn("--max-length", self.remuda("embed", "--no-such-flag", code=2)[1])
        _, err = self.remuda("embedd", code=2)
        self.assertIn('"embedd"', err)
        self.assertIn("tokenize", err)
        self.assertIn("embed, summarize, tokenize", self.remuda(code=2)[1])

    def test_bad_values_say_what_is_valid(self):
        for flag, value, valid in (("--threads", "many", "0 to 4096"), ("--threads", "-1", "0 to 4096"),
                                   ("--pool", "0", "1 to 4096"), ("--max-length", "0", "1 to"),
                                   ("--max-batch-tokens", "x", "1 to"), ("--precision", "fp64", "fp32, bf16, int8"),
                                   ("--device", "tpu", "auto, cpu, cuda"), ("--device", "cuda:", "cuda:N"),
                                   ("--memory-limit", "lots", "2GiB"), ("--log-level", "loud", "debug, info")):
            with self.subTest(flag=flag, value=value):
                _, err = self.remuda("embed", flag, value, code=2)
                self.assertIn(flag, err)
                self.assertIn(valid, err)
                self.assertIn(value, err)
        for value in ("-1", "1e9", "soon"):
            _, err = self.remuda("bench", "embed", "--seconds", value, code=2)
            self.assertIn("--seconds", err)
        self.assertIn("--prompt", self.remuda("embed", "--prompt", "a", "--prompt-name", "b", code=2)[1])

    def test_log_levels_from_silence_to_every_step(self):
        def log(*arguments):
            return self.remuda("embed", "--max-length", "6", *arguments, stdin="one two three four five")[1]

        for arguments, shown in (([], (True, False, False)), (["--log-level", "warning"], (True, False, False)),
                                 (["--log-level", "error"], (False, False, False)),
                                 (["--log-level", "off"], (False, False, False)),
                                 (["--log-level", "info"], (True, True, False)),
                                 (["--log-level", "debug"], (True, True, True))):
            with self.subTest(arguments):
                err = log(*arguments)
                self.assertEqual(("texts were cut" in err, "loaded" in err, "event=create instance=1" in err), shown, err)

    def test_a_gpu_that_is_not_there(self):
        gpus = [device["id"] for device in json.loads(self.remuda("devices", "--json")[0])["devices"][1:]]
        for command in ("embed", "summarize"):
            _, err = self.remuda(command, "--device", "cuda:99", stdin="one", code=1)
            self.assertIn("a GPU is demanded (device cuda:99), and there is no cuda:99 that", err)
            for gpu in gpus or ["this machine has no GPU"]:
                self.assertIn(gpu, err)
            self.assertIn("set device to auto or cpu", err)
        self.assertIn("cuda:98", self.remuda("embed", env={"REMUDA_DEVICE": "cuda:98"}, stdin="one", code=1)[1])
        self.remuda("embed", "--device", "cpu", env={"REMUDA_DEVICE": "cuda:98"}, stdin="one")
        self.remuda("embed", "--device", "auto", stdin="one")

    def test_settings_from_environment_file_and_flag_in_rising_order(self):
        def limit(*arguments, env=None):
            _, err = self.remuda("embed", "--stats", *arguments, env=env, stdin="one")
            return json.loads(err)["pool"]["max_instances"]

        self.assertEqual(limit(), 2)
        self.write("remuda.toml", "model_pool_max_instances = 3\n")
        self.assertEqual(limit(), 3)
        self.assertEqual(limit(env={"MODEL_POOL_MAX_INSTANCES": "4"}), 4)
        self.assertEqual(limit("--pool", "5", env={"MODEL_POOL_MAX_INSTANCES": "4"}), 5)

    def test_bad_settings_are_bad_usage_that_names_them(self):
        _, err = self.remuda("embed", env={"REMUDA_PRECISION": "fast"}, code=2)
        self.assertIn('REMUDA_PRECISION: expected auto, fp32', err)
        self.write("remuda.toml", "precison = 'fp32'\n")
        self.assertIn("remuda.toml: precison: not a setting", self.remuda("tokenize", code=2)[1])
        self.write("remuda.toml", "precision = \n")
        self.assertIn("remuda.toml:1:", self.remuda("embed", code=1)[1])

    def test_an_instruction_set_that_is_not_there(self):
        self.assertIn("REMUDA_ISA", self.remuda("devices", env={"REMUDA_ISA": "mmx"}, code=2)[1])


class Tokenize(CliTest):
    def test_ids_and_tokens(self):
        out, _ = self.remuda("tokenize", stdin="Hello, \"world\"!\n\n")
        self.assertEqual([json.loads(line) for line in out.splitlines()], [
            {"ids": [101, 7592, 1010, 1000, 2088, 1000, 999, 102],
             "tokens": ["[CLS]", "hello", ",", '"', "world", '"', "!", "[SEP]"]},
            {"ids": [101, 102], "tokens": ["[CLS]", "[SEP]"]}])

    def test_cuts_only_when_told_to(self):
        long = "word " * 1000
        self.assertEqual(len(json.loads(self.remuda("tokenize", stdin=long)[0])["ids"]), 1002)
        self.assertEqual(len(json.loads(self.remuda("tokenize", "--max-length", "9", stdin=long)[0])["ids"]), 9)

    def test_jsonl_many_lines_in_order(self):
        lines = "".join(json.dumps({"text": "horse " * (i % 5)}) + "\n" for i in range(3000))
        out, _ = self.remuda("tokenize", "--jsonl", stdin=lines)
        self.assertEqual([len(json.loads(line)["ids"]) for line in out.splitlines()], [2 + i % 5 for i in range(3000)])

    def test_malformed_utf8(self):
        out, err = self.remuda("tokenize", stdin=b"\xff\n")
        self.assertEqual(json.loads(out)["tokens"], ["[CLS]", "[SEP]"])
        self.assertIn("1 malformed UTF-8", err)

    def test_failures(self):
        self.assertIn("No such file", self.remuda("tokenize", "missing.txt", code=1)[1])
        self.assertIn("stdin:1", self.remuda("tokenize", "--jsonl", stdin="{", code=1)[1])
        self.assertIn("nobody/nothing", self.remuda("tokenize", "-m", "nobody/nothing", code=1)[1])


class Reports(CliTest):
    def test_inspect(self):
        out, _ = self.remuda("inspect")
        self.assertIn("22,713,728", out)
        report = json.loads(self.remuda("inspect", "--json")[0])
        self.assertEqual((report["architecture"], report["dimension"], report["num_layers"]), ("bert", 384, 6))
        costs = [report["precisions"][p]["shared_weights_bytes"] for p in ("fp32", "bf16", "int8")]
        self.assertEqual(costs, sorted(costs, reverse=True))
        self.assertGreater(report["precisions"]["fp32"]["instances_that_fit"], 0)

    def test_inspect_of_what_is_no_model(self):
        self.assertIn("config.json", self.remuda("inspect", str(self.directory), code=1)[1])

    def test_devices(self):
        self.assertIn("precision fp32", self.remuda("devices")[0])
        report = json.loads(self.remuda("devices", "--json")[0])
        [cpu] = [device for device in report["devices"] if device["id"] == "cpu"]
        self.assertGreaterEqual(cpu["threads"], 1)
        self.assertGreater(cpu["memory_total"], cpu["memory_available"])
        self.assertIn(report["isa"], report["isa_available"])
        forced = json.loads(self.remuda("devices", "--json", env={"REMUDA_ISA": "generic"})[0])
        self.assertEqual(forced["isa"], "generic")

    def test_bench(self):
        path = self.write("in.txt", "one\ntwo words\n" * 20)
        out, _ = self.remuda("bench", "embed", "--json", "--seconds", "0.1", "--threads", "1", "--precision", "int8", path)
        report = json.loads(out)
        for name in ("load_ms", "second_instance_ms", "docs_per_s", "tokens_per_s", "single_p50_ms", "single_p99_ms",
                     "single_mean_ms", "peak_rss_bytes"):
            self.assertGreater(report[name], 0, name)
        self.assertEqual((report["precision"], report["threads"], report["dimension"]), ("int8", 1, 384))
        self.assertEqual(report["docs"] % 40, 0)
        self.assertLessEqual(report["single_p50_ms"], report["single_p99_ms"])
        self.assertIn("texts/s", self.remuda("bench", "embed", "--seconds", "0.1")[0])

    def test_bench_of_the_pool(self):
        report = json.loads(self.remuda("bench", "pool", "--json", "--seconds", "1")[0])
        for name in ("acquire_release_ns", "handover_ns", "bare_handover_ns", "leases_per_s", "timeout_late_p50_ms"):
            self.assertGreater(report[name], 0, name)
        # Far from what an idle machine gives: this one may be busy.
        self.assertLess(report["acquire_release_ns"], 5000)
        self.assertLess(report["handover_ratio"], 40)  # 1.2 where nothing else runs.
        self.assertGreater(report["fewest_turns_of_mean"], 0.5)
        self.assertGreaterEqual(report["timeout_late_least_ms"], 0)
        self.assertIn("acquire + release", self.remuda("bench", "pool", "--seconds", "0")[0])

    def test_demo_finds_the_sentences_that_answer(self):
        out, err = self.remuda("demo")
        self.assertEqual(err, "")
        self.assertIn("A connection pool keeps", out)
        self.assertIn("Bread rises", out)
        self.assertIn("Bats hunt moths", out)
        self.assertRegex(out, r"in use \[.*\n  cpu       2 instances, weights +[\d.]+ MiB  workspaces +[\d.]+ MiB  of ")
        self.assertRegex(out, r"without the second:\n\n  cpu       3 instances, .*\n  cpu       2 instances, ")
        self.assertNotIn("\x1b", out)
        self.assertLessEqual(max(map(len, out.splitlines())), 80)


if __name__ == "__main__":
    unittest.main()
