"""remuda embed: what comes out."""
import array
import json
import os
import shutil
import signal
import subprocess
import unittest

from support import MINILM, CliTest, read_npy

WORDS = "the horse waits at dawn while a rider ropes it from the herd under a wide sky".split()


def sentences(count):
    return [" ".join(WORDS[(i * 7 + j) % len(WORDS)] for j in range(1 + i % 9)) for i in range(count)]


def as_float32(values):
    return array.array("f", values)


class Embed(CliTest):
    def test_a_line_becomes_an_object(self):
        [line] = self.embed(stdin="The herd waits at dawn.\n")
        self.assertEqual(list(line), ["index", "embedding", "tokens", "tokens_used", "truncated"])
        self.assertEqual((line["index"], line["tokens"], line["tokens_used"], line["truncated"]), (0, 8, 8, False))
        self.assertEqual(len(line["embedding"]), 384)
        self.assertAlmostEqual(sum(x * x for x in line["embedding"]), 1, places=5)

    def test_order_is_the_inputs_over_many_chunks_and_instances(self):
        texts = sentences(2500)
        lines = self.embed("--pool", "3", stdin="\n".join(texts))
        self.assertEqual([line["index"] for line in lines], list(range(len(texts))))
        alone = {text: self.embed(stdin=text)[0] for text in {texts[0], texts[255], texts[256], texts[2499]}}
        for i in (0, 255, 256, 2499):
            self.assertEqual(lines[i]["embedding"], alone[texts[i]]["embedding"])
            self.assertEqual(lines[i]["tokens"], alone[texts[i]]["tokens"])

    def test_lines_end_with_newline_or_carriage_return_and_newline(self):
        plain = self.embed(stdin="one\ntwo\n")
        for same in ("one\r\ntwo\r\n", "one\ntwo"):
            self.assertEqual(self.embed(stdin=same), plain)

    def test_an_empty_line_is_an_empty_text(self):
        lines = self.embed(stdin="one\n\n\ntwo\n")
        self.assertEqual([line["tokens"] for line in lines], [3, 2, 2, 3])
        self.assertEqual(lines[1]["embedding"], lines[2]["embedding"])

    def test_no_input_gives_no_output(self):
        self.assertEqual(self.embed(stdin=""), [])
        self.assertEqual(self.embed("--output", "empty.npy", stdin=""), [])
        self.assertEqual(read_npy(self.directory / "empty.npy")[0], (0, 384))

    def test_files_and_stdin_in_the_order_given(self):
        a, b = self.write("a.txt", "first\nsecond"), self.write("b.txt", "fourth\n")
        together = self.embed(a, "-", b, stdin="third\n")
        self.assertEqual(together, self.embed(stdin="first\nsecond\nthird\nfourth\n"))

    def test_jsonl(self):
        lines = self.embed("--jsonl", stdin='{"id": 1, "text": "caf\\u00e9\\nat dawn"}\n\n{"text": "two"}\n')
        self.assertEqual(len(lines), 2)
        self.assertEqual(lines[1]["embedding"], self.embed(stdin="two")[0]["embedding"])

    def test_npy_holds_what_the_json_says(self):
        texts = "\n".join(sentences(1100))
        lines = self.embed(stdin=texts)
        out, _ = self.remuda("embed", "-o", "v.npy", stdin=texts)
        self.assertEqual(out, "")
        shape, rows = read_npy(self.directory / "v.npy")
        self.assertEqual(shape, (1100, 384))
        for line, row in zip(lines, rows):
            self.assertEqual(as_float32(line["embedding"]), row)
        self.assertEqual([path.name for path in self.directory.iterdir()], ["v.npy"])

    def test_npy_replaces_the_file_that_a_link_leads_to(self):
        self.write("real.npy", "old")
        (self.directory / "link.npy").symlink_to("real.npy")
        self.remuda("embed", "-o", "link.npy", stdin="one")
        self.assertTrue((self.directory / "link.npy").is_symlink())
        self.assertEqual(read_npy(self.directory / "real.npy")[0], (1, 384))

    def test_cut_texts_are_marked_counted_and_warned_about(self):
        out, err = self.remuda("embed", "--max-length", "6", "--stats", stdin="one two three four five\nshort\n")
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(line["tokens"], line["tokens_used"], line["truncated"]) for line in lines],
                         [(7, 6, True), (3, 3, False)])
        self.assertIn("1 of 2 texts were cut at 6 tokens", err)
        self.assertEqual(json.loads(err.splitlines()[-1])["truncated"], 1)

    def test_prompt_stands_before_each_text(self):
        prompted = self.embed("--prompt", "The herd at ", stdin="dawn\n")
        self.assertEqual(prompted, self.embed(stdin="The herd at dawn\n"))

    def test_malformed_utf8_is_read_and_reported(self):
        out, err = self.remuda("embed", "--stats", stdin=b"bad \xff\xfe bytes\nfine\n")
        self.assertEqual(len(out.splitlines()), 2)
        self.assertIn("2 malformed UTF-8 sequences", err)
        self.assertEqual(json.loads(err.splitlines()[-1])["invalid_utf8"], 2)

    def test_stats(self):
        _, err = self.remuda("embed", "--stats", stdin="one\ntwo\n")
        stats = json.loads(err)
        self.assertEqual((stats["texts"], stats["tokens"], stats["truncated"], stats["invalid_utf8"]), (2, 6, 0, 0))
        self.assertEqual(stats["pool"]["in_use"], 0)
        self.assertGreater(stats["texts_per_s"], 0)
        self.assertGreater(stats["peak_rss_bytes"], 10_000_000)

    def test_flags_of_speed_change_no_byte(self):
        texts = "\n".join(sentences(700))
        plain, _ = self.remuda("embed", stdin=texts)
        for flags in (["--threads", "1"], ["--threads", "3", "--pool", "4"], ["--max-batch-tokens", "7"],
                      ["--max-batch-tokens", "100000", "--pool", "1"]):
            self.assertEqual(self.remuda("embed", *flags, stdin=texts)[0], plain, flags)

    def test_nothing_but_results_on_stdout_and_no_progress_off_a_terminal(self):
        out, err = self.remuda("embed", stdin="\n".join(sentences(50)))
        self.assertEqual(len(out.splitlines()), 50)
        self.assertEqual(err, "")

    def test_progress_on_a_terminal(self):
        master, slave = os.openpty()
        path = self.write("in.txt", "\n".join(sentences(8)) * 1000)
        process = self.start("embed", path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        while b" left" not in shown:
            shown += os.read(master, 1000)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        os.close(master)
        self.assertRegex(shown.decode(), r"\r\x1b\[K[\d,]+ texts  [\d,]+/s  0:\d\d  \[=* *\] +\d+%  0:\d\d left")

    def test_a_line_of_ten_megabytes(self):
        lines = self.embed(stdin="word " * 2_000_000 + "\nnext\n")
        self.assertEqual([line["tokens"] for line in lines], [2_000_002, 3])
        self.assertTrue(lines[0]["truncated"])

    def test_precisions_are_near_each_other(self):
        exact = self.embed(stdin="The herd waits at dawn.")[0]["embedding"]
        for precision, least in (("fp32", 1 - 1e-6), ("bf16", 0.9999), ("int8", 0.99)):
            other = self.embed("--precision", precision, stdin="The herd waits at dawn.")[0]["embedding"]
            cosine = sum(a * b for a, b in zip(exact, other)) / sum(b * b for b in other) ** 0.5
            self.assertGreater(cosine, least, precision)

    def test_answers_as_soon_as_a_slow_writer_has_written_a_line(self):
        process = self.start("embed")
        for word in (b"one\n", b"two\n"):
            process.stdin.write(word)
            process.stdin.flush()
            self.assertIn(b'"embedding"', process.stdout.readline())
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)

    def test_memory_is_flat_however_long_the_input(self):
        # One of the model's six layers: the vectors are as long, and there sooner.
        model = self.directory / "one-layer"
        shutil.copytree(MINILM, model, copy_function=os.symlink)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").unlink()
        (model / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))

        def peak(count):
            path = self.write("lines.txt", "a short line of text\n" * count)
            _, err = self.remuda("embed", "--model", model, "--precision", "int8", "--stats", path, stdin=b"",
                                 stdout=subprocess.DEVNULL)
            return json.loads(err)["peak_rss_bytes"]

        small = peak(3_000)
        # Ten times the lines hold less than 16 MB more; their vectors alone are 41 MB.
        self.assertLess(peak(30_000) - small, 16_000_000)


if __name__ == "__main__":
    unittest.main()
