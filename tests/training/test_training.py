"""Tests of training/: python3 -m unittest discover -s tests/training (needs training/requirements.txt and the models)."""
import contextlib
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

import torch
from transformers import BertConfig, BertModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINILM = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models")) / "all-MiniLM-L6-v2"
sys.path.insert(0, str(ROOT / "training"))
import data  # noqa: E402
import evaluate  # noqa: E402
import model as bart  # noqa: E402
import train  # noqa: E402

LIST = """Package: libfoo1
Description-md5: 00
Description-en: fast foo library
 Foo reads and writes the foo format,
 quickly and with little memory:
 .
  * first item
  - second item

Package: foo-doc
Description-en: documentation of foo
 All about foo.
"""


def pair(name, source, target):
    return data.Pair(name, source, target)


class Data(unittest.TestCase):
    def test_stanzas_are_read_and_cleaned(self):
        rows = [(name, synopsis, data.clean(lines)) for name, synopsis, lines in data.stanzas(LIST)]
        self.assertEqual(rows, [
            ("libfoo1", "fast foo library",
             "Foo reads and writes the foo format, quickly and with little memory: first item second item"),
            ("foo-doc", "documentation of foo", "All about foo.")])

    def test_unusable_pairs_are_left_out(self):
        long = "one two three four five six seven eight nine"
        self.assertTrue(data.usable(pair("a", long, "counts to nine")))
        for source, target in ((long, "transitional package for a"), ("too short", "counts to nine"), (long, "counter"),
                               (long, "w " * 21), ("- " * 9, "counts to nine")):
            self.assertFalse(data.usable(pair("a", source, target)), (source, target))

    def test_no_text_stands_on_two_sides(self):
        pairs = [pair(f"p{i}", f"Source {i % 70}, with words", f"target {i % 90}") for i in range(400)]
        result = data.split(pairs, heldout=20, dev=10)
        sides = {side: [p for p in result if p.split == side] for side in ("train", "dev", "heldout")}
        self.assertEqual((len(sides["heldout"]), len(sides["dev"])), (20, 10))
        self.assertGreater(len(sides["train"]), 20)
        for one, other in (("train", "dev"), ("train", "heldout"), ("dev", "heldout")):
            for field in ("package", "source", "target"):
                shared = {data.key(getattr(p, field)) for p in sides[one]} & {data.key(getattr(p, field)) for p in sides[other]}
                self.assertFalse(shared, (one, other, field))

    def test_split_depends_on_neither_order_nor_new_packages(self):
        pairs = [pair(f"p{i}", f"source {i}", f"target {i}") for i in range(200)]
        heldout = {p.package for p in data.split(pairs, 20, 10) if p.split == "heldout"}
        self.assertEqual(data.split(pairs, 20, 10), data.split(pairs[::-1], 20, 10))
        more = data.split(pairs + [pair("new", "source new", "target new")], 20, 10)
        self.assertLessEqual(len(heldout - {p.package for p in more if p.split == "heldout"}), 1)

    def test_first_sentence(self):
        self.assertEqual(evaluate.first_sentence("Reads v1.2 files. Writes none."), "Reads v1.2 files.")
        self.assertEqual(len(evaluate.first_sentence("word " * 40).split()), 15)


class Native(unittest.TestCase):
    """evaluate.py --binary on an untrained model."""

    def test_remuda_finds_the_summaries_of_transformers(self):
        binary = pathlib.Path(os.environ.get("REMUDA_BINARY", ROOT / "build/release/remuda"))
        self.assertTrue(binary.exists(), f"{binary} is missing: run scripts/build.sh release remuda_cli")
        texts = ["Reads and writes the foo format, quickly and with little memory.", "All about foo. " * 20, "Ça alors!"]
        tokenizer = evaluate.tokenizer_from(MINILM / "tokenizer.json", 96)
        torch.manual_seed(7)
        config = BertConfig(vocab_size=len(tokenizer), hidden_size=48, num_hidden_layers=6, num_attention_heads=4,
                            intermediate_size=64, max_position_embeddings=128, initializer_range=0.4)
        model = bart.bart_from_bert(BertModel(config, add_pooling_layer=False)).eval()
        with tempfile.TemporaryDirectory() as directory:
            model.save_pretrained(directory)
            tokenizer.save_pretrained(directory)
            given = evaluate.summarize_natively(binary, directory, "fp32", texts, 96)
        with unittest.mock.patch("torch.autocast", lambda *_: contextlib.nullcontext()):
            self.assertEqual(given, evaluate.summarize(model, tokenizer, texts, 96))
        self.assertTrue(all(given), given)


