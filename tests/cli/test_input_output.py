"""What input may be, and what becomes of results when a run doesn't end as it should."""
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import time
import unittest

from support import SOURCE, CliTest, default_signals, read_npy

GOLDEN = SOURCE / "tests/golden/encoders/bert_mean"
LINE = b"a line of text that takes a moment to embed, with a few more words behind it\n"


class TinyModel(CliTest):
    def tiny(self):
        """A golden encoder of a few KiB."""
        path = self.directory / "tiny"
        if not path.exists():
            shutil.copytree(GOLDEN, path)
        return str(path)

    def ids(self, text):
        return json.loads(self.remuda("tokenize", "-m", self.tiny(), stdin=text)[0])["ids"]

    def with_nan_for(self, word):
        """The tiny model, with NaN in the vector of a token of this word."""
        path = self.tiny()
        token = self.ids(word)[1]
        data = bytearray((GOLDEN / "model.safetensors").read_bytes())
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + size])
        [name] = [key for key in header if key.endswith("word_embeddings.weight")]
        rows, columns = header[name]["shape"]
        begin, end = header[name]["data_offsets"]
        width = (end - begin) // (rows * columns)
        at = 8 + size + begin + token * columns * width
        data[at:at + width] = struct.pack({4: "<f", 2: "<e"}[width], float("nan"))
        self.write("tiny/model.safetensors", bytes(data))
        return path


class Numbers(TinyModel):
    def setUp(self):
        super().setUp()
        words = ["herd", "dawn", "horse", "rider", "b", "a"]
        self.bad = next(word for word in words if self.ids(word)[1] not in self.ids("x y") + self.ids("z"))
        self.model = self.with_nan_for(self.bad)

    def test_a_text_without_numbers_is_an_error_that_names_it_and_the_others_are_kept(self):
        texts = f"x y\n{self.bad}\nz\nx\n"
        out, err = self.remuda("embed", "-m", self.model, stdin=texts, code=1)
        self.assertEqual([json.loads(line)["index"] for line in out.splitlines()], [0, 2, 3])
        self.assertNotIn("null", out)
        self.assertIn("text 1: expected an embedding of finite numbers, found NaN", err)
        self.assertIn("the others are done", err)

    def test_an_array_with_such_a_text_is_not_finished(self):
        self.write("v.npy", b"precious")
        _, err = self.remuda("embed", "-m", self.model, "-o", "v.npy", stdin=f"x y\n{self.bad}\nz\n", code=1)
        self.assertIn("text 1:", err)
        self.assertEqual((self.directory / "v.npy").read_bytes(), b"precious")
        shape, rows = read_npy(self.directory / "v.partial.npy")
        self.assertEqual(shape[0], 3)
        self.assertTrue(rows[1][0] != rows[1][0])
        self.assertEqual([rows[0][0] == rows[0][0], rows[2][0] == rows[2][0]], [True, True])
        # Going on doesn't make the error forgotten; skipping it does.
        arguments = ("embed", "-m", self.model, "-o", "v.npy", "--resume")
        self.remuda(*arguments, stdin=f"x y\n{self.bad}\nz\n", code=1)
        self.assertEqual((self.directory / "v.npy").read_bytes(), b"precious")
        self.remuda(*arguments, "--on-error", "skip", stdin=f"x y\n{self.bad}\nz\n")
        self.assertEqual(read_npy(self.directory / "v.npy")[0][0], 3)

    def test_a_model_of_such_texts_alone_ends_the_run(self):
        out, err = self.remuda("embed", "-m", self.model, stdin=f"{self.bad}\n" * 600, code=1)
        self.assertEqual(out, "")
        self.assertLess(err.count("\n"), 3)


