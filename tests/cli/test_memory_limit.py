"""Memory limits from too little to plenty, on the bundled model: one above one that is enough is enough, and nobody waits
for memory that nobody gives back."""
import json
import time
import unittest

from support import CliTest

WORDS = "the horse waits at dawn while a rider ropes it from the herd under a wide sky".split()
DOCUMENTS = [" ".join(WORDS[(i * 7 + j) % len(WORDS)] for j in range(180 - 5 * i)) for i in range(16)]

# Whoever waits for memory that doesn't come gives up after 10 s, beside what computing takes: with a sanitizer, or on a
# busy machine, several seconds.
WAITED = 9.5


class MemoryLimits(CliTest):
    def sweep(self, *arguments, limits):
        """Runs with each limit, in MiB; none that is above one that works may fail, nor write anything else."""
        texts = "\n".join(DOCUMENTS).encode()
        start = time.monotonic()
        wanted, _ = self.remuda(*arguments, stdin=texts)  # Packs the weights, too.
        allowed = max(WAITED, 3 * (time.monotonic() - start))
        works = None
        for limit in limits:
            start = time.monotonic()
            process = self.start(*arguments, "--memory-limit", f"{limit}MiB")
            out, err = process.communicate(texts, timeout=240)
            took = time.monotonic() - start
            where = f"{arguments} with {limit} MiB: {err.decode()}"
            self.assertLess(took, allowed, where)
            if process.returncode == 0:
                works = works or limit
                self.assertEqual(out.decode(), wanted, where)
            else:
                self.assertEqual(works, None, where)
                self.assertIn("memory limit", err.decode())
        self.assertIsNotNone(works, arguments)

    def test_summaries(self):
        self.sweep("summarize", "--max-length", "8", limits=(104, 112, 116, 120, 124, 128, 132, 140))

    def test_summaries_in_int8(self):
        self.sweep("summarize", "--precision", "int8", "--max-length", "8", limits=(32, 36, 40, 44, 52))

    def test_long_documents(self):
        self.sweep("summarize", "--long", "--max-length", "8", "--part-tokens", "32", "--whole-file",
                   limits=(112, 118, 124, 132))

    def test_embeddings(self):
        self.sweep("embed", limits=(60, 80, 84, 88, 92, 100, 120))

    def test_what_inspect_says_is_enough_for_a_document(self):
        for precision in ("fp32", "int8"):
            out, _ = self.remuda("inspect", "--json", "bart-small-synopsis")
            cost = json.loads(out)["precisions"][precision]
            flags = ("summarize", "--precision", precision)
            self.remuda(*flags, stdin=b"the herd")  # Packs the weights.
            limit = cost["shared_weights_bytes"] + cost["document_bytes"]
            self.remuda(*flags, "--memory-limit", str(limit), stdin="\n".join([" ".join(WORDS * 20)] * 3))

    def test_the_first_load_takes_little_more_than_what_inspect_says(self):
        out, _ = self.remuda("inspect", "--json", "bart-small-synopsis")
        cost = json.loads(out)["precisions"]["int8"]
        limit = cost["shared_weights_bytes"] + cost["workspace_bytes"] + 8 * 2**20
        environment = {"REMUDA_CACHE_DIR": str(self.directory / "cache")}  # Where nothing is packed.
        self.remuda("summarize", "--precision", "int8", "--memory-limit", str(limit), "--max-length", "8",
                    stdin=b"the herd", env=environment)


if __name__ == "__main__":
    unittest.main()
