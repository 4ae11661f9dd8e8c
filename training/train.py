"""Trains the decoder of the small BART on the pairs that data.py wrote; stops and resumes without a difference.

    python3 training/train.py --encoder MODEL_DIR [--work DIR] --steps N

The encoder and the embeddings stay frozen, so the encoder sees each description once: its outputs are kept in
DIR/encoded.bf16 as they are first needed. Only the ids that occur in training synopses are scored (the softmax is the
main cost of a small decoder). The learning rate rises, stays, and with --decay K falls to 0 over the last K steps: a
run without --decay can be extended at will, `--decay K --to FILE` makes a finished model beside it.
SIGTERM ends the run after the step in hand, with a checkpoint.
"""
import argparse
import dataclasses
import os
import pathlib
import signal
import time

import numpy
import torch
from tokenizers import Tokenizer
from torch.nn import functional

import data
from model import BOS, EOS, PAD, start

UNSEEN_BELOW = 5.0  # How far the logit biases of ids that no synopsis holds lie under the rarest one that does.


@dataclasses.dataclass
class Options:
    steps: int
    batch: int = 64
    rate: float = 1e-3
    warmup: int = 100
    decay: int = 0
    smoothing: float = 0.0
    clip: float = 1.0
    seed: int = 1
    save_every: int = 100
    bf16: bool = True


@dataclasses.dataclass
class Examples:
    """Token ids of a split: sources [CLS] ... [SEP], targets ... [SEP]."""
    sources: list
    targets: list

    def __len__(self):
        return len(self.sources)


def tokenize(pairs, tokenizer_file, max_source, max_target=48):
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def ids(texts, limit):
        return [e.ids[:limit - 1] for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    sources = [[BOS, *row, EOS] for row in ids([p.source for p in pairs], max_source - 1)]
    return Examples(sources, [[*row, EOS] for row in ids([p.target for p in pairs], max_target)])


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])


class EncoderOutputs:
    """The frozen encoder's outputs for a split, on disk in bfloat16, each computed when it is first asked for.

    A row is marked as done only after its outputs are written; what is returned is always what was written.
    """

    def __init__(self, path, model, examples, autocast):
        self.model, self.examples, self.autocast = model, examples, autocast
        self.starts = numpy.cumsum([0] + [len(s) for s in examples.sources])
        shape = (int(self.starts[-1]), model.config.d_model)
        self.values = self._map(path, numpy.uint16, shape)
        self.done = self._map(path.with_suffix(".done"), numpy.uint8, (len(examples),))

    @staticmethod
    def _map(path, dtype, shape):
        size = int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize
        if path.exists() and path.stat().st_size != size:
            raise SystemExit(f"{path} has {path.stat().st_size} bytes, these data need {size}: delete it to encode anew")
        return numpy.memmap(path, dtype, "r+" if path.exists() else "w+", shape=shape)

    @torch.no_grad()
    def _encode(self, rows):
        ids = padded([self.examples.sources[i] for i in rows])
        with self.autocast():
            hidden = self.model.model.encoder(ids, attention_mask=(ids != PAD).long()).last_hidden_state
        raw = hidden.to(torch.bfloat16).view(torch.uint16).numpy()
        for row, index in enumerate(rows):
            self.values[self.starts[index]:self.starts[index + 1]] = raw[row, :len(self.examples.sources[index])]
        self.done[rows] = 1

    def get(self, rows):
        """Hidden states [rows, longest, d_model] in bfloat16, zero where the mask [rows, longest] is 0, and the mask."""
        missing = [i for i in rows if not self.done[i]]
        if missing:
            self._encode(missing)
        lengths = [len(self.examples.sources[i]) for i in rows]
        hidden = numpy.zeros((len(rows), max(lengths), self.values.shape[1]), numpy.uint16)
        mask = torch.zeros(len(rows), max(lengths), dtype=torch.long)
        for row, (index, length) in enumerate(zip(rows, lengths)):
            hidden[row, :length] = self.values[self.starts[index]:self.starts[index + 1]]
            mask[row, :length] = 1
        return torch.from_numpy(hidden).view(torch.bfloat16), mask