class Input(TinyModel):
    def embed_texts(self, *arguments, **options):
        out, err = self.remuda("embed", "-m", self.tiny(), *arguments, **options)
        return [json.loads(line)["embedding"] for line in out.splitlines()], err

    def test_halves_of_surrogate_pairs_and_malformed_utf8_in_json(self):
        repaired, _ = self.embed_texts(stdin="a\ufffd b\n")
        for text in (b'{"text": "a\\ud83d b"}\n', b'{"text": "a\\uDE00 b"}\n', b'{"text": "a\xff b"}\n'):
            with self.subTest(text):
                found, err = self.embed_texts("--jsonl", stdin=text)
                self.assertEqual(found, repaired)
                self.assertIn("1 malformed UTF-8", err)
        pair, err = self.embed_texts("--jsonl", stdin='{"text": "a\\ud83d\\ude00 b"}\n')
        self.assertEqual(pair, self.embed_texts(stdin="a\U0001f600 b\n")[0])
        self.assertEqual(err, "")

    def test_a_byte_order_mark_is_no_text_and_utf16_is_read(self):
        plain, _ = self.embed_texts(stdin="one é\ntwo\n")
        for encoding in ("utf-8-sig", "utf-16"):
            data = "one é\ntwo\n".encode(encoding)
            first, second = self.write("a.txt", data), self.write("b.txt", "one é\n".encode(encoding))
            self.assertEqual(self.embed_texts(stdin=data)[0], plain)
            self.assertEqual(self.embed_texts(first, second)[0], plain + plain[:1])
        big = b"\xfe\xff" + "one é\r\ntwo".encode("utf-16-be")
        self.assertEqual(self.embed_texts(stdin=big)[0], plain)
        self.assertEqual(self.embed_texts("--jsonl", stdin=b'\xef\xbb\xbf{"text": "two"}\n')[0], plain[1:])

    def test_what_is_no_text_is_refused_by_name(self):
        import gzip
        for name, data, advice in (("gzip", gzip.compress(b"one\n"), "zcat"), ("zstd", b"\x28\xb5\x2f\xfd...", "zstdcat"),
                                   ("UTF-32", "one".encode("utf-32"), "iconv"), ("NumPy", b"\x93NUMPY\1\0", "texts")):
            path = self.write("in", data)
            _, err = self.remuda("embed", "-m", self.tiny(), path, code=1)
            self.assertIn(f"{path}: expected text, found ", err)
            self.assertIn(name, err)
            self.assertIn(advice, err)

    def test_json_lines_without_their_flag_are_hinted_at(self):
        _, err = self.embed_texts(stdin='{"text": "one"}\n')
        self.assertIn("--jsonl", err)

    def test_bad_lines_are_skipped_and_named_where_that_is_asked_for(self):
        lines = '{"text": "x"}\n{"text": \n{"txt": 1}\n{"text": "y"}\n'
        self.remuda("embed", "-m", self.tiny(), "--jsonl", stdin=lines, code=1)
        out, err = self.remuda("embed", "-m", self.tiny(), "--jsonl", "--on-error", "skip", stdin=lines)
        self.assertEqual([json.loads(line)["index"] for line in out.splitlines()], [0, 3])
        self.assertIn("text 1: stdin:2: expected JSON", err)
        self.assertIn("2 texts have no embedding", err)
        titles, _ = self.embed_texts("--jsonl", "--field", "title", stdin='{"title": "x", "text": "y"}\n')
        self.assertEqual(titles, [json.loads(out.splitlines()[0])["embedding"]])


