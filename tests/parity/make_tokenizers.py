#!/usr/bin/env python3
"""Makes tokenizers to compare remuda with Hugging Face on, a directory each with a tokenizer.json:

  gpt2, roberta   GPT-2's own vocabulary, the second with RoBERTa's special tokens around a text
  gpt2_files, roberta_files  the same as vocab.json and merges.txt alone
  xlmr            a unigram model that SentencePiece trains here with nmt_nfkc, whose character map goes with it
  llama           byte-pair encoding of characters with byte fallback, trained by SentencePiece as well

    pip install tokenizers sentencepiece protobuf; scripts/fetch_gpt2_vocabulary.sh
    tests/parity/make_tokenizers.py [--gpt2 build/gpt2_vocabulary] [--output build/tokenizers]
"""
import argparse
import base64
import glob
import gzip
import io
import itertools
import json
import os
import pathlib
import shutil

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def gpt2(directory):
    vocabulary = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    lines = (directory / "merges.txt").read_text(encoding="utf-8").split("\n")[1:]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(line.split(" ")) for line in lines if line]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def roberta(directory):
    tokenizer = gpt2(directory)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")))
    return tokenizer


def real_lines(count):
    def lines():
        for path in sorted(glob.glob("/usr/share/doc/*/*") + glob.glob(str(ROOT / "tests/golden/*.py"))):
            if os.path.isfile(path):
                with (gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")) as file:
                    yield from (line.decode("utf-8", "replace").strip() for line in file)

    return itertools.islice((line for line in lines() if line), count)


def train(kind, size, lines, **options):
    """The SentencePiece model, as its message."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type=kind, vocab_size=size, minloglevel=2,
        hard_vocab_limit=False, num_threads=1, **options)
    message = sentencepiece_model_pb2.ModelProto()
    message.ParseFromString(model.getvalue())
    return message


def xlmr(lines, size):
    model = train("unigram", size, lines, normalization_rule_name="nmt_nfkc", character_coverage=0.9995)
    charsmap = model.normalizer_spec.precompiled_charsmap
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(piece.piece, piece.score) for piece in model.pieces[3:]] + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer


def llama(lines, size):
    model = train("bpe", size, lines, normalization_rule_name="identity", byte_fallback=True, character_coverage=0.999,
                  remove_extra_whitespaces=False)
    vocabulary = {piece.piece: index for index, piece in enumerate(model.pieces)}
    merges = []
    for piece in model.pieces:
        splits = ((piece.piece[:i], piece.piece[i:]) for i in range(1, len(piece.piece)))
        merges += [(vocabulary[piece.piece], pair) for pair in splits if all(part in vocabulary for part in pair)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[pair for _, pair in sorted(merges)], unk_token="<unk>",
                                     fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpt2", type=pathlib.Path, default=ROOT / "build/gpt2_vocabulary")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build/tokenizers")
    parser.add_argument("--lines", type=int, default=20_000, help="of documentation to train on (%(default)s)")
    parser.add_argument("--size", type=int, default=4_000, help="of the trained vocabularies (%(default)s)")
    arguments = parser.parse_args()

    lines = list(real_lines(arguments.lines))
    made = {"gpt2": gpt2(arguments.gpt2), "roberta": roberta(arguments.gpt2), "xlmr": xlmr(lines, arguments.size),
            "llama": llama(lines, arguments.size)}
    for name, tokenizer in made.items():
        (arguments.output / name).mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(arguments.output / name / "tokenizer.json"))
    for name, kind in (("gpt2_files", "GPT2Tokenizer"), ("roberta_files", "RobertaTokenizer")):
        files = arguments.output / name
        files.mkdir(exist_ok=True)
        for file in ("vocab.json", "merges.txt"):
            shutil.copy(arguments.gpt2 / file, files / file)
        (files / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind, "model_max_length": 1024}))


main()