def batch_order(examples, batch, seed, epoch):
    """The batches of one epoch, rows of about one length together: a function of its arguments alone."""
    rng = numpy.random.default_rng([seed, epoch])
    order = rng.permutation(len(examples))
    batches = []
    for pool in range(0, len(order), batch * 50):
        rows = sorted(order[pool:pool + batch * 50].tolist(), key=lambda i: len(examples.sources[i]))
        batches += [rows[i:i + batch] for i in range(0, len(rows), batch)]
    rng.shuffle(batches)
    return batches


def rate_at(step, options):
    """Factor on the learning rate of 0-based `step`: linear rise, constant, linear fall at the end."""
    rise = min(1.0, (step + 1) / options.warmup)
    fall = min(1.0, (options.steps - step) / options.decay) if options.decay else 1.0
    return rise * fall


class Trainer:
    """Model, optimizer and position in the data. Holds the restricted output embedding, frozen with the encoder."""

    def __init__(self, model, train, outputs, options):
        self.model, self.train, self.outputs, self.options = model, train, outputs, options
        self.step = 0
        self.best = float("inf")
        counts = numpy.bincount(numpy.concatenate(train.targets), minlength=model.config.vocab_size)
        self.ids = torch.from_numpy(numpy.flatnonzero(counts))
        self.column = torch.full((len(counts),), -1).index_copy(0, self.ids, torch.arange(len(self.ids)))
        self.bias = torch.nn.Parameter(torch.log(torch.tensor(counts[counts > 0] / counts.sum())).float())
        self.output = model.model.shared.weight.detach()[self.ids].clone()
        model.requires_grad_(False)
        decoder = model.model.decoder
        decoder.requires_grad_(True)
        model.model.shared.requires_grad_(False)
        parameters = [p for p in decoder.parameters() if p.requires_grad]
        groups = [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
                  {"params": [p for p in parameters if p.ndim == 1] + [self.bias], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.98))
        self.epoch, self.batches = -1, []

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.options.bf16)

    def loss(self, outputs, examples, rows):
        """Mean loss a target token and their number; targets that no training synopsis holds are left out."""
        targets = padded([examples.targets[i] for i in rows])
        hidden, mask = outputs.get(rows)
        inputs = torch.cat([torch.full((len(rows), 1), BOS), targets[:, :-1]], 1)
        with self.autocast():
            states = self.model.model.decoder(input_ids=inputs, encoder_hidden_states=hidden.float(),
                                              encoder_attention_mask=mask, use_cache=False).last_hidden_state
            wanted = self.column[targets]
            kept = (targets != PAD) & (wanted >= 0)
            logits = functional.linear(states[kept], self.output)
        return functional.cross_entropy(logits.float() + self.bias, wanted[kept],
                                        label_smoothing=self.options.smoothing if self.model.model.decoder.training else 0.0), int(kept.sum())

    def next_batch(self):
        per_epoch = -(-len(self.train) // self.options.batch)
        if self.step // per_epoch != self.epoch:
            self.epoch = self.step // per_epoch
            self.batches = batch_order(self.train, self.options.batch, self.options.seed, self.epoch)
        return self.batches[self.step % per_epoch]

    def advance(self):
        """One step; returns its loss and number of target tokens."""
        self.model.model.decoder.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * rate_at(self.step, self.options)
        loss, tokens = self.loss(self.outputs, self.train, self.next_batch())
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return loss.item(), tokens

    @torch.no_grad()
    def mean_loss(self, outputs, examples):
        self.model.eval()
        total = count = 0
        for first in range(0, len(examples), self.options.batch):
            loss, tokens = self.loss(outputs, examples, list(range(first, min(first + self.options.batch, len(examples)))))
            total, count = total + loss.item() * tokens, count + tokens
        return total / count

    def finished_model(self):
        """The model with the trained bias in final_logits_bias; ids that no synopsis holds lie below all others."""
        bias = torch.full((self.model.config.vocab_size,), self.bias.detach().min().item() - UNSEEN_BELOW)
        self.model.final_logits_bias[0] = bias.index_copy(0, self.ids, self.bias.detach())
        return self.model

    def save(self, path):
        state = {"model": self.finished_model().state_dict(), "bias": self.bias.detach(), "step": self.step,
                 "optimizer": self.optimizer.state_dict(), "rng": torch.get_rng_state(), "best": self.best,
                 "config": self.model.config.to_dict()}
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)

    def load(self, path):
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        with torch.no_grad():
            self.bias.copy_(state["bias"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        self.step, self.best = state["step"], state["best"]


def run(trainer, dev, dev_outputs, checkpoint):
    """Steps until options.steps or SIGTERM, with a line of log and a checkpoint every save_every steps."""
    options, stop = trainer.options, []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    since, tokens, losses = time.monotonic(), 0, []
    while trainer.step < options.steps and not stop:
        loss, count = trainer.advance()
        losses.append(loss)
        tokens += count
        if trainer.step % 20 == 0:
            spent = time.monotonic() - since
            eta = spent / len(losses) * (options.steps - trainer.step)
            print(f"{time.strftime('%H:%M:%S')} step {trainer.step}/{options.steps} epoch {trainer.epoch} "
                  f"loss {sum(losses) / len(losses):.3f} tokens/s {tokens / spent:.0f} eta {eta / 60:.0f} min", flush=True)
            since, tokens, losses = time.monotonic(), 0, []
        if trainer.step % options.save_every == 0 or trainer.step == options.steps or stop:
            dev_loss = trainer.mean_loss(dev_outputs, dev)
            better = dev_loss < trainer.best
            trainer.best = min(trainer.best, dev_loss)
            trainer.save(checkpoint)
            if better:
                trainer.save(checkpoint.with_name("best.pt"))
            print(f"{time.strftime('%H:%M:%S')} step {trainer.step} dev loss {dev_loss:.4f}{' (best)' if better else ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/training"))
    parser.add_argument("--encoder", type=pathlib.Path, default=pathlib.Path("models/all-MiniLM-L6-v2"))
    parser.add_argument("--from", dest="origin", type=pathlib.Path, help="checkpoint to go on from (default: the one of --to)")
    parser.add_argument("--to", type=pathlib.Path, help="checkpoint to write (default: WORK/latest.pt)")
    parser.add_argument("--max-source", type=int, default=96, help="tokens of a description that are read")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fp32", action="store_true", help="no bfloat16 arithmetic")
    for name, kind in (("steps", int), ("batch", int), ("rate", float), ("warmup", int), ("decay", int),
                       ("smoothing", float), ("seed", int), ("save-every", int)):
        default = getattr(Options, name.replace("-", "_"), None)
        parser.add_argument(f"--{name}", type=kind, default=default, required=default is None)
    args = parser.parse_args()
    options = Options(steps=args.steps, batch=args.batch, rate=args.rate, warmup=args.warmup, decay=args.decay,
                      smoothing=args.smoothing, seed=args.seed, save_every=args.save_every, bf16=not args.fp32)
    torch.set_num_threads(args.threads)
    torch.manual_seed(options.seed)
    pairs = data.read(args.work)
    train, dev = (tokenize(pairs[side], args.encoder / "tokenizer.json", args.max_source) for side in ("train", "dev"))
    model = start(args.encoder).eval()
    trainer = Trainer(model, train, None, options)
    trainer.outputs = EncoderOutputs(args.work / "encoded.bf16", model, train, trainer.autocast)
    dev_outputs = EncoderOutputs(args.work / "encoded-dev.bf16", model, dev, trainer.autocast)
    checkpoint = args.to or args.work / "latest.pt"
    origin = args.origin or checkpoint
    if origin.exists():
        trainer.load(origin)
    elif args.origin:
        raise SystemExit(f"{origin} is missing")
    print(f"{len(train)} pairs, {trainer.outputs.starts[-1] / len(train):.1f} source tokens each, "
          f"{len(trainer.ids)} output ids, from step {trainer.step}", flush=True)
    run(trainer, dev, dev_outputs, checkpoint)


if __name__ == "__main__":
    main()