class Results(TinyModel):
    def run_embed(self, *arguments, code=0, stdin=b"", **options):
        return self.remuda("embed", "-m", self.tiny(), *arguments, code=code, stdin=stdin, **options)

    def test_a_finished_file_is_replaced_by_a_finished_file_alone(self):
        self.run_embed("-o", "v.npy", stdin=b"x\n" * 300)
        (self.directory / "v.npy").chmod(0o600)
        before = (self.directory / "v.npy").read_bytes()
        for stdin, code in ((b'{"text": "x"}\n{\n', 1), (b"", 1)):
            self.run_embed("--jsonl", "-o", "v.npy", stdin=stdin, code=code)
            self.assertEqual((self.directory / "v.npy").read_bytes(), before)
        self.assertEqual(read_npy(self.directory / "v.partial.npy")[0][0], 1)
        self.run_embed("-o", "v.npy", stdin=b"y\n")
        self.assertEqual(stat.S_IMODE((self.directory / "v.npy").stat().st_mode), 0o600)
        self.assertEqual(sorted(path.name for path in self.directory.iterdir()), ["tiny", "v.npy"])

    def test_a_killed_run_is_continued_with_the_same_bytes(self):
        texts = b"".join(b"%d %s" % (i, LINE) for i in range(6000))
        path = self.write("in.txt", texts)
        self.run_embed("-o", "whole.npy", path)
        for name in ("v.npy", "v.jsonl"):
            for number in (signal.SIGKILL, signal.SIGHUP, signal.SIGINT):
                process = self.start("embed", "-m", self.tiny(), "-o", name, "--resume", path, stdin=subprocess.DEVNULL)
                state = self.directory / name.replace("v.", "v.partial.")
                deadline = time.monotonic() + 60
                size = state.stat().st_size if state.exists() else 0
                while process.poll() is None and not (state.exists() and state.stat().st_size > size + 50_000):
                    self.assertLess(time.monotonic(), deadline)
                process.send_signal(number)
                process.communicate(timeout=60)
                if number != signal.SIGKILL:
                    self.assertIn(process.returncode, (0, 130))
            self.run_embed("-o", name, "--resume", path)
        self.assertEqual((self.directory / "v.npy").read_bytes(), (self.directory / "whole.npy").read_bytes())
        lines = [json.loads(line) for line in (self.directory / "v.jsonl").read_bytes().splitlines()]
        self.assertEqual([line["index"] for line in lines], list(range(6000)))
        self.assertEqual(list(self.directory.glob("*partial*")), [])

    def test_other_texts_and_other_models_are_not_continued(self):
        self.run_embed("--jsonl", "-o", "v.npy", stdin=b'{"text": "x"}\n{"text": "y"}\n{\n', code=1)
        good = b'{"text": "x"}\n{"text": "y"}\n{"text": "z"}\n'
        for arguments, stdin, why in ((["--precision", "bf16"], good, "precision"), (["--prompt", "q: "], good, "prompt"),
                                      ([], good.replace(b"y", b"Y"), "found others"), ([], good[:14], "found fewer")):
            _, err = self.run_embed("--jsonl", "-o", "v.npy", "--resume", *arguments, stdin=stdin, code=2)
            self.assertIn(why, err)
            self.assertEqual(read_npy(self.directory / "v.partial.npy")[0][0], 2)
        self.run_embed("--jsonl", "-o", "v.npy", "--resume", stdin=good)
        self.assertEqual(read_npy(self.directory / "v.npy")[0][0], 3)

    def test_nobody_elses_file_is_written(self):
        target = self.write("target", b"precious")
        for plant in (lambda at: at.symlink_to(target), os.mkfifo):
            for name in ("v.partial.npy", "v.partial.npy.state"):
                plant(self.directory / name)
            self.run_embed("-o", "v.npy", stdin=b"x\n")
            self.assertEqual((self.directory / "target").read_bytes(), b"precious")
            self.assertEqual(read_npy(self.directory / "v.npy")[0][0], 1)
        (self.directory / "v.partial.npy").symlink_to(target)
        self.run_embed("-o", "v.npy", "--resume", stdin=b"x\n", code=1)
        self.assertEqual((self.directory / "target").read_bytes(), b"precious")

    def test_messages_that_nobody_can_read_stop_nothing(self):
        with open("/dev/full", "wb") as full:
            self.run_embed_into(full, b"bad \xff\n")
        process = self.start("embed", "-m", self.tiny(), "-o", "v.npy", stderr=None,
                             preexec_fn=lambda: (default_signals(), os.close(2)))
        process.communicate(b"bad \xff\n", timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(read_npy(self.directory / "v.npy")[0][0], 1)

    def run_embed_into(self, stderr, stdin):
        process = self.start("embed", "-m", self.tiny(), stderr=stderr)
        out, _ = process.communicate(stdin, timeout=60)
        self.assertEqual((process.returncode, out.count(b"\n")), (0, 1))
        process = self.start("embed", "--nonsense", stderr=stderr)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 2)

    def test_standard_descriptors_that_are_closed(self):
        def close(*numbers):
            return lambda: (default_signals(), [os.close(number) for number in numbers])

        process = self.start("embed", "-m", self.tiny(), preexec_fn=close(0))
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"stdin: Bad file descriptor", err)
        process = self.start("embed", "-m", self.tiny(), preexec_fn=close(1))
        _, err = process.communicate(b"x\n", timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"stdout: Bad file descriptor", err)
        path = self.write("in.txt", b"bad \xff\nx\n")
        process = self.start("embed", "-m", self.tiny(), "-o", "v.npy", path, preexec_fn=close(0, 1, 2))
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(read_npy(self.directory / "v.npy")[0][0], 2)

    def test_an_output_without_a_name(self):
        self.assertIn("--output", self.run_embed("--output", "", stdin=b"x\n", code=2)[1])


if __name__ == "__main__":
    unittest.main()
