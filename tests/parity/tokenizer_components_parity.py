#!/usr/bin/env python3
"""Compares `remuda tokenize` with Hugging Face `tokenizers` over random tokenizer.json files: every normalizer,
pre-tokenizer, model, post-processor and flag of an added token that remuda knows, in random combinations, on nasty
texts. With --decode also what the ids, and random ones, decode to, through random decoders.

    pip install tokenizers transformers; tests/parity/tokenizer_components_parity.py [--count 500] [--seed 1] [--decode CASES]
    REMUDA_DECODE_CASES=CASES build/release/remuda_text_test --gtest_filter='Decoding.*'

Files and texts at which the library itself panics are passed over. Exits with 1 when ids differ, and prints the file.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ["RUST_BACKTRACE"] = "0"

import tokenizers  # noqa: E402  (reads the variable when it panics)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEXTS_EACH = 40

ALPHABET = [
    "a", "b", "B", "é", "E\u0301", "\u0301", "\u0327", "\u0345", "\u0323", "中", "한", "\u1112\u1161", "\u1100", "\u1161",
    "\u11a8", "\uac00", " ", "  ", "\t", "\n", "\u00a0", "\u3000", ".", "!", "¿", "-", "_", "1", "²", "ﬁ", "İ", "Σ", "ß",
    "\u200b", "\0", "\ufffd", "Å", "\u212b", "\u302f", "\u0f71", "\u0f72", "\u0f73", "[X]", "[x]", "<m>", "##", "ſ\u0323\u0307",
    "\U0001d15e", "𝒜", "\u09c7\u09be", "\U00011935\U00011930", "\U00011131\U00011127",
    "'s", "'ll", "'", "▁", "Ġ", "ª", "ª\u0301", "q", "\r\n", "e-", "0", "٣", "Ⅷ", "½", "\u0085", "\u200d", "☺\u200d™", "🇩🇪🇩", "\x01", "\xad",
]
ADDED = ["[X]", "[x]", "<m>", "a", "ab", "X", " ", "  ", "é", "中", "b b", "\u3000", "[UNK]", "[X", "Σ", "-"]
PIECES = ["a", "b", "B", "é", "中", "ᄒ", "ᅡ", "ᆫ", "한", ".", "!", "-", "_", "1", "i", "s", "ß", "σ", "Å", "å", " ", "f", "fi",
          "ﬁ", "\u0301", "\u0327", "x", "[", "]", "\u302f", "<", ">", "m", "A",
          "'", "n't", "'s", "'m", "'re", ",", "?", "do", "not"]

BYTE_CHARACTERS = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
GPT2_EXPRESSION = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UNIGRAM = json.loads((ROOT / "tests/golden/tokenizer/unigram.tokenizer.json").read_text())
CHARACTER_MAP = UNIGRAM["normalizer"]["normalizers"][0]["precompiled_charsmap"]


def asks_for_the_start_late(spec):
    """A Metaspace that asks what begins the text, after other steps: for the library that may be several pieces, which
    are made of the same character of the text. remuda doesn't follow it there."""
    return '"first"' in json.dumps(spec) and spec["type"] == "Sequence"


