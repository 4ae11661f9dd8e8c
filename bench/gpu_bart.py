#!/usr/bin/env python3
"""BART on a GPU, through remuda's Python package: its ids against those of transformers' `generate` in fp32, and its speed
in fp16 against transformers' in fp16 on the same GPU. Weights are random, of real sizes.

usage: python bench/gpu_bart.py [--device cuda:0] [--json FILE] [--only parity|speed] [--small]
Needs an installed remuda, torch and transformers. Exits with 0 where all holds, 1 where something does not, 77 where
there is no GPU.

A decode step is what another token of all beams costs: the difference between long summaries and short ones by the
number of tokens. Documents a second are of summaries of 142 tokens, encoding included.
"""
import dataclasses
import pathlib
import random
import sys
import tempfile

import bart_model
import gpu_report
import torch
from gpu_report import NO_GPU, Report, timed
from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

import remuda

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/parity"))
import random_barts  # noqa: E402

LEAST_EQUAL = 0.99
MAX_STEP = 0.2
LEAST_DOCUMENTS = 4.0
SHORT_OUTPUT, LONG_OUTPUT = 22, 142
LARGE = dataclasses.replace(bart_model.LARGE, name="bart-large-bytes", words=False)
PARITY = bart_model.Shape("bart-parity", layers=2, width=128, heads=4, inner=256, positions=512, vocabulary=264)
# What differs in the searches is what the rules, and the joining and leaving of beams, do.
OPTION_SETS = {
    "defaults": {"num_beams": 4, "max_length": 24},
    "greedy": {"num_beams": 1, "max_length": 24},
    "greedy, rules": {"num_beams": 1, "repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "min_length": 9,
                      "max_length": 20},
    "bart-large-cnn": {"num_beams": 4, "length_penalty": 2.0, "max_length": 28, "min_length": 8,
                       "no_repeat_ngram_size": 3, "early_stopping": True, "forced_bos_token_id": 0},
    "6 beams, 3 returned": {"num_beams": 6, "num_return_sequences": 3, "no_repeat_ngram_size": 2, "max_length": 20},
    "3 beams, repetition": {"num_beams": 3, "repetition_penalty": 1.4, "max_length": 20},
}


def make_texts(count, length, seed):
    """Of printable characters, each of which is a token."""
    generator = random.Random(seed)
    return ["".join(chr(generator.randrange(97, 123)) for _ in range(length)) for _ in range(count)]


def ids_of(text):
    """As the tokenizers of bart_model.py, that know bytes alone, have them."""
    first = len(bart_model.SPECIAL)
    characters = bart_model.bytes_as_characters()
    return [0, *(first + characters.index(character) for character in text), 2]


def manager_of(directory, arguments, precision):
    settings = remuda.Settings(summarization_model=str(directory), device=arguments.device, precision=precision)
    return remuda.SummarizationModelManager(settings)


def generate(model, texts, options):
    rows = [ids_of(text) for text in texts]
    ids = torch.full((len(rows), max(map(len, rows))), 1)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        mask[i, :len(row)] = 1
    with torch.inference_mode():
        out = model.generate(ids.to(model.device), attention_mask=mask.to(model.device), **options)
    return out.tolist()


def without_padding(ids):
    return ids[:len(ids) - next(i for i, token in enumerate(reversed(ids)) if token != 1)]


