"""remuda summarize, and what other commands make of a summarization model; on a small BART of random weights."""
import json
import signal
import subprocess
import unittest

from support import CliTest

WORDS = "the horse waits at dawn while a rider ropes it from the herd under a wide sky".split()


def documents(count):
    return [" ".join(WORDS[(i * 7 + j) % len(WORDS)] for j in range(3 + i % 20)) for i in range(count)]


class SummarizeTest(CliTest):
    def setUp(self):
        super().setUp()
        self.model = self.small_bart()

    def run_it(self, *arguments, **options):
        return self.remuda("summarize", "-m", str(self.model), *arguments, **options)

    def summarize(self, *arguments, **options):
        return [json.loads(line) for line in self.run_it(*arguments, **options)[0].splitlines()]


class Summarize(SummarizeTest):
    def test_a_line_becomes_an_object(self):
        [line] = self.summarize(stdin="the horse waits at dawn\n")
        self.assertEqual(list(line), ["index", "summary", "ids", "input_tokens", "output_tokens", "truncated"])
        self.assertEqual((line["index"], line["truncated"]), (0, False))
        self.assertEqual(line["ids"][0], 9)
        self.assertEqual(line["output_tokens"], len(line["ids"]))
        self.assertLessEqual(len(line["ids"]), 20)
        self.assertNotEqual(line["summary"], "")

    def test_order_is_the_inputs_and_a_document_alone_gives_the_same(self):
        texts = documents(100)
        lines = self.summarize("--pool", "3", stdin="\n".join(texts))
        self.assertEqual([line["index"] for line in lines], list(range(100)))
        for i in (0, 31, 32, 99):
            self.assertEqual({**self.summarize(stdin=texts[i])[0], "index": i}, lines[i])

    def test_flags_of_speed_change_no_byte(self):
        texts = "\n".join(documents(40))
        plain = self.run_it(stdin=texts)[0]
        for flags in (["--threads", "1"], ["--max-batch-tokens", "1"], ["--max-batch-tokens", "100000"],
                      ["--pool", "1", "--threads", "3"]):
            self.assertEqual(self.run_it(*flags, stdin=texts)[0], plain, flags)
        self.assertIn("--max-batch-tokens", self.run_it("--max-batch-tokens", "0", stdin="a", code=2)[1])
        self.assertIn("[8192; on a GPU 65536", self.remuda("summarize", "--help")[0])

    def test_empty_documents_have_empty_summaries_and_keep_their_lines(self):
        lines = self.summarize(stdin="the horse\n\n   \nthe herd\n")
        self.assertEqual([(line["index"], line["summary"] == "") for line in lines],
                         [(0, False), (1, True), (2, True), (3, False)])
        self.assertEqual((lines[1]["ids"], lines[1]["input_tokens"]), ([], 0))
        self.assertEqual(self.summarize(stdin=""), [])

    def test_jsonl_and_whole_files(self):
        a, b = self.write("a.txt", "the horse\nwaits\n"), self.write("b.txt", "")
        lines = self.summarize("--whole-file", a, b, "-", stdin="the herd\n\nunder a wide sky")
        self.assertEqual([line["index"] for line in lines], [0, 1, 2])
        self.assertEqual(lines[1]["summary"], "")
        rows = "".join(json.dumps({"text": text}) + "\n"
                       for text in ("the horse\nwaits\n", "", "the herd\n\nunder a wide sky"))
        self.assertEqual(self.summarize("--jsonl", stdin=rows), lines)

    def test_cut_documents_are_marked_and_warned_about_once(self):
        out, err = self.run_it("--stats", stdin="horse " * 200 + "\nhorse\n" + "dawn " * 100)
        self.assertEqual([json.loads(line)["truncated"] for line in out.splitlines()], [True, False, True])
        self.assertEqual(err.count("warning"), 1)
        self.assertIn("2 of 3 documents were cut at 70 tokens; --long", err)
        stats = json.loads(err.splitlines()[-1])
        self.assertEqual((stats["documents"], stats["truncated"], stats["pool"]["in_use"]), (3, 2, 0))
        _, err = self.run_it("--max-input-tokens", "10", stdin="horse " * 20)
        self.assertIn("1 of 1 documents were cut at 10 tokens", err)

    def test_long_documents_are_covered_without_a_gap(self):
        text = ". ".join(documents(60)) + "."
        [line] = self.summarize("--long", "--overlap-tokens", "0", stdin=text)
        self.assertFalse(line["truncated"])
        self.assertGreater(len(line["parts"]), 5)
        self.assertEqual(line["parts"][0]["begin"], 0)
        self.assertEqual(line["parts"][-1]["end"], len(text))
        for part, following in zip(line["parts"], line["parts"][1:]):
            self.assertEqual(part["end"], following["begin"])
        self.assertLessEqual(max(part["tokens"] for part in line["parts"]), 70)
        self.assertIn("merges", line)
        self.assertIn("merged", line)
        [overlapping] = self.summarize("--long", "--overlap-tokens", "20", stdin=text)
        self.assertEqual(line["input_tokens"], overlapping["input_tokens"])
        self.assertEqual(line["input_tokens"], self.summarize(stdin=text)[0]["input_tokens"])
        [short] = self.summarize("--long", "--part-tokens", "30", stdin="the horse")
        self.assertEqual((len(short["parts"]), short["merges"], short["merged"]), (1, 0, True))

    def test_streamed_text_is_the_summary(self):
        texts = documents(5) + [""]
        for search in ([], ["--num-beams", "1"], ["--num-beams", "1", "--do-sample", "true", "--seed", "3"]):
            with self.subTest(search):
                out, err = self.run_it("--stream", *search, stdin="\n".join(texts) + "\n")
                lines = self.summarize(*search, stdin="\n".join(texts) + "\n")
                self.assertEqual(out, "".join(line["summary"] + "\n" for line in lines))
                self.assertEqual(err, "")

    def test_options_reach_the_search(self):
        def ids(*flags):
            return self.summarize(*flags, stdin="the horse waits at dawn")[0]["ids"]

        plain = ids()
        self.assertEqual(ids("--max-length", "6")[:1], [9])
        self.assertLessEqual(len(ids("--max-length", "6")), 6)
        self.assertEqual(len(ids("--min-new-tokens", "12", "--max-new-tokens", "12")), 13)
        banned = plain[1]
        self.assertNotIn(banned, ids("--suppress-tokens", f"{banned}"))
        self.assertNotIn(banned, ids("--bad-words-ids", f"{banned};{plain[2]},{plain[3]}"))
        self.assertNotEqual(ids("--begin-suppress-tokens", f"{banned},5")[1], banned)
        drawn = ["--do-sample", "true", "--num-beams", "1", "--temperature", "2.5"]
        self.assertEqual(ids(*drawn, "--seed", "7"), ids(*drawn, "--seed", "7"))
        self.assertNotEqual(ids(*drawn, "--seed", "7"), ids(*drawn, "--seed", "8"))
        ids("--early-stopping", "never", "--length-penalty", "-0.5", "--repetition-penalty", "1.2")

    def test_return_sequences(self):
        [line] = self.summarize("--num-return-sequences", "3", stdin="the horse waits")
        self.assertEqual(len(line["others"]), 2)
        scores = [line["score"], *(other["score"] for other in line["others"])]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def test_malformed_utf8_is_read_and_reported(self):
        self.assertIn("1 malformed UTF-8", self.run_it(stdin=b"horse \xff\n")[1])


