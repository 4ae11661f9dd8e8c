"""remuda embed: bad input, outputs that fail, interruptions."""
import json
import os
import resource
import signal
import subprocess
import time
import unittest

from support import CliTest, default_signals, read_npy

LINE = b"a line of text that takes a moment to embed, with a few more words behind it\n"


class BadInput(CliTest):
    def test_a_file_that_is_missing_is_found_out_before_any_work(self):
        good = self.write("good.txt", "one\n")
        out, err = self.remuda("embed", good, "missing.txt", code=1)
        self.assertEqual(out, "")
        self.assertIn("missing.txt: No such file", err)

    def test_a_directory_is_no_text(self):
        _, err = self.remuda("embed", ".", code=1)
        self.assertIn("Is a directory", err)

    def test_bad_jsonl_names_file_and_line_and_keeps_what_came_before(self):
        for bad, expected in (('{"text": ', "expected JSON"), ('{"txt": "x"}', 'expected a field "text"'),
                              ('{"text": 5}', "expected a string"), ("[]", "expected")):
            with self.subTest(bad):
                lines = f'{{"text": "one"}}\n{{"text": "two"}}\n{bad}\n{{"text": "x"}}\n'
                path = self.write("in.jsonl", lines)
                out, err = self.remuda("embed", "--jsonl", path, code=1)
                self.assertEqual(len(out.splitlines()), 2)
                self.assertIn(f"{path}:3", err)
                self.assertIn(expected, err)
                _, err = self.remuda("embed", "--jsonl", path, "--output", "v.npy", code=1)
                self.assertIn("v.partial.npy keeps the 2 texts that are done", err)
                self.assertEqual(read_npy(self.directory / "v.partial.npy")[0], (2, 384))
                self.assertFalse((self.directory / "v.npy").exists())

    def test_a_model_that_is_not_there(self):
        _, err = self.remuda("embed", "-m", "nobody/nothing", stdin="one", code=1)
        self.assertIn('"nobody/nothing"', err)
        self.assertIn("models--nobody--nothing", err)

    def test_a_prompt_name_that_the_model_lacks(self):
        for stdin in ("one", ""):
            _, err = self.remuda("embed", "--prompt-name", "question", stdin=stdin, code=2)
            self.assertIn("question", err)

    def test_a_length_that_the_model_has_no_positions_for(self):
        for stdin in ("one", ""):
            _, err = self.remuda("embed", "--max-length", "5000", stdin=stdin, code=2)
            self.assertIn("3 to 512", err)

    def test_a_memory_limit_below_the_cost(self):
        _, err = self.remuda("embed", "--memory-limit", "10MiB", stdin="one", code=1)
        self.assertIn("10485760 bytes", err)


class BadOutput(CliTest):
    def test_a_full_disk_behind_stdout(self):
        for command in (["embed"], ["tokenize"], ["inspect"], ["inspect", "--json"], ["devices"], ["devices", "--json"],
                        ["bench", "embed", "--seconds", "0"], ["bench", "embed", "--seconds", "0", "--json"], ["demo"],
                        ["--help"], ["embed", "--help"], ["--version"]):
            with self.subTest(command), open("/dev/full", "wb") as full:
                _, err = self.remuda(*command, stdin="one", stdout=full, code=1)
                self.assertIn("No space left on device", err)

    def test_a_file_that_may_not_grow_leaves_nothing_behind(self):
        def limit():
            default_signals()
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        path = self.write("in.txt", LINE * 300)
        process = self.start("embed", "-o", "v.npy", path, preexec_fn=limit)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"v.npy: File too large", err)
        self.assertEqual([entry.name for entry in self.directory.iterdir()], ["in.txt"])

    def test_an_output_directory_that_is_missing(self):
        _, err = self.remuda("embed", "-o", "nowhere/v.npy", stdin="one", code=1)
        self.assertIn("nowhere/v.npy: cannot create it: No such file", err)

    def test_output_must_be_a_regular_npy_file(self):
        self.assertIn(".npy", self.remuda("embed", "-o", "v.json", stdin="one", code=2)[1])
        (self.directory / "d.npy").mkdir()
        self.assertIn("not a regular file", self.remuda("embed", "-o", "d.npy", stdin="one", code=2)[1])

    def test_a_reader_that_closes_the_pipe(self):
        path = self.write("in.txt", LINE * 3000)
        for command in ("embed", "tokenize"):
            with self.subTest(command):
                process = self.start(command, path, stdin=subprocess.DEVNULL)
                self.assertTrue(process.stdout.readline().startswith(b"{"))
                process.stdout.close()
                self.assertEqual(process.wait(timeout=60), -signal.SIGPIPE)
                self.assertEqual(process.stderr.read(), b"")
                process.stderr.close()

    def test_a_closed_pipe_where_its_signal_is_ignored(self):
        def ignore():
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)

        path = self.write("in.txt", LINE * 3000)
        process = self.start("embed", path, stdin=subprocess.DEVNULL, preexec_fn=ignore)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), 1)
        self.assertIn(b"stdout: Broken pipe", process.stderr.read())
        process.stderr.close()