def check_parity(report, arguments, scratch):
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(5)
    recipe = random_barts.RandomBart("bytes", {}, random_barts.BART_IDS, 1, torch.float32, 2.0, 2.0, 0.8)
    model = BartForConditionalGeneration(BartConfig(**bart_model.config(PARITY))).eval()
    model.generation_config = GenerationConfig(**random_barts.BART_IDS, forced_eos_token_id=2)
    random_barts.randomize(model, recipe, generator)
    random_barts.let_it_end(model, generator)
    directory = scratch / "parity"
    model.save_pretrained(directory)
    bart_model.write_tokenizer(directory, PARITY)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    # Those of one length are generated together, without padding.
    groups = [make_texts(1 if arguments.small else 24, length, length) for length in (3, 40, 120)]
    texts = [text for group in groups for text in group]
    manager = manager_of(directory, arguments, "fp32")
    equal = total = 0
    for name, options in list(OPTION_SETS.items())[:2 if arguments.small else None]:
        expected = [without_padding(ids) for group in groups for ids in generate(model, group, options)]
        found = [each.ids for summary in manager.summarize(texts, **options) for each in [summary.best, *summary.others]]
        same = sum(list(a) == b for a, b in zip(found, expected, strict=True))
        print(f"ids, {name}: {same} of {len(expected)} as transformers'")
        equal, total = equal + same, total + len(expected)
    manager.cleanup()
    report.add("BART fp32: share of ids as transformers' in fp32", f"{equal / total:.4f}", f">= {LEAST_EQUAL}",
               equal >= LEAST_EQUAL * total)


def check_speed(report, arguments, scratch):
    shape = bart_model.TINY if arguments.small else LARGE
    directory = scratch / "speed"
    bart_model.make(directory, shape)
    model = BartForConditionalGeneration.from_pretrained(directory, dtype=torch.float16).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    manager = manager_of(directory, arguments, "bf16" if arguments.device == "cpu" else "fp16")
    figures = {}
    short, long = (4, 8) if arguments.small else (SHORT_OUTPUT, LONG_OUTPUT)
    with manager.acquire() as instance:
        for documents in (1, 2) if arguments.small else (1, 8, 32):
            texts = make_texts(documents, 30 if arguments.small else 510, documents)
            times = {}
            for length in (short, long):
                options = {"num_beams": 4, "min_length": length, "max_length": length, "early_stopping": True,
                           "no_repeat_ngram_size": 3, "length_penalty": 2.0}
                times[length] = (
                    timed(lambda o=options, t=texts: manager.summarize(t, instance, max_batch_tokens=1 << 17, **o),
                          arguments.seconds),
                    timed(lambda o=options, t=texts: generate(model, t, o), arguments.seconds))
            ours, theirs = ({"step_ms": 1e3 * (times[long][i] - times[short][i]) / (long - short),
                             "documents_per_s": documents / times[long][i]} for i in (0, 1))
            figures[documents] = {"remuda": ours, "transformers": theirs}
            print(f"{documents} documents: remuda {ours['step_ms']:.3f} ms a step, {ours['documents_per_s']:.1f} documents/s; "
                  f"transformers {theirs['step_ms']:.3f} ms, {theirs['documents_per_s']:.1f} documents/s")
            step = ours["step_ms"] / theirs["step_ms"]
            rate = ours["documents_per_s"] / theirs["documents_per_s"]
            if documents == 1:
                report.add("BART-large fp16, 1 document: step by transformers'", f"{step:.3f}", f"<= {MAX_STEP}",
                           step <= MAX_STEP)
            least = LEAST_DOCUMENTS if documents == 32 else 1.0
            report.add(f"BART-large fp16, {documents} documents: documents/s by transformers'", f"{rate:.2f}",
                       f">= {least}", rate >= least)
    manager.cleanup()
    return figures


def main():
    parser = gpu_report.parser(__doc__)
    parser.add_argument("--device", default="cuda:0", help="remuda's (%(default)s)")
    parser.add_argument("--only", choices=("parity", "speed"))
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement (%(default)s)")
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not remuda.gpu_memory():
        print("no GPU; nothing was tried")
        return NO_GPU
    torch.backends.cuda.matmul.allow_tf32 = False
    report = Report()
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.only != "speed":
            check_parity(report, arguments, pathlib.Path(scratch))
        if arguments.only != "parity":
            figures = check_speed(report, arguments, pathlib.Path(scratch))
    return report.end(arguments.json, device=arguments.device, pytorch=torch.__version__, documents=figures)


if __name__ == "__main__":
    sys.exit(main())