class BadInput(SummarizeTest):
    def test_values_that_do_not_parse_name_the_flag(self):
        for flag, value, valid in (("--num-beams", "many", "whole number"), ("--length-penalty", "x", "a number"),
                                   ("--do-sample", "yes", "true or false"), ("--early-stopping", "1", "never"),
                                   ("--suppress-tokens", "5,,6", "token ids"), ("--bad-words-ids", "5;", "5,6;7"),
                                   ("--forced-bos-token-id", "x", "token id")):
            with self.subTest(flag):
                _, err = self.run_it(flag, value, stdin="", code=2)
                self.assertIn(flag, err)
                self.assertIn(valid, err)
                self.assertIn(f'"{value}"', err)

    def test_options_that_contradict_the_model_or_each_other_are_found_without_a_document(self):
        for flags, named in ((["--num-beams", "0"], "--num-beams"), (["--num-beams", "204"], "--num-beams"),
                             (["--max-length", "1"], "--max-length"),
                             (["--suppress-tokens", "203"], "--suppress-tokens"),
                             (["--do-sample", "true", "--top-p", "2"], "--top-p"),
                             (["--num-return-sequences", "5"], "--num-return-sequences"),
                             (["--do-sample", "true", "--temperature", "0"], "--temperature"),
                             (["--max-input-tokens", "71"], "--max-input-tokens"),
                             (["--long", "--part-tokens", "71"], "--part-tokens")):
            with self.subTest(flags):
                out, err = self.run_it(*flags, stdin="", code=2)
                self.assertEqual(out, "")
                self.assertIn(f"error: {named}", err)

    def generation_config(self, **changes):
        file = self.model / "generation_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    def test_what_is_not_used_is_not_checked_and_what_cannot_be_kept_is_a_warning(self):
        for changes, flags, warning in (({"temperature": 0.0, "do_sample": False}, [], None),
                                        ({"top_p": float("nan"), "typical_p": 0.2}, [], None),
                                        ({}, ["--temperature", "0"], None),
                                        ({"min_length": 56}, ["--max-length", "12"], "min_length asks for at least 56"),
                                        ({"max_length": 4096}, [], "the decoder has 70 positions")):
            with self.subTest(changes):
                self.generation_config(**changes)
                out, err = self.run_it(*flags, stdin="the horse\nthe herd\n")
                self.assertEqual(len(out.splitlines()), 2)
                if warning is None:
                    self.assertEqual(err, "")
                else:
                    self.assertEqual(err.count(warning), 1)
                    self.assertIn("generation_config.json", err)
                self.generation_config(min_length=0, max_length=20)

    def test_errors_of_a_files_values_name_the_file_and_the_key(self):
        for changes in ({"num_beams": 0}, {"max_length": "142"}, {"stop_strings": ["x"]}, {"forced_bos_token_id": 99999}):
            with self.subTest(changes):
                before = (self.model / "generation_config.json").read_text()
                self.generation_config(**changes)
                _, err = self.run_it(stdin="the horse", code=1)
                self.assertIn(f"generation_config.json: {next(iter(changes))}", err)
                self.assertNotIn("--", err)
                self.assertIn(next(iter(changes)), self.remuda("inspect", str(self.model), code=1)[1])
                (self.model / "generation_config.json").write_text(before)

    def test_none_takes_away_what_the_files_say(self):
        self.generation_config(forced_bos_token_id=5, forced_eos_token_id=8, eos_token_id=None, max_length=9)
        [ids] = [line["ids"] for line in self.summarize(stdin="the horse")]
        self.assertEqual((ids[1], ids[-1]), (5, 8))
        [free] = self.summarize("--forced-bos-token-id", "none", "--forced-eos-token-id=none", "--num-beams", "none",
                                stdin="the horse")
        self.assertNotEqual((free["ids"][1], free["ids"][-1]), (5, 8))
        self.assertEqual(self.summarize("--forced-bos-token-id", "none", "--forced-bos-token-id", "5",
                                        stdin="the horse")[0]["ids"], ids)

    def test_task_params_are_the_pipelines_way(self):
        config = json.loads((self.model / "config.json").read_text())
        (self.model / "config.json").write_text(json.dumps(
            {**config, "task_specific_params": {"summarization": {"max_length": 7, "min_length": 7}}}))
        plain = self.summarize(stdin="the horse")[0]["ids"]
        self.assertEqual(plain, self.summarize("--max-length", "20", "--min-length", "0", stdin="the horse")[0]["ids"])
        for run in (["--task-params"], []):
            env = {} if run else {"REMUDA_TASK_PARAMS": "true"}
            self.assertEqual(len(self.summarize(*run, stdin="the horse", env=env)[0]["ids"]), 7)
        self.assertEqual(self.summarize("--task-params", "--max-length", "5", stdin="the horse")[0]["output_tokens"], 5)

    def test_a_document_that_cannot_be_summarised_is_no_others_error(self):
        tokenizer = json.loads((self.model / "tokenizer.json").read_text())
        tokenizer["model"]["vocab"]["beyond"] = 203
        (self.model / "tokenizer.json").write_text(json.dumps(tokenizer))
        texts = documents(40)
        without = "\n".join(texts)
        for i in (3, 35):
            texts[i] = "beyond " + texts[i]
        for flags in ([], ["--long"]):
            plain = self.summarize(*flags, stdin=without)
            out, err = self.run_it(*flags, stdin="\n".join(texts), code=1)
            lines = [json.loads(line) for line in out.splitlines()]
            self.assertEqual([(line["index"], line["ids"]) for line in lines],
                             [(line["index"], line["ids"]) for line in plain if line["index"] not in (3, 35)])
            for i in (3, 35):
                self.assertIn(f"error: document {i}: ", err)
            self.assertIn("beyond", err)
            self.assertEqual(err.count("error:"), 2)

    def test_more_tokens_than_the_rules_leave_are_no_timeout(self):
        for beams in ("1", "4"):
            out, err = self.run_it("--no-repeat-ngram-size", "1", "--max-length", "71", "--min-length", "71",
                                   "--suppress-tokens", ",".join(map(str, range(20, 203))), "--num-beams", beams,
                                   stdin="the horse")
            self.assertEqual((len(out.splitlines()), err), (1, ""))

    def test_a_model_of_another_kind_is_refused_by_what_it_is(self):
        config = json.loads((self.model / "config.json").read_text())
        for changes, found in (({"architectures": ["BartForSequenceClassification"]}, "a classifier of texts"),
                               ({"model_type": "mbart"}, "an mBART"), ({"model_type": "t5"}, "a T5")):
            (self.model / "config.json").write_text(json.dumps({**config, **changes}))
            self.assertIn(found, self.run_it(stdin="the horse", code=1)[1])
            self.remuda("inspect", str(self.model), code=1)

    def test_flags_that_need_or_exclude_others(self):
        for flags in (["--partial"], ["--part-tokens", "20"], ["--jsonl", "--whole-file"],
                      ["--long", "--timeout", "1", "--partial"]):
            self.run_it(*flags, stdin="", code=2)

    def test_files_that_do_not_fit_each_other(self):
        config = json.loads((self.model / "config.json").read_text())
        (self.model / "config.json").write_text(json.dumps({**config, "d_model": 48}))
        self.assertIn("expected", self.run_it(stdin="the horse", code=1)[1])
        (self.model / "config.json").write_text(json.dumps(config))
        (self.model / "tokenizer.json").unlink()
        self.assertIn("tokenizer.json", self.run_it(stdin="the horse", code=1)[1])

    def test_a_memory_limit_below_the_cost(self):
        self.assertIn("bytes", self.run_it("--memory-limit", "100KiB", stdin="the horse", code=1)[1])

    def test_files_and_json_as_with_embed(self):
        self.assertIn("No such file", self.run_it("--whole-file", "missing.txt", code=1)[1])
        out, err = self.run_it("--jsonl", stdin='{"text": "horse"}\n{"txt": ""}\n', code=1)
        self.assertEqual(len(out.splitlines()), 1)
        self.assertIn("stdin:2", err)

    def test_time_that_is_up(self):
        path = self.write("in.txt", "\n".join(documents(2000)))
        out, err = self.run_it("--timeout", "0.001", path, code=1)
        self.assertIn("--timeout", err)
        out, err = self.run_it("--timeout", "0.001", "--partial", path)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(lines), 2000)
        self.assertFalse(all(line["complete"] for line in lines))
        self.assertIn("are not complete", err)


