#!/usr/bin/env python3
"""Writes generation/: what transformers' `generate` makes of small random BART models, for the tests of src/generation.

    pip install torch==2.13.0 transformers==5.23.0; ./make_generation_golden.py

  cases.json   documents, each with results of `generate` for many option sets; configurations and what is made of them;
               numbers with equals among them and what torch.topk makes of them; what sampling's warpers leave
  logits.bin   for each document the logits that `generate` asked for, as a tree of prefixes. A node is, little endian:
               int32 parent (its number within the document, -1 for the root), int32 token, float32 [vocabulary]

The tests search with these logits in place of a model, so a search that asks for another prefix than `generate` did
fails. A document's "logits_begin" is in bytes.
"""
import json
import pathlib
import struct
import tempfile
import warnings

import torch
import transformers
from transformers import (BartConfig, BartForConditionalGeneration, LogitsProcessor, LogitsProcessorList,
                          TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

OUTPUT = pathlib.Path(__file__).resolve().parent / "generation"

# bart-large-cnn's own, shorter.
CNN = dict(num_beams=4, length_penalty=2.0, max_length=24, min_length=8, no_repeat_ngram_size=3, early_stopping=True,
           forced_bos_token_id=0, forced_eos_token_id=2)

OPTION_SETS = {
    "greedy": dict(),
    "greedy_default_length": dict(max_length=None),
    "greedy_new_tokens": dict(max_new_tokens=7, min_new_tokens=4),
    "greedy_rules": dict(repetition_penalty=1.7, no_repeat_ngram_size=2, min_length=9, forced_bos_token_id=0,
                         forced_eos_token_id=2),
    "greedy_suppress": dict(suppress_tokens=[5, 7, 9, 11], begin_suppress_tokens=[4, 6, 8, 10, 12],
                            forced_bos_token_id=None),
    "greedy_many_eos": dict(eos_token_id=[2, 5, 9, 13]),
    "cnn": CNN,
    "beams_2": dict(num_beams=2),
    "beams_3": dict(num_beams=3, forced_eos_token_id=None),
    "beams_early": dict(num_beams=4, early_stopping=True),
    "beams_never": dict(num_beams=4, early_stopping="never"),
    "beams_never_long": dict(num_beams=3, early_stopping="never", length_penalty=1.6),
    "beams_never_short": dict(num_beams=3, early_stopping="never", length_penalty=-0.7),
    "beams_no_penalty": dict(num_beams=4, length_penalty=0.0, early_stopping=False),
    "beams_negative_penalty": dict(num_beams=4, length_penalty=-1.0, early_stopping=False),
    "beams_long_penalty": dict(num_beams=5, length_penalty=2.5, early_stopping=False),
    "beams_all_returned": dict(num_beams=4, num_return_sequences=4, early_stopping=True),
    "beams_some_returned": dict(num_beams=6, num_return_sequences=3, early_stopping=False, no_repeat_ngram_size=2),
    "beams_min": dict(num_beams=3, min_length=10, max_length=14),
    "beams_new_tokens": dict(num_beams=3, min_new_tokens=5, max_new_tokens=9, early_stopping=True),
    "beams_repetition": dict(num_beams=4, repetition_penalty=1.4, early_stopping=True),
    "beams_encoder_ngrams": dict(num_beams=4, encoder_no_repeat_ngram_size=1, early_stopping=True),
    "beams_encoder_bigrams": dict(num_beams=3, encoder_no_repeat_ngram_size=2, no_repeat_ngram_size=2),
    "beams_bad_words": dict(num_beams=4, bad_words_ids=[[5], [6], [7, 8], [9, 10, 11], [8, 8], [2]]),
    "beams_many_eos": dict(num_beams=3, eos_token_id=[2, 5, 9], early_stopping=True),
    "beams_many_eos_never": dict(num_beams=3, eos_token_id=[2, 5, 9], early_stopping="never", min_length=5,
                                 num_return_sequences=3),
    "beams_forced_eos_list": dict(num_beams=3, forced_eos_token_id=[2, 3], max_length=9, num_return_sequences=2),
    "beams_no_eos": dict(num_beams=2, eos_token_id=None, forced_eos_token_id=None, max_length=9),
    "beams_suppress": dict(num_beams=4, suppress_tokens=[5, 6, 20], begin_suppress_tokens=[7, 8, 9, 21],
                           forced_bos_token_id=0, early_stopping=True),
    "beams_unforced": dict(num_beams=4, forced_eos_token_id=None, early_stopping=True),
    "beams_shortest": dict(num_beams=4, max_length=2, num_return_sequences=2),
    "beams_short": dict(num_beams=4, max_length=3, early_stopping=True),
}
BASE = dict(max_length=18)

# Sampling with top_k 1 leaves nothing to chance.
DRAWN_SETS = {
    "sample_top_1": dict(do_sample=True, top_k=1, temperature=1.3, repetition_penalty=1.3),
    "sample_top_p_0": dict(do_sample=True, top_k=0, top_p=0.0, no_repeat_ngram_size=2),
}

MODELS = [
    dict(vocab_size=40, d_model=16, layers=2, heads=2, spread=0.9, scale=1.6, documents=7, eos=2.6),
    dict(vocab_size=53, d_model=24, layers=1, heads=3, spread=0.55, scale=2.2, documents=7, eos=4.4),
    dict(vocab_size=280, d_model=32, layers=2, heads=4, spread=0.5, scale=2.5, documents=2, eos=4.0),
]


def make_model(seed, vocab_size, d_model, layers, heads, spread, scale, eos):
    torch.manual_seed(seed)
    config = BartConfig(
        vocab_size=vocab_size, d_model=d_model, encoder_layers=layers, decoder_layers=layers,
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=2 * d_model,
        decoder_ffn_dim=2 * d_model, max_position_embeddings=64, init_std=spread)
    model = BartForConditionalGeneration(config).eval()
    with torch.no_grad():
        # Rows of equal length, or a few tokens would win everywhere; the bias makes ends come at all lengths.
        embedding = model.get_input_embeddings().weight
        embedding.copy_(scale * embedding / embedding.norm(dim=1, keepdim=True).clamp_min(1e-6))
        model.final_logits_bias[0, 2] = eos
    return model


class Recorder(LogitsProcessor):
    """Remembers which prefixes `generate` is about to score."""

    def __init__(self):
        self.prefixes = []

    def __call__(self, input_ids, scores):
        self.prefixes.append(input_ids.tolist())
        return scores


class LogitsTree:
    def __init__(self, vocab_size):
        self.vocab_size = vocab_size
        self.nodes = {}
        self.data = b""

    def add(self, prefix, logits):
        key = tuple(prefix)
        if key in self.nodes:
            return
        parent = self.nodes[key[:-1]] if len(key) > 1 else -1
        self.nodes[key] = len(self.nodes)
        self.data += struct.pack(f"<ii{self.vocab_size}f", parent, key[-1], *logits.tolist())


def run(model, documents, trees, options):
    """Results of each document; all go through `generate` together, so they must be of one length."""
    recorder = Recorder()
    arguments = {**BASE, **options}
    base = model.generation_config
    # A None given to `generate` does not unset what the model's configuration has.
    saved = {name: getattr(base, name) for name, value in arguments.items() if value is None}
    for name in saved:
        setattr(base, name, None)
    out = model.generate(
        torch.tensor(documents), attention_mask=torch.ones(len(documents), len(documents[0]), dtype=torch.long),
        logits_processor=LogitsProcessorList([recorder]), return_dict_in_generate=True, output_logits=True,
        output_scores=True, **{name: value for name, value in arguments.items() if value is not None})
    for name, value in saved.items():
        setattr(base, name, value)
    beams = out.logits[0].shape[0] // len(documents)
    for prefixes, logits in zip(recorder.prefixes, out.logits):
        for row, prefix in enumerate(prefixes):
            trees[row // beams].add(prefix, logits[row])
    returned = out.sequences.shape[0] // len(documents)
    return [
        [result(model, out, i * returned + j) for j in range(returned)] for i in range(len(documents))
    ]


def result(model, out, i):
    if "sequences_scores" in out:
        length = 1 + int((out.beam_indices[i] >= 0).sum())
        return {"ids": out.sequences[i][:length].tolist(), "score": float(out.sequences_scores[i])}
    score, ids = 0.0, [int(out.sequences[i][0])]
    for scores, token in zip(out.scores, out.sequences[i][1:].tolist()):
        ids.append(token)
        score += float(scores[i].log_softmax(-1)[token])
    return {"ids": ids, "score": score}


def make_documents():
    documents, logits = [], b""
    for seed, settings in enumerate(MODELS):
        settings = dict(settings)
        count = settings.pop("documents")
        model = make_model(seed + 1, **settings)
        vocab_size = settings["vocab_size"]
        inputs = [[0, *torch.randint(3, vocab_size, (8,)).tolist(), 2] for _ in range(count)]
        trees = [LogitsTree(vocab_size) for _ in inputs]
        cases = [{} for _ in inputs]
        for name, options in {**OPTION_SETS, **DRAWN_SETS}.items():
            if vocab_size > 100 and name not in ("cnn", "greedy", "beams_early", "beams_some_returned"):
                continue
            for i, ids in enumerate(inputs):
                cases[i][name] = run(model, [ids], [trees[i]], options)[0]
        if "beams_never" in cases[0]:
            # Two together must give what each gives alone: `generate` goes on with one when the other has finished.
            together = run(model, inputs[:2], [LogitsTree(vocab_size) for _ in range(2)], OPTION_SETS["beams_never"])
            for i in range(2):
                assert [r["ids"] for r in together[i]] == [r["ids"] for r in cases[i]["beams_never"]]
        for ids, tree, results in zip(inputs, trees, cases):
            documents.append({"model": seed, "vocabulary": vocab_size, "max_positions": 64, "encoder_ids": ids,
                              "logits_begin": len(logits), "nodes": len(tree.nodes), "results": results})
            logits += tree.data
    return documents, logits


def make_configurations():
    """What `from_pretrained` makes of configuration files."""
    tiny = make_model(1, vocab_size=8, d_model=8, layers=1, heads=1, spread=0.1, scale=1.0, eos=0.0)
    legacy = {"num_beams": 4, "early_stopping": True, "no_repeat_ngram_size": 3, "max_length": 30, "min_length": 5,
              "length_penalty": 2.0, "forced_bos_token_id": 0, "temperature": 0.7, "bad_words_ids": [[3], [4, 5]]}
    found = []
    for config_extra, generation_config in [
            ({}, None),
            (legacy, None),
            ({**legacy, "task_specific_params": {"translation": {"num_beams": 7}}}, None),
            (legacy, {"num_beams": 2, "eos_token_id": [2, 3], "decoder_start_token_id": 2, "min_length": None}),
            (legacy, {"early_stopping": "never", "bos_token_id": 0, "eos_token_id": 2, "forced_eos_token_id": [2, 3],
                      "do_sample": True, "top_k": 0, "top_p": 0.9, "max_new_tokens": 9, "min_new_tokens": 2})]:
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory)
            tiny.save_pretrained(path)
            config = {**json.loads((path / "config.json").read_text()), **config_extra}
            (path / "config.json").write_text(json.dumps(config))
            (path / "generation_config.json").unlink()
            if generation_config is not None:
                (path / "generation_config.json").write_text(json.dumps(generation_config))
            loaded = BartForConditionalGeneration.from_pretrained(path).generation_config.to_dict()
        names = ["num_beams", "num_return_sequences", "do_sample", "temperature", "top_k", "top_p", "length_penalty",
                 "early_stopping", "max_length", "max_new_tokens", "min_length", "min_new_tokens",
                 "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "repetition_penalty", "forced_bos_token_id",
                 "forced_eos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens",
                 "decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id"]
        found.append({"config": config, "generation_config": generation_config,
                      "options": {name: loaded[name] for name in names if loaded.get(name) is not None}})
    return found


def make_ties():
    """torch.topk on the CPU among equals: what beam search meets where it marks losers with one and the same score."""
    generator = torch.Generator().manual_seed(5)
    ties = []
    for n, k in [(6, 2), (9, 3), (12, 4), (24, 8), (63, 1), (64, 1), (200, 3), (300, 4), (300, 8), (520, 8), (1000, 15)]:
        for distinct in (1, 2, 5, n // 2):
            values = torch.randint(distinct, (n,), generator=generator).float()
            ties.append({"values": [int(v) for v in values], "top": torch.topk(values, k)[1].tolist()})
    return ties


def make_warped():
    """Rows of scores and what sampling's warpers leave of them: the probabilities of the tokens that remain."""
    generator = torch.Generator().manual_seed(6)
    warped = []
    for temperature, top_k, top_p, keep in [(1.0, 5, 1.0, 1), (0.7, 0, 0.9, 1), (1.5, 0, 0.5, 1), (2.0, 8, 0.8, 1),
                                            (0.3, 50, 0.95, 1), (1.0, 1, 1.0, 3), (1.0, 0, 0.01, 2), (1.0, 0, 0.0, 1),
                                            (0.9, 1000, 0.99, 4), (1.2, 3, 0.6, 1)]:
        for size in (12, 60):
            scores = (2 * torch.randn(1, size, generator=generator)).round(decimals=3)
            scores[0, 3] = scores[0, 4] = scores[0].max()  # The best three are equal.
            scores[0, 7] = -torch.inf
            warpers = LogitsProcessorList()
            if temperature != 1.0:
                warpers.append(TemperatureLogitsWarper(temperature))
            if top_k > 0:
                warpers.append(TopKLogitsWarper(top_k, min_tokens_to_keep=keep))
            if top_p < 1.0:
                warpers.append(TopPLogitsWarper(top_p, min_tokens_to_keep=keep))
            left = warpers(None, scores)
            warped.append({"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_tokens": keep,
                           "scores": [None if s == -torch.inf else s for s in scores[0].tolist()],
                           "probabilities": left.softmax(-1)[0].tolist()})
    return warped


def main():
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    documents, logits = make_documents()
    options = {}
    for name, given in {**OPTION_SETS, **DRAWN_SETS}.items():
        merged = dict(bos_token_id=0, eos_token_id=2, pad_token_id=1, decoder_start_token_id=2, forced_eos_token_id=2,
                      **BASE)
        merged.update(given)
        options[name] = {key: value for key, value in merged.items() if value is not None}
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "logits.bin").write_bytes(logits)
    cases = {"made_with": {"transformers": transformers.__version__, "torch": torch.__version__},
             "options": options, "documents": documents, "configurations": make_configurations(),
             "ties": make_ties(), "warped": make_warped()}
    (OUTPUT / "cases.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    lengths = sorted(len(r["ids"]) for d in documents for rs in d["results"].values() for r in rs)
    print(f"{len(documents)} documents, {sum(len(d['results']) for d in documents)} cases, "
          f"{sum(d['nodes'] for d in documents)} rows of logits, {len(logits)} bytes; "
          f"results of {lengths[0]} to {lengths[-1]} tokens, median {lengths[len(lengths) // 2]}")


if __name__ == "__main__":
    main()