class Interruption(CliTest):
    def interrupt(self, number, output, *arguments):
        """Interrupts once there is something in `output`; returns exit code, lines on stdout by then, and stderr."""
        path = self.write("in.txt", LINE * 20_000)
        with open(self.directory / "out.jsonl", "wb") as stdout:
            process = self.start("embed", "--precision", "int8", *arguments, path, stdin=subprocess.DEVNULL, stdout=stdout)
        deadline = time.monotonic() + 60
        while not any(found.stat().st_size > 128 << 10 for found in self.directory.glob(output)):
            self.assertLess(time.monotonic(), deadline, "no output")
            time.sleep(0.01)
        # Stopped meanwhile, so that the signal comes when this many lines are there, however busy the machine is.
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        lines = (self.directory / "out.jsonl").read_bytes().count(b"\n")
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=60)
        return process.returncode, lines, err.decode()

    def test_ctrl_c_keeps_what_is_done(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                for left in self.directory.glob("*.partial.npy*"):
                    left.unlink()
                code, _, err = self.interrupt(number, "*.partial.npy", "--output", "v.npy")
                self.assertEqual(code, 130, err)
                (rows, columns), _ = read_npy(self.directory / "v.partial.npy")
                self.assertEqual(columns, 384)
                self.assertTrue(0 < rows < 20_000, rows)
                self.assertIn(f"{rows:,} texts are done and kept", err)
                self.assertIn("v.partial.npy keeps", err)
                self.assertFalse((self.directory / "v.npy").exists())

    def test_ctrl_c_is_answered_at_once_with_whole_lines(self):
        code, lines, err = self.interrupt(signal.SIGINT, "out.jsonl")
        self.assertEqual(code, 130, err)
        out = (self.directory / "out.jsonl").read_bytes()
        # The piece that was being written, and two whose last batch was being computed, of 20,000 lines.
        self.assertLessEqual(out.count(b"\n") - lines, 3 * 256)
        self.assertTrue(out.endswith(b"}\n"))
        self.assertEqual([json.loads(line)["index"] for line in out.splitlines()], list(range(out.count(b"\n"))))

    def test_ctrl_c_while_waiting_for_input(self):
        process = self.start("embed")
        process.stdin.write(b"one\nunfinished")
        process.stdin.flush()
        self.assertIn(b'"index": 0', process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (130, b""))
        self.assertIn(b"1 texts are done and kept", err)

    def test_ctrl_c_ends_the_other_commands(self):
        for command, stream, sign in ((["tokenize"], "stdout", b'"ids"'), (["demo"], "stdout", b"in use ["),
                                      (["bench", "embed", "--seconds", "600", "--log-level", "info"], "stderr",
                                       b"loaded")):
            with self.subTest(command):
                process = self.start(*command)
                process.stdin.write(b"one\n")
                process.stdin.flush()
                while sign not in (line := getattr(process, stream).readline()):
                    self.assertNotEqual(line, b"", "ended early")
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)
                self.assertEqual(process.returncode, 130)

    def test_an_ignored_signal_stays_ignored(self):
        def ignore():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        process = self.start("embed", preexec_fn=ignore)
        process.stdin.write(b"one\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(b"two\n", timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b'"index": 1', out)


if __name__ == "__main__":
    unittest.main()