class Interruption(SummarizeTest):
    def test_ctrl_c_keeps_what_is_complete(self):
        path = self.write("in.txt", "\n".join(documents(200_000)))
        process = self.start("summarize", "-m", str(self.model), path, stdin=subprocess.DEVNULL, bufsize=0)
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        lines = [json.loads(line) for line in (first + out).splitlines()]
        indices = [line["index"] for line in lines]
        self.assertEqual(indices, sorted(set(indices)))
        self.assertLess(len(lines), 200_000)
        self.assertIn(f"{len(lines):,} documents are done and kept".encode(), err)

    def test_ctrl_c_ends_a_stream(self):
        process = self.start("summarize", "-m", str(self.model), "--stream")
        process.stdin.write(b"the horse\n")
        process.stdin.flush()
        self.assertNotEqual(process.stdout.readline(), b"")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)

    def test_a_reader_that_closes_the_pipe(self):
        path = self.write("in.txt", "\n".join(documents(20_000)))
        for flags in ([], ["--stream"]):
            process = self.start("summarize", "-m", str(self.model), *flags, path, stdin=subprocess.DEVNULL)
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.wait(timeout=60), -signal.SIGPIPE)

    def test_a_full_disk(self):
        for flags in ([], ["--stream"]):
            with open("/dev/full", "wb") as full:
                self.assertIn("No space left", self.run_it(*flags, stdin="the horse", stdout=full, code=1)[1])


