#!/usr/bin/env python3
"""Writes sentencepiece/: small SentencePiece models, and what transformers' AutoTokenizer makes of directories with them.

    pip install -r ../parity/requirements.txt; ./make_sentencepiece_golden.py

  <name>.model  a model; byte pairs or unigram, with other options each
  cases.json    directories (a model under the name that a class reads, and the files beside it), each with texts, their
                ids and the text of these; or nothing, where the class refuses the model
"""
import json
import os
import pathlib
import random
import tempfile

import sentencepiece

OUTPUT = pathlib.Path(__file__).resolve().parent / "sentencepiece"
FAIRSEQ, GOOGLE, COMMON, DEBERTA = "sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "spm.model"

WORDS = ("the of and to in a is that for it as was with be by on not he this are or his from at which but have an had they "
         "you were their one all we can her has there been if more when will would who so no tokens tokenizer hello world "
         "Ünïcode straße 漢字 日本語 にほんご カタカナ русский язык мир привет Ελληνικά العربية हिन्दी ไทย 한국어 1999 2024 "
         "10,000 3.14 foo_bar don't ``quoted'' ﬁne ½ Å é").split()

# Rules of a normalizer of a few lines, instead of NFKC's 240 KB: what is on the left becomes what is on the right.
RULES = {"ﬁ": "fi", "ﬀ": "ff", "½": "1⁄2", "①": "1", "Ａ": "A", "ａ": "a", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ",
         "\r": " ", "\u200b": " ", "e\u0301": "é", "A\u030a": "Å", "\u0001": "", "\ufeff": "", "㌀": "アパート", "…": "..."}

TEXTS = ["", " ", "   ", "a", "Hello world", " hello  world ", "hello\nworld\tx\r\n", "<mask>", "a <mask> b", "a  <mask>  b",
         "<s> x </s>", "<pad><unk>", "[CLS] a [SEP] [MASK]x", "▁", "▁▁x ▁y", "a▁b", "漢字かな交じり文", "Ünïcode é e\u0301 \u0301x A\u030a",
         "русский Ελληνικά العربية עברית हिन्दी ไทย 한국어", "👩‍👩‍👧 🇩🇪 x😀", "\u200b\u200dzero\u200bwidth\ufeff", "\u0378 \U000e0001",
         "ﬁne ﬀ ½ ① Ａ ㌀…", "10,000 3.14 1999", "``quoted'' text", "\u00a0nbsp\u3000ideo\u2003em", "x\u0085y\u2028z\x1cw\x0b",
         "<extra_id_0> and <extra_id_99><extra_id_5>", "en_XX ro_RO af_ZA", "<ctrl>x<ctrl>", "<0x41><0x0A>", "aaaaaaaaaaaa" * 8,
         "\t\n\n x", "foo ▁foo<sep><cls>", "hello,world.foo!bar-baz", "\x00a\x01b", "İıſK", "a <unk_5> <mask_1><mask_2>",
         "newword NEWword xnewwordx", " .", "<s>NOTUSED", "the of and to " * 6]


def train(name, corpus, directory, **options):
    rules = directory / "rules.tsv"
    rules.write_text("".join(f"{' '.join(f'{ord(c):X}' for c in left)}\t{' '.join(f'{ord(c):X}' for c in right)}\n"
                             for left, right in RULES.items()))
    if options.pop("rules", False):
        options["normalization_rule_tsv"] = str(rules)
    else:
        options["normalization_rule_name"] = "identity"
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(OUTPUT / name), minloglevel=2, num_threads=1, hard_vocab_limit=False, **options)
    (OUTPUT / f"{name}.vocab").unlink()


def train_all(directory):
    rng = random.Random(1)
    corpus = directory / "corpus.txt"
    corpus.write_text("".join(" ".join(rng.choice(WORDS) + rng.choice(["", "", "s", "ing", "ed", ",", "."])
                                       for _ in range(rng.randint(3, 15))) + "\n" for _ in range(2000)))
    train("unigram", corpus, directory, vocab_size=320, rules=True)
    train("symbols", corpus, directory, vocab_size=330, rules=True, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
          control_symbols=["[CLS]", "[SEP]", "<ctrl>"], user_defined_symbols=["<mask>", "▁foo", "<sep>", "<cls>"])
    train("t5", corpus, directory, vocab_size=320, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    train("pairs", corpus, directory, vocab_size=340, rules=True, model_type="bpe")
    train("bytes", corpus, directory, vocab_size=620, model_type="bpe", byte_fallback=True, split_digits=True,
          character_coverage=0.98, add_dummy_prefix=False, remove_extra_whitespaces=False,
          user_defined_symbols=["\n", "\n\n", "\t"])


MASK = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False, "single_word": False}


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False} | flags