class Generator:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def coin(self, chance=0.5):
        return self.rng.random() < chance

    def text(self, length):
        return "".join(self.rng.choice(ALPHABET) for _ in range(self.rng.randint(0, length)))

    def sequence(self, kind, field, depth, longest):
        make = {"normalizers": self.normalizer, "pretokenizers": self.pre_tokenizer, "processors": self.post_processor}[field]
        return {"type": kind, field: [make(depth + 1) for _ in range(self.rng.randint(0, longest))]}

    def normalizer(self, depth=0):
        kinds = ["BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Strip", "StripAccents", "Replace", "Prepend",
                 "Nmt", "Precompiled"]
        kind = self.rng.choice(kinds + ["Sequence"] * (3 if depth < 2 else 0))
        if kind == "Sequence":
            return self.sequence(kind, "normalizers", depth, 4)
        fields = {
            "BertNormalizer": lambda: {"clean_text": self.coin(), "handle_chinese_chars": self.coin(),
                                       "strip_accents": self.rng.choice([None, True, False]), "lowercase": self.coin()},
            "Strip": lambda: {"strip_left": self.coin(), "strip_right": self.coin()},
            "Replace": self.replace,
            "Precompiled": lambda: {"precompiled_charsmap": CHARACTER_MAP},
            "Prepend": lambda: {"prepend": self.text(2) or "b"},  # Of none the library makes the first character twice.
        }
        return {"type": kind} | fields.get(kind, dict)()

    def replace(self):
        pattern = {"Regex": self.rng.choice(["a+", " {2,}", "中{3,}"])} if self.coin(0.3) else {"String": self.text(2) or "a"}
        return {"pattern": pattern, "content": self.text(2)}

    def metaspace(self):
        return {"replacement": self.rng.choice(["▁", "▁", "_", "é"]), "split": self.coin(0.7),
                "prepend_scheme": self.rng.choice(["always", "first", "never"])}

    def pre_tokenizer(self, depth=0):
        kinds = ["BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "ByteLevel", "Metaspace", "Digits", "Split"]
        kind = self.rng.choice(kinds + ["Sequence"] * (depth < 2))
        if kind == "Sequence":
            return self.sequence(kind, "pretokenizers", depth, 3)
        behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
        fields = {
            "Punctuation": lambda: {"behavior": self.rng.choice(behaviors)},
            "ByteLevel": lambda: {"add_prefix_space": self.coin(), "trim_offsets": self.coin(), "use_regex": self.coin(0.8)},
            "Metaspace": self.metaspace,
            "Digits": lambda: {"individual_digits": self.coin()},
            "Split": self.split,
        }
        return {"type": kind} | fields.get(kind, dict)()

    def split(self):
        if self.coin(0.3):
            return {"pattern": {"Regex": GPT2_EXPRESSION}, "behavior": "Isolated", "invert": False}
        return {"pattern": {"String": self.text(2) or "a"}, "invert": self.coin(0.3),
                "behavior": self.rng.choice(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"])}

    def decoder(self, depth=0):
        kinds = ["ByteLevel", "WordPiece", "Metaspace", "BPEDecoder", "ByteFallback", "Fuse", "Strip", "Replace"]
        kind = self.rng.choice(kinds + ["Sequence"] * (4 if depth < 2 else 0))
        if kind == "Sequence":
            return {"type": kind, "decoders": [self.decoder(depth + 1) for _ in range(self.rng.randint(0, 4))]}
        fields = {
            "ByteLevel": lambda: {"add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "WordPiece": lambda: {"prefix": self.rng.choice(["##", "a"]), "cleanup": self.coin()},
            "Metaspace": self.metaspace,
            "BPEDecoder": lambda: {"suffix": self.rng.choice(["</w>", "a"])},
            "Strip": lambda: {"content": self.rng.choice(["a", " ", "é"]), "start": self.rng.randint(0, 3), "stop": 0},
            "Replace": self.replace,
        }
        return {"type": kind} | fields.get(kind, dict)()

    def post_processor(self, depth=0):
        kind = self.rng.choice(["BertProcessing", "RobertaProcessing", "TemplateProcessing"] + ["Sequence"] * (depth < 2))
        if kind == "Sequence":
            return self.sequence(kind, "processors", depth, 1)
        if kind != "TemplateProcessing":
            roberta = {"trim_offsets": True, "add_prefix_space": False} if kind == "RobertaProcessing" else {}
            return {"type": kind, "sep": ["a", 1], "cls": ["b", 2]} | roberta

        def special():
            return [{"SpecialToken": {"id": self.rng.choice("XY"), "type_id": 0}} for _ in range(self.rng.randint(0, 2))]

        first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
        tokens = {"X": {"id": "X", "ids": [1, 2], "tokens": ["a", "b"]}, "Y": {"id": "Y", "ids": [0], "tokens": ["a"]}}
        return {"type": kind, "single": special() + [first] + special(), "pair": [first, second], "special_tokens": tokens}

    def vocabulary(self):
        tokens = {"[UNK]": 0, "a": 1, "b": 2}
        for piece in PIECES:
            for token in (piece, "##" + piece):
                if self.coin(0.8):
                    tokens.setdefault(token, len(tokens))
        for _ in range(20):
            prefix = "##" if self.coin() else ""
            tokens.setdefault(prefix + "".join(self.rng.choices(PIECES, k=self.rng.randint(2, 4))), len(tokens))
        return tokens

    def word_piece(self):
        vocabulary = self.vocabulary()
        return vocabulary, {"type": "WordPiece", "unk_token": "[UNK]",
                            "continuing_subword_prefix": self.rng.choice(["##", "##", "", "é"]),
                            "max_input_chars_per_word": self.rng.choice([100, 5, 0, 20]), "vocab": vocabulary}

    def characters(self):
        """With those of byte-level texts, and perhaps the tokens for bytes."""
        vocabulary = {"[UNK]": 0, "a": 1, "b": 2}
        tokens = PIECES + ["▁", "<0x"] + [c for c in BYTE_CHARACTERS if self.coin(0.5)]
        if self.coin():
            tokens += [f"<0x{byte:02X}>" for byte in range(256) if self.coin(0.95)]
        for token in tokens:
            if self.coin(0.9):
                vocabulary.setdefault(token, len(vocabulary))
        return vocabulary

    def byte_pairs(self):
        prefix, suffix = self.rng.choice(["", "", "##"]), self.rng.choice(["", "", "</w>"])
        vocabulary = self.characters()
        for token in [token for token in vocabulary if token != "[UNK]"]:
            for affixed in (prefix + token, token + suffix, prefix + token + suffix):
                vocabulary.setdefault(affixed, len(vocabulary))
        merges = {}
        for _ in range(self.rng.choice([0, 40, 400])):
            tokens = list(vocabulary)
            left, right = self.rng.choice(tokens), self.rng.choice(tokens)
            if not right.startswith(prefix) or " " in left + right or len(left + right) > 12:
                continue
            vocabulary.setdefault(left + right[len(prefix):], len(vocabulary))
            merges[left, right] = None
        merges = [" ".join(pair) for pair in merges] if self.coin(0.3) else [list(pair) for pair in merges]
        return vocabulary, {"type": "BPE", "dropout": None, "unk_token": self.rng.choice(["[UNK]", None]),
                            "continuing_subword_prefix": self.rng.choice([prefix, prefix or None]),
                            "end_of_word_suffix": suffix or None, "fuse_unk": self.coin(), "byte_fallback": self.coin(),
                            "ignore_merges": self.coin(0.3), "vocab": vocabulary, "merges": merges}

    def unigram(self):
        vocabulary = self.characters()
        for _ in range(60):
            vocabulary.setdefault("".join(self.rng.choices(PIECES + ["▁"], k=self.rng.randint(2, 4))), len(vocabulary))
        coarse = self.coin()
        scores = [float(-self.rng.randint(0, 4)) if coarse else self.rng.uniform(-12, 0) for _ in vocabulary]
        return vocabulary, {"type": "Unigram", "unk_id": self.rng.choice([0, 0, 3]), "byte_fallback": self.coin(),
                            "vocab": [list(pair) for pair in zip(vocabulary, scores)]}

    def tokenizer(self):
        pre_tokenizer = self.pre_tokenizer() if self.coin(0.8) else None
        if pre_tokenizer and asks_for_the_start_late(pre_tokenizer):
            pre_tokenizer = None
        vocabulary, model = self.rng.choice([self.word_piece, self.byte_pairs, self.byte_pairs, self.unigram])()
        added = []
        size = len(vocabulary)
        for content in self.rng.sample(ADDED, self.rng.randint(0, 6)):
            flags = {name: self.coin(0.4) for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
            added.append({"id": vocabulary.get(content, size), "content": content} | flags)
            size += content not in vocabulary
        return {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": self.normalizer() if self.coin(0.7) else None,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": self.post_processor() if self.coin() else None,
            "decoder": self.decoder() if self.coin(0.9) else None, "model": model,
        }


def is_ambiguous(tokenizer, spec):
    """Two added tokens that normalize to the same, where the library's choice changes from run to run, or one of which
    nothing is left, which remuda refuses."""
    patterns = [tokenizer.normalizer.normalize_str(token["content"]) if tokenizer.normalizer else token["content"]
                for token in spec["added_tokens"] if token["normalized"]]
    return len(set(patterns)) < len(patterns) or "" in patterns


def expected_ids(spec, texts):
    """(text, ids) for the texts that the library survives; none where the file isn't one to compare. Its panics derive
    from BaseException and can't be imported."""
    pairs = []
    try:
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(spec))
        if is_ambiguous(tokenizer, spec):
            return []
        for text in texts:
            pairs.append((text, tokenizer.encode(text).ids))
    except KeyboardInterrupt:
        raise
    except BaseException:
        pass
    return pairs


def remuda_ids(binary, spec, texts):
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "tokenizer.json").write_text(json.dumps(spec))
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        output = subprocess.run([binary, "tokenize", "-m", directory, "--jsonl"], input=lines, capture_output=True,
                                text=True, encoding="utf-8")
    if output.returncode != 0:
        sys.exit(f"{binary} failed on {json.dumps(spec)}:\n{output.stderr}")
    return [json.loads(line)["ids"] for line in output.stdout.splitlines()]


def decode_cases(spec, sequences, rng):
    """What transformers decodes, for the id sequences that the library survives."""
    import transformers

    transformers.logging.set_verbosity_error()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer.from_str(json.dumps(spec)))
    cases = []
    for ids in sequences:
        options = {name: rng.random() < 0.5 for name in ("skip_special_tokens", "clean_up_tokenization_spaces")}
        try:
            cases.append({"ids": ids, "text": tokenizer.decode(ids, **options)} | options)
        except KeyboardInterrupt:
            raise
        except BaseException:
            continue
    return {"tokenizer_json": json.dumps(spec), "cases": cases}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/remuda"))
    parser.add_argument("--count", type=int, default=500, help="tokenizers (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--decode", type=pathlib.Path, help="where to write ids and their texts")
    arguments = parser.parse_args()

    generator = Generator(arguments.seed)
    compared = texts_compared = differences = 0
    groups = []
    for _ in range(arguments.count):
        spec = generator.tokenizer()
        pairs = expected_ids(spec, [generator.text(12) for _ in range(TEXTS_EACH)])
        if not pairs:
            continue
        compared += 1
        if arguments.decode:
            limit = len(spec["model"]["vocab"]) + 3
            sequences = [ids for _, ids in pairs if len(ids) > 0]
            sequences += [[generator.rng.randrange(limit) for _ in range(generator.rng.randint(1, 9))] for _ in range(20)]
            groups.append(decode_cases(spec, sequences, generator.rng))
        texts_compared += len(pairs)
        for (text, expected), found in zip(pairs, remuda_ids(arguments.binary, spec, [text for text, _ in pairs]), strict=True):
            if expected != found:
                differences += 1
                print(f"{text!a}\n  remuda       {found}\n  Hugging Face {expected}\n  {json.dumps(spec)}")
    if arguments.decode:
        arguments.decode.write_text(json.dumps({"groups": groups}))
    print(f"{compared} tokenizers of tokenizers {tokenizers.__version__}, {texts_compared} texts, {differences} differ")
    sys.exit(differences > 0 or compared == 0)


main()