class OtherCommands(SummarizeTest):
    def test_inspect(self):
        report = json.loads(self.remuda("inspect", "--json", str(self.model))[0])
        self.assertEqual((report["architecture"], report["window"], report["decoder_layers"]), ("bart", 70, 3))
        self.assertEqual((report["generation"]["num_beams"], report["generation"]["max_length"]), (4, 20))
        costs = report["precisions"]
        self.assertLess(costs["int8"]["shared_weights_bytes"], costs["fp32"]["shared_weights_bytes"])
        self.assertGreater(costs["fp32"]["document_bytes"], costs["bf16"]["document_bytes"])
        for cost in costs.values():
            self.assertGreater(cost["document_bytes"], cost["sequence_bytes"])
            self.assertGreater(cost["workspace_bytes"], cost["document_bytes"])
            self.assertGreater(cost["sequence_bytes"], 0)
        self.assertIn("num_beams 4", self.remuda("inspect", str(self.model))[0])

    def test_tokenize(self):
        [line] = self.remuda("tokenize", "-m", str(self.model), stdin="horse")[0].splitlines()
        self.assertEqual(json.loads(line)["tokens"][0], "[CLS]")

    def test_bench(self):
        flags = ["--seconds", "0.05", "--input-tokens", "60", "--output-tokens", "9", "--num-beams", "3"]
        out, _ = self.remuda("bench", "summarize", "-m", str(self.model), "--json", "--documents", "2", *flags)
        report = json.loads(out)
        self.assertEqual([report[key] for key in ("documents", "input_tokens", "output_tokens", "num_beams")],
                         [2, 60, 9, 3])
        for key in ("load_ms", "second_instance_ms", "encode_tokens_per_s", "step_ms", "documents_per_s", "single_p50_ms",
                    "peak_rss_bytes"):
            self.assertGreater(report[key], 0, key)
        self.assertIn("documents/s", self.remuda("bench", "summarize", "-m", str(self.model), *flags)[0])
        _, err = self.remuda("bench", "summarize", "-m", str(self.model), "--output-tokens", "500", code=2)
        self.assertIn("max_new_tokens", err)

    def test_demo_shows_summaries_or_says_how_to_get_them(self):
        self.assertIn("decoded together", self.remuda("demo", "--summarization-model", str(self.model))[0])
        out, err = self.remuda("demo", "--summarization-model", "nobody/nothing")
        self.assertIn("facebook/bart-large-cnn", out)
        self.assertIn("Bread rises", out)
        self.assertEqual(err, "")


if __name__ == "__main__":
    unittest.main()
