"""Models by name: whose they are, and where the Hugging Face cache is."""
import json
import os
import pathlib
import shutil
import unittest

from support import SOURCE, CliTest, environment

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
GOLDEN = SOURCE / "tests/golden/encoders/bert_mean"


class Names(CliTest):
    def setUp(self):
        super().setUp()
        self.home = self.directory / "home"
        self.env = {"HOME": str(self.home), "HF_HOME": "", "HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "",
                    "SENTENCE_TRANSFORMERS_HOME": "", "XDG_CACHE_HOME": "", "REMUDA_CACHE_DIR": str(self.directory / "c")}

    def cache(self, hub, name="org/name", ref="main", files=None):
        """A model as hf_hub_download() leaves it: contents in blobs, links to them in the snapshot."""
        folder = pathlib.Path(hub) / ("models--" + name.replace("/", "--"))
        for source in files if files is not None else sorted(GOLDEN.rglob("*.*")):
            link = folder / "snapshots" / COMMIT / source.relative_to(GOLDEN)
            blob = folder / "blobs" / source.relative_to(GOLDEN).as_posix().replace("/", "-")
            for path in (link, blob):
                path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, blob)
            link.symlink_to(os.path.relpath(blob, link.parent))
        if ref:
            (folder / "refs").mkdir(parents=True, exist_ok=True)
            (folder / "refs" / ref).write_text(COMMIT)
        return folder

    def tokenize(self, name, code=0, env=None):
        return self.remuda("tokenize", "-m", name, stdin="a", code=code, env={**self.env, **(env or {})})

    def test_the_organisation_always_counts(self):
        for name in ("nobody/all-MiniLM-L6-v2", "~/nope/all-MiniLM-L6-v2"):
            _, err = self.tokenize(name, code=1)
            self.assertIn(f'model "{name}": expected a model directory, found none', err)
            self.assertIn('Did you mean "sentence-transformers/all-MiniLM-L6-v2"?', err)
        self.assertIn("hf download nobody/all-MiniLM-L6-v2", self.tokenize("nobody/all-MiniLM-L6-v2", code=1)[1])
        for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
            self.tokenize(name)

    def test_the_cache_is_where_huggingface_hub_has_it(self):
        for hub, env in ((self.home / ".cache/huggingface/hub", {}),
                         (self.directory / "xdg/huggingface/hub", {"XDG_CACHE_HOME": str(self.directory / "xdg")}),
                         (self.home / "hf/hub", {"HF_HOME": "~/hf"}),
                         (self.directory / "old", {"HUGGINGFACE_HUB_CACHE": "$TEST_PLACE/old", "HF_HOME": "/none",
                                                   "TEST_PLACE": str(self.directory)}),
                         (self.directory / "new", {"HF_HUB_CACHE": str(self.directory / "new"),
                                                   "HUGGINGFACE_HUB_CACHE": "/none"})):
            with self.subTest(env):
                self.tokenize("org/name", code=1, env=env)
                folder = self.cache(hub)
                self.tokenize("org/name", env=env)
                shutil.rmtree(folder)

    def test_revisions_folders_and_snapshots(self):
        folder = self.cache(self.home / ".cache/huggingface/hub", ref="v1.0")
        snapshot = folder / "snapshots" / COMMIT
        for name in ("org/name", "org/name@v1.0", "org/name@c9745ed", f"org/name@{COMMIT}", str(folder), f"{snapshot}/",
                     "~/.cache/huggingface/hub/models--org--name"):
            with self.subTest(name):
                self.tokenize(name)
        self.assertIn("--revision v2", self.tokenize("org/name@v2", code=1)[1])

    def test_half_finished_downloads_are_said_to_be_so(self):
        hub = self.home / ".cache/huggingface/hub"
        weights = GOLDEN / "model.safetensors"
        folder = self.cache(hub, files=[file for file in GOLDEN.rglob("*.*") if file != weights])
        (folder / "blobs/ab.incomplete").write_bytes(b"x" * 2_000_000)
        _, err = self.remuda("embed", "-m", "org/name", stdin="a", code=1, env=self.env)
        for part in ("isn't finished", "model.safetensors is missing", "ab.incomplete has 2.0 MB", "hf download org/name"):
            self.assertIn(part, err)
        self.tokenize("org/name")  # Which needs no weights.

    def test_refs_that_never_end_or_lead_elsewhere(self):
        hub = self.home / ".cache/huggingface/hub"
        ref = self.cache(hub) / "refs/main"
        for make in (lambda: ref.write_text("../../.."), lambda: os.mkfifo(ref), lambda: ref.symlink_to("/dev/zero"),
                     lambda: ref.symlink_to("main"), lambda: ref.write_bytes(b"a" * 10_000_000)):
            ref.unlink()
            make()
            self.assertIn("refs/main", self.tokenize("org/name", code=1)[1])

    def test_whatever_is_named_and_is_no_file_is_an_error_that_names_it(self):
        """A FIFO, a directory, a device, a link to itself in the place of each file that is read."""
        model = self.directory / "model"
        shutil.copytree(GOLDEN, model)
        for name in ("config.json", "modules.json", "1_Pooling/config.json", "model.safetensors", "tokenizer.json",
                     "sentence_bert_config.json", "tokenizer_config.json", "config_sentence_transformers.json"):
            path, kept = model / name, self.directory / "kept"
            path.rename(kept)
            for make in (os.mkfifo, os.mkdir, lambda at: at.symlink_to("/dev/zero"), lambda at: at.symlink_to(at.name)):
                make(path)
                with self.subTest(name):
                    _, err = self.remuda("embed", "-m", str(model), stdin="a", code=1, env=self.env)
                    self.assertIn(str(path), err)
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            kept.rename(path)
        os.mkfifo(self.directory / "remuda.toml")
        self.assertIn("remuda.toml: expected a regular file, found a FIFO", self.tokenize(str(model), code=1)[1])
        (self.directory / "remuda.toml").unlink()
        os.mkfifo(self.directory / "library.so")
        env = {**self.env, "REMUDA_CUDA_LIBRARY": str(self.directory / "library.so")}
        self.assertIn("found a FIFO", self.remuda("devices", env=env)[0])


if __name__ == "__main__":
    unittest.main()