class Model(unittest.TestCase):
    def test_encoder_gives_the_hidden_states_of_minilm(self):
        self.assertTrue(MINILM.exists(), f"{MINILM} is missing: run scripts/fetch_model.sh")
        bert = BertModel.from_pretrained(MINILM, add_pooling_layer=False, dtype=torch.float32).eval()
        torch.manual_seed(1)
        ids = torch.randint(1000, 30000, (3, 40))
        mask = (torch.arange(40) < torch.tensor([[40], [17], [1]])).long()
        with torch.no_grad():
            want = bert(ids, attention_mask=mask).last_hidden_state
            have = bart.bart_from_bert(bert).eval().model.encoder(ids, attention_mask=mask).last_hidden_state
        # The rest is the layer norms' epsilon, 1e-5 instead of 1e-12; leaving out the token type costs 0.1 and more.
        self.assertLess((want - have)[mask.bool()].abs().max().item(), 5e-3)


class Training(unittest.TestCase):
    """A tiny model of random weights on made-up ids."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        rng = torch.Generator().manual_seed(3)

        def rows(low, high):
            return [torch.randint(200, 300, (int(torch.randint(low, high, (1,), generator=rng)),), generator=rng).tolist()
                    for _ in range(30)]
        self.examples = train.Examples([[bart.BOS, *r, bart.EOS] for r in rows(5, 20)], [[*r, bart.EOS] for r in rows(2, 8)])

    def trainer(self, name, **options):
        torch.manual_seed(5)
        config = BertConfig(vocab_size=300, hidden_size=32, num_hidden_layers=6, num_attention_heads=4, intermediate_size=64,
                            max_position_embeddings=64)
        model = bart.bart_from_bert(BertModel(config, add_pooling_layer=False)).eval()
        trainer = train.Trainer(model, self.examples, None, train.Options(steps=20, batch=8, warmup=2, save_every=50, **options))
        trainer.outputs = train.EncoderOutputs(self.path / f"{name}.bf16", model, self.examples, trainer.autocast)
        return trainer

    def test_resuming_gives_the_weights_of_not_stopping(self):
        straight = self.trainer("straight")
        losses = [straight.advance()[0] for _ in range(7)]
        first = self.trainer("resumed")
        for _ in range(3):
            first.advance()
        first.save(self.path / "checkpoint.pt")
        second = self.trainer("resumed")
        torch.manual_seed(99)
        second.load(self.path / "checkpoint.pt")
        self.assertEqual([second.advance()[0] for _ in range(4)], losses[3:])
        states = [t.finished_model().state_dict() for t in (straight, second)]
        for name, value in states[0].items():
            self.assertTrue(torch.equal(value, states[1][name]), name)

    def test_encoder_and_embeddings_stay_and_the_loss_falls(self):
        trainer = self.trainer("frozen", rate=3e-3)
        before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
        start = trainer.mean_loss(trainer.outputs, self.examples)
        for _ in range(200):
            trainer.advance()
        after = trainer.model.state_dict()
        for name in before:
            if "encoder." in name and "decoder." not in name or "shared" in name or "lm_head" in name:
                self.assertTrue(torch.equal(before[name], after[name]), name)
        self.assertFalse(torch.equal(before["model.decoder.layers.0.fc1.weight"], after["model.decoder.layers.0.fc1.weight"]))
        self.assertLess(trainer.mean_loss(trainer.outputs, self.examples), 0.9 * start)

    def test_an_epoch_takes_every_example_once(self):
        batches = train.batch_order(self.examples, 8, 1, 0)
        self.assertEqual(sorted(i for rows in batches for i in rows), list(range(30)))
        self.assertEqual(batches, train.batch_order(self.examples, 8, 1, 0))
        self.assertNotEqual(batches, train.batch_order(self.examples, 8, 1, 1))

    def test_kept_outputs_are_those_computed_and_padding_is_zero(self):
        trainer = self.trainer("kept", bf16=False)
        rows = [0, 1, 2, 3]
        first, mask = trainer.outputs.get(rows)
        again, _ = trainer.outputs.get(rows)
        self.assertTrue(torch.equal(first, again))
        self.assertFalse(first[mask == 0].any())
        ids = torch.tensor([self.examples.sources[2]])
        with torch.no_grad():
            alone = trainer.model.model.encoder(ids).last_hidden_state[0]
        self.assertLess((alone - first[2, :ids.shape[1]].float()).abs().max().item(), 0.03)

    def test_rate_rises_stays_and_falls(self):
        options = train.Options(steps=100, warmup=10, decay=20)
        rates = [train.rate_at(step, options) for step in (0, 9, 50, 80, 90, 99)]
        for have, want in zip(rates, (0.1, 1, 1, 1, 0.5, 0.05), strict=True):
            self.assertAlmostEqual(have, want)


if __name__ == "__main__":
    unittest.main()
