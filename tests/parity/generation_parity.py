"""Compares the ids and texts of `remuda summarize` with those of transformers' `generate` in fp32; fails where fewer
than 99.5 % are equal, or where a difference is not a tie.

usage: .venv-peers/bin/python tests/parity/generation_parity.py [--texts N] [--binary build/release/remuda]
Random BARTs of odd shapes, and every model in pretrained/ (--model DIR: that one alone). Needs GPT-2's vocabulary and
the tokenizers that tests/parity/make_tokenizers.py makes; scripts/parity.sh runs it all.

A difference is a tie where transformers in float64 scores both results within 1e-4 of one another (greedily: the tokens
at which they part), or where its search in float64 gives what remuda found: then its own rounding in fp32 decided. The
same where it does so once its log-probabilities are off by what fp32 rounds away: then two candidates were as good as
equal when the last place among the beams was given away, however far apart what became of them is in the end.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import random_barts  # noqa: E402
import texts as real_texts  # noqa: E402

LEAST_EQUAL = 0.995
TIE = 1e-4
ROUNDING = 1e-5  # Of a log-probability in fp32, after the layers of a model.
ROUNDED_SEARCHES = 16
BATCH = 24
SHOWN = 5
# bart-large-cnn's own, shorter.
CNN = dict(num_beams=4, length_penalty=2.0, max_length=28, min_length=8, no_repeat_ngram_size=3, early_stopping=True)
OPTION_SETS = {
    "defaults": dict(),
    "greedy": dict(num_beams=1),
    "greedy, rules": dict(num_beams=1, repetition_penalty=1.7, no_repeat_ngram_size=2, min_length=9, max_length=15),
    "greedy, lengths": dict(num_beams=1, min_new_tokens=6, max_new_tokens=11),
    "bart-large-cnn": CNN,
    "bart-large-cnn, forced": dict(CNN, forced_bos_token_id="bos", forced_eos_token_id="eos", max_length=14),
    "2 beams": dict(num_beams=2),
    "3 beams, never": dict(num_beams=3, early_stopping="never", length_penalty=1.6),
    "4 beams, favour short": dict(num_beams=4, length_penalty=-0.5, early_stopping="never"),
    "5 beams, no penalty": dict(num_beams=5, length_penalty=0.0, early_stopping=True),
    "6 beams, 3 returned": dict(num_beams=6, num_return_sequences=3, early_stopping=False, no_repeat_ngram_size=2),
    "4 beams, all returned": dict(num_beams=4, num_return_sequences=4, early_stopping=True, length_penalty=-1.0),
    "3 beams, lengths": dict(num_beams=3, min_new_tokens=5, max_new_tokens=9, early_stopping=True),
    "3 beams, repetition": dict(num_beams=3, repetition_penalty=1.4, early_stopping=False),
    "4 beams, document's words": dict(num_beams=4, encoder_no_repeat_ngram_size=1, early_stopping=True),
    "3 beams, document's pairs": dict(num_beams=3, encoder_no_repeat_ngram_size=2, no_repeat_ngram_size=2),
    "4 beams, bad words": dict(num_beams=4, bad_words_ids="frequent", early_stopping=True),
    "4 beams, suppressed": dict(num_beams=4, suppress_tokens="frequent", begin_suppress_tokens="first"),
}


@dataclasses.dataclass
class Subject:
    """A model on both sides, and the texts that it reads."""
    name: str
    directory: pathlib.Path
    model: transformers.BartForConditionalGeneration
    tokenizer: transformers.PreTrainedTokenizerBase
    texts: list
    rows: list = dataclasses.field(default_factory=list)  # Ids of the texts.
    exact: transformers.BartForConditionalGeneration = None  # In float64, where it was needed.

    def __post_init__(self):
        window = min(self.model.config.max_position_embeddings, self.tokenizer.model_max_length)
        self.rows = self.tokenizer(self.texts, truncation=True, max_length=window).input_ids


@dataclasses.dataclass
class Counts:
    texts: int = 0
    equal: int = 0
    ties: int = 0
    wrong: int = 0
    tokens: int = 0
    distinct: set = dataclasses.field(default_factory=set)

    def add(self, other):
        for name in ("texts", "equal", "ties", "wrong", "tokens"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.distinct |= other.distinct


def documents(count, window):
    """Synopses, sentences and paragraphs of up to about half a window's words, and some of other scripts."""
    pairs = real_texts.descriptions(count)
    short = [synopsis for synopsis, _ in pairs[::2]]
    long = [" ".join(text.split()[:window // 2]) for _, text in pairs[1::2]]
    return (real_texts.MULTILINGUAL[:count // 6] + long + short)[:count]


def resolve(options, subject, frequent):
    """The options with ids in place of names."""
    config = subject.model.generation_config
    named = {"bos": config.decoder_start_token_id if config.bos_token_id is None else config.bos_token_id,
             "eos": config.eos_token_id}
    found = {name: named.get(value, value) if isinstance(value, str) else value for name, value in options.items()}
    if "bad_words_ids" in found:
        found["bad_words_ids"] = [[i] for i in frequent[:4]] + [frequent[4:6], frequent[6:9]]
    if "suppress_tokens" in found:
        found |= {"suppress_tokens": frequent[:5], "begin_suppress_tokens": frequent[5:12]}
    return found


def flags(options):
    for name, value in options.items():
        if name == "bad_words_ids":
            value = ";".join(",".join(map(str, word)) for word in value)
        elif isinstance(value, list):
            value = ",".join(map(str, value))
        elif isinstance(value, bool):
            value = str(value).lower()
        yield f"--{name.replace('_', '-')}={value}"


def summarize(binary, subject, options, scratch):
    """What remuda makes of the texts: of each a list of (ids, text), the best first."""
    file = scratch / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in subject.texts))
    command = [binary, "summarize", "-m", subject.directory, "--precision", "fp32", "--jsonl", *flags(options), file]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed ({done.returncode}): {done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [[(found["ids"], found["summary"]) for found in (line, *line.get("others", []))] for line in lines]


@torch.no_grad()
def generate(model, rows, options, **more):
    """The results of transformers for documents that are searched together: of each a list of ids."""
    pad = model.generation_config.pad_token_id
    ids = torch.full((len(rows), max(map(len, rows))), pad)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        mask[i, :len(row)] = 1
    out = model.generate(ids, attention_mask=mask, return_dict_in_generate=True, output_scores=True, **options, **more)
    returned = len(out.sequences) // len(rows)
    found = [sequence[:length_of(out, i, model)].tolist() for i, sequence in enumerate(out.sequences)]
    return [found[i * returned:(i + 1) * returned] for i in range(len(rows))], out


def length_of(out, i, model):
    """Tokens of a result without its padding."""
    if "beam_indices" in out:
        return 1 + int((out.beam_indices[i] >= 0).sum())
    ends = (out.sequences[i, 1:] == model.generation_config.eos_token_id).nonzero()
    return 2 + int(ends[0]) if len(ends) else out.sequences.shape[1]


def reference(subject, options):
    """Of all texts, in batches of about one length."""
    order = sorted(range(len(subject.rows)), key=lambda i: len(subject.rows[i]))
    results = [None] * len(order)
    for together in (order[first:first + BATCH] for first in range(0, len(order), BATCH)):
        found, _ = generate(subject.model, [subject.rows[i] for i in together], options)
        for i, result in zip(together, found):
            results[i] = result
    return results


def beams_of(subject, options):
    return options.get("num_beams", subject.model.generation_config.num_beams or 1)


def score(subject, row, options, ids):
    """What transformers' beam search in float64 makes of a result that it may not depart from."""
    eos = subject.model.generation_config.eos_token_id
    _, out = generate(subject.exact, [row], {**options, "num_return_sequences": 1},
                      prefix_allowed_tokens_fn=lambda _, prefix: [(*ids, *[eos] * len(prefix))[len(prefix)]])
    return float(out.sequences_scores[0])


def choice_apart(subject, row, options, one, other):
    """How far apart in float64 the two tokens are at which greedy results part."""
    common = os.path.commonprefix([one, other])
    every = list(range(subject.model.config.vocab_size))
    _, out = generate(subject.exact, [row], options, prefix_allowed_tokens_fn=lambda _, prefix: (
        [common[len(prefix)]] if len(prefix) < len(common) else every))
    scores = out.scores[len(common) - 1][0]
    return abs(float(scores[one[len(common)]] - scores[other[len(common)]]))


class Rounding(transformers.LogitsProcessor):
    """Log-probabilities as they might be in fp32."""

    def __init__(self, seed):
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids, scores):
        return scores + ROUNDING * (2 * torch.rand(scores.shape, generator=self.random, dtype=scores.dtype) - 1)


def rounding_decides(subject, row, options, ours):
    """Whether transformers' search in float64 finds remuda's result in one of some searches with other roundings."""
    for seed in range(ROUNDED_SEARCHES):
        (found,), _ = generate(subject.exact, [row], options,
                               logits_processor=transformers.LogitsProcessorList([Rounding(seed)]))
        if found == ours:
            return True
    return False


def explain(subject, i, options, ours, theirs):
    """Why the results of text i differ; whether it is a tie, and the figures."""
    if subject.exact is None:
        subject.exact = transformers.BartForConditionalGeneration.from_pretrained(
            subject.directory, dtype=torch.float64).eval()
    row = subject.rows[i]
    (alone,), _ = generate(subject.exact, [row], options)
    if alone == ours:
        return True, "in float64 transformers finds remuda's"
    pairs = [(a, b) for a, b in zip(ours, theirs) if a != b]
    if beams_of(subject, options) == 1:
        apart = max(choice_apart(subject, row, options, a, b) for a, b in pairs)
    else:
        apart = max(abs(score(subject, row, options, a) - score(subject, row, options, b)) for a, b in pairs)
    if apart >= TIE and rounding_decides(subject, row, options, ours):
        return True, f"scores {apart:.1e} apart, but a beam's place was a matter of rounding"
    return apart < TIE, f"scores {apart:.1e} apart"


def compare(subject, options, found, expected):
    counts, notes = Counts(), []
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        ids = [ids for ids, _ in ours]
        counts.texts += 1
        counts.tokens += len(ids[0])
        counts.distinct.add(tuple(ids[0]))
        wanted = [subject.tokenizer.decode(one, skip_special_tokens=True) for one in ids]
        if wanted != [text for _, text in ours]:
            counts.wrong += 1
            notes.append(f"text {i}: expected {wanted}, found {[text for _, text in ours]}")
        elif ids == theirs:
            counts.equal += 1
        else:
            tie, why = explain(subject, i, options, ids, theirs)
            counts.ties += tie
            counts.wrong += not tie
            notes.append(f"text {i}: {why}: expected {theirs}, found {ids}")
    return counts, notes


def print_row(name, options, counts):
    print(f"{name:14} {options:26} {counts.texts:6} {counts.equal:6} {counts.ties:6} {counts.wrong:6} "
          f"{counts.tokens / counts.texts:7.1f} {len(counts.distinct):9}", flush=True)


def compare_all(binary, subject, scratch):
    """All option sets on one model."""
    total, frequent = Counts(), []
    for name, options in OPTION_SETS.items():
        options = resolve(options, subject, frequent)
        expected = reference(subject, options)
        if not frequent:
            frequent = most_frequent(expected, subject)
        counts, notes = compare(subject, options, summarize(binary, subject, options, scratch), expected)
        print_row(subject.name, name, counts)
        for note in notes[:SHOWN]:
            print(f"  {note}")
        total.add(counts)
    return total


def most_frequent(results, subject):
    """The tokens that come most, so that forbidding them changes something; the end token isn't among them."""
    config = subject.model.generation_config
    special = {config.eos_token_id, config.pad_token_id, config.bos_token_id, config.decoder_start_token_id}
    tokens = [token for result in results for token in result[0] if token not in special]
    ranked = sorted(set(tokens), key=lambda token: (-tokens.count(token), token))
    return (ranked + [token for token in range(5, 50) if token not in ranked])[:12]


def subjects(arguments, scratch):
    minilm = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models")) / "all-MiniLM-L6-v2"
    trained = sorted(path.parent for path in (ROOT / "pretrained").glob("*/config.json"))
    directories = [arguments.model] if arguments.model else trained
    made = [] if arguments.model else [(name, scratch / name, random_barts.make(name, minilm, scratch / name))
                                       for name in random_barts.MODELS]
    made += [(directory.name, directory, random_barts.load(directory)) for directory in directories]
    for name, directory, (model, tokenizer) in made:
        # Trained models are larger; half of the texts keeps the time in bounds.
        count = arguments.texts if name in random_barts.MODELS else arguments.texts // 2
        texts = documents(count, min(100, model.config.max_position_embeddings))
        yield Subject(name, directory, model, tokenizer, texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/remuda"))
    parser.add_argument("--texts", type=int, default=120, help="half of them for trained models (%(default)s)")
    parser.add_argument("--model", type=pathlib.Path, help="a BART directory to compare on alone")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)  # Quicker on models so small.
    print("model          options                     texts  equal   ties  wrong  tokens  distinct")
    total = Counts()
    with tempfile.TemporaryDirectory() as scratch:
        for subject in subjects(arguments, pathlib.Path(scratch)):
            total.add(compare_all(arguments.binary, subject, pathlib.Path(scratch)))
    print_row("all", "", total)
    good = total.wrong == 0 and total.equal >= LEAST_EQUAL * total.texts
    print(f"{100 * total.equal / total.texts:.2f} % equal, at least {100 * LEAST_EQUAL} % wanted, {total.wrong} "
          f"unexplained: {'ok' if good else 'FAILED'}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