# A model, the name that it gets, tokenizer_config.json, and files beside it.
def directories():
    for name in ("unigram", "symbols", "t5", "pairs", "bytes"):
        for tokenizer, file in (("XLMRoberta", FAIRSEQ), ("Camembert", FAIRSEQ), ("Barthez", FAIRSEQ), ("MBart", FAIRSEQ),
                                ("MBart50", FAIRSEQ), ("Albert", GOOGLE), ("XLNet", GOOGLE), ("T5", GOOGLE), ("Pegasus", GOOGLE),
                                ("BigBird", GOOGLE), ("DebertaV2", DEBERTA), ("Llama", COMMON), ("Gemma", COMMON)):
            yield name, file, {"tokenizer_class": tokenizer + "Tokenizer"}, {}
        yield name, COMMON, {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True}, {}

    def roberta(config, files=None, name="unigram"):
        return name, FAIRSEQ, {"tokenizer_class": "XLMRobertaTokenizerFast"} | config, files or {}

    yield "unigram", FAIRSEQ, None, {"config": {"model_type": "xlm-roberta"}}
    yield "unigram", FAIRSEQ, None, {"config": {"model_type": "xlm-roberta", "tokenizer_class": "CamembertTokenizer"}}
    yield "unigram", COMMON, {"tokenizer_class": "XLMRobertaTokenizer"}, {}
    yield roberta({"mask_token": MASK})
    yield roberta({"mask_token": None, "add_prefix_space": False})
    yield roberta({"bos_token": "<b>", "eos_token": "<e>", "pad_token": "<p>", "unk_token": "<u>", "mask_token": "[M]"})
    yield roberta({}, {"special_tokens_map": {"mask_token": token("<mask>", lstrip=True), "cls_token": "<cls>",
                                              "additional_special_tokens": ["newword"]}})
    yield roberta({"additional_special_tokens": ["newword"]}, {"added_tokens": {"newword": 401, "<extra>": 402, "<mask>": 321}})
    yield roberta({}, {"added_tokens": {"newword": 401}})
    yield roberta({"added_tokens_decoder": {
        "0": token("<s>", special=True), "1000": token("newword", lstrip=True, rstrip=True, normalized=True, single_word=True),
        "321": token("<mask>", lstrip=True, special=True)}})
    yield roberta({"extra_special_tokens": ["hello"]}, name="symbols")
    yield roberta({"additional_special_tokens": []}, name="symbols")
    yield roberta({"extra_special_tokens": {"image_token": "newword"}, "foo_token": "hello"}, name="symbols")
    yield "unigram", FAIRSEQ, {"tokenizer_class": "BarthezTokenizer", "add_bos_token": True, "add_eos_token": True}, {}
    yield "unigram", FAIRSEQ, {"tokenizer_class": "MBartTokenizer", "src_lang": "ro_RO"}, {}
    yield "unigram", FAIRSEQ, {"tokenizer_class": "MBart50Tokenizer", "src_lang": "af_ZA"}, {}
    yield "unigram", FAIRSEQ, {"tokenizer_class": "MBart50Tokenizer", "src_lang": "xx_YY"}, {}
    yield "symbols", GOOGLE, {"tokenizer_class": "AlbertTokenizer", "do_lower_case": False, "keep_accents": True}, {}
    yield "symbols", GOOGLE, {"tokenizer_class": "AlbertTokenizer", "add_bos_token": True}, {}
    yield "symbols", GOOGLE, {"tokenizer_class": "XLNetTokenizer", "do_lower_case": True, "keep_accents": True}, {}
    yield "t5", GOOGLE, {"tokenizer_class": "T5Tokenizer", "extra_ids": 5, "legacy": True}, {"config": {"model_type": "t5"}}
    yield "t5", GOOGLE, {"tokenizer_class": "T5Tokenizer", "extra_ids": 2,
                         "additional_special_tokens": ["<extra_id_0>", "<extra_id_1>", "newword"]}, {}
    yield "t5", COMMON, {"tokenizer_class": "T5Tokenizer", "add_eos_token": True}, {"config": {"model_type": "umt5"}}
    yield "t5", GOOGLE, {"tokenizer_class": "PegasusTokenizer", "offset": 5, "mask_token_sent": None, "mask_token": "<mask>"}, {}
    yield "unigram", DEBERTA, {"tokenizer_class": "DebertaV2Tokenizer", "split_by_punct": True, "do_lower_case": True,
                               "add_prefix_space": False}, {}
    for legacy in (True, False, None):
        for prefix in (True, False, None):
            yield "bytes", COMMON, {"tokenizer_class": "LlamaTokenizer", "legacy": legacy, "add_prefix_space": prefix,
                                    "add_bos_token": True, "add_eos_token": legacy}, {"config": {"model_type": "llama"}}
    yield "bytes", COMMON, {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}, {"config": {"model_type": "mistral"}}
    yield "bytes", COMMON, {"tokenizer_class": "PreTrainedTokenizerFast",
                            "added_tokens_decoder": {"5": token("newword", special=True)}}, {}


def make_case(name, file, config, files, directory):
    import transformers

    files = dict(files) | ({} if config is None else {"tokenizer_config": config})
    (directory / file).write_bytes((OUTPUT / f"{name}.model").read_bytes())
    for other, content in files.items():
        (directory / f"{other}.json").write_text(json.dumps(content))
    case = {"model": name, "file": file, "files": {f"{other}.json": json.dumps(content) for other, content in files.items()}}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory))
        ids = [tokenizer(text).input_ids for text in TEXTS]
    except Exception:
        return case
    return case | {"ids": ids, "decoded": [tokenizer.decode(one) for one in ids],
                   "skipped": [tokenizer.decode(one, skip_special_tokens=True) for one in ids]}


def main():
    os.environ["HF_HUB_OFFLINE"] = "1"
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        train_all(pathlib.Path(scratch))
    cases = []
    for name, file, config, files in directories():
        with tempfile.TemporaryDirectory() as scratch:
            cases.append(make_case(name, file, config, files, pathlib.Path(scratch)))
    # A line a case: differences can be read.
    lines = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases)
    (OUTPUT / "cases.json").write_text(f'{{"texts": {json.dumps(TEXTS)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
