"""SentencePiece files alone, under the name that each tokenizer class reads, and what may lie beside them.

The models are trained here, with the options that people train with; nothing is downloaded.
"""
import functools
import json
import pathlib
import random
import tempfile

import texts
from directories import Case, add

FAIRSEQ, GOOGLE, COMMON, DEBERTA = "sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "spm.model"

CLASSES = {"XLMRoberta": FAIRSEQ, "Camembert": FAIRSEQ, "Barthez": FAIRSEQ, "MBart": FAIRSEQ, "MBart50": FAIRSEQ,
           "Albert": GOOGLE, "XLNet": GOOGLE, "T5": GOOGLE, "Pegasus": GOOGLE, "BigBird": GOOGLE, "DebertaV2": DEBERTA,
           "Llama": COMMON, "Gemma": COMMON}

# Which classes refuse a model here and in transformers: they want tokens in it, or another kind of it.
REFUSED = {"Albert": {"nfkc", "folded", "identity", "t5", "bytes", "pairs", "pair bytes", "char", "word", "suffix", "pegasus"},
           "Camembert": {"pairs", "pair bytes", "gemma", "char", "word"},
           "Barthez": {"pairs", "pair bytes", "gemma", "char", "word"}}

T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
MODELS = {
    "nfkc": {"vocab_size": 500},
    "folded": {"vocab_size": 400, "normalization_rule_name": "nmt_nfkc_cf", "character_coverage": 0.98},
    "identity": {"vocab_size": 400, "normalization_rule_name": "identity", "add_dummy_prefix": False},
    "symbols": {"vocab_size": 500, "control_symbols": ["<ctrl>", "<pad>"],
                "user_defined_symbols": ["<mask>", "[CLS]", "[SEP]", "[MASK]", "▁foo", "<sep>", "<cls>"]},
    "bytes": {"vocab_size": 700, "byte_fallback": True, "split_digits": True, "character_coverage": 0.985},
    "t5": {"vocab_size": 500} | T5,
    "suffix": {"vocab_size": 400, "treat_whitespace_as_suffix": True},
    "char": {"vocab_size": 200, "model_type": "char"},
    "word": {"vocab_size": 200, "model_type": "word"},
    "pairs": {"vocab_size": 500, "model_type": "bpe"},
    "reported pairs": {"vocab_size": 600, "model_type": "bpe", "character_coverage": 0.9995} | T5,
    "pair bytes": {"vocab_size": 800, "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
                   "split_digits": True, "add_dummy_prefix": False, "remove_extra_whitespaces": False},
    "gemma": {"vocab_size": 900, "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "pad_id": 0,
              "eos_id": 1, "bos_id": 2, "unk_id": 3, "eos_piece": "<eos>", "bos_piece": "<bos>", "add_dummy_prefix": False,
              "user_defined_symbols": ["<mask>", "\t", "\n", "\n\n", "[CLS]", "[SEP]"], "remove_extra_whitespaces": False},
}

WORDS = ("the of and to in a is that for it as was with be by on not he this are or his from at which but have an had they "
         "you were their one all we can her has there been if more when will would who so no tokens tokenizer 1999 2024 10,000 "
         "3.14 hello,world foo_bar x=y <mask> don't ``quoted'' ﬁne ﬀ ½ ① Å é").split()

TEXTS = ("", " ", "   ", "Hello world", " hello  world ", "hello\nworld\tx\r\n", "a  <mask>  b", "<s> x </s><pad><unk>",
         "[CLS] a [SEP] [MASK]x", "▁", "▁▁x ▁y", "a▁b", "Ünïcode é e\u0301 \u0301x A\u030a", "👩‍👩‍👧 🇩🇪 x😀", "\u200b\u200dzero\u200bwidth\ufeff",
         "\u0378 unassigned \U000e0001", "ﬁne ﬀ ½ ① Ａ ㌀…", "10,000 3.14 1999", "``quoted'' text", "\u00a0nbsp\u3000ideo\u2003em",
         "x\u0085y\u2028z\x1cw\x0b", "<extra_id_0> and <extra_id_99><extra_id_5>", "en_XX ro_RO af_ZA", "<ctrl>x<ctrl>",
         "<0x41><0x0A>", "a" * 300, "\t\n\n x", "foo ▁foo<sep><cls>", "\x00a\x01b", "İıſK", "a <unk_5> <mask_1><mask_2>",
         "newword NEWword xnewwordx", " .", "<s>NOTUSED <unk>NOTUSED", *texts.MULTILINGUAL, *texts.NASTY)


@functools.cache
def trained(name):
    """The model's bytes."""
    import sentencepiece

    rng = random.Random(name)
    words = WORDS + [word for text in texts.MULTILINGUAL for word in text.split()[:12]]
    with tempfile.TemporaryDirectory() as scratch:
        corpus = pathlib.Path(scratch) / "corpus.txt"
        corpus.write_text("".join(" ".join(rng.choice(words) + rng.choice(["", "", "s", "ing", "ed", ",", "."])
                                           for _ in range(rng.randint(3, 15))) + "\n" for _ in range(3000)))
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=f"{scratch}/m", minloglevel=2, num_threads=1, hard_vocab_limit=False,
            **MODELS[name])
        return (pathlib.Path(scratch) / "m.model").read_bytes()


def directory_of(name, *, model="nfkc", file, config=None, refused=None, short=True, **files):
    """Adds a case: a model under a name, tokenizer_config.json, and other files."""

    def make(directory):
        (directory / file).write_bytes(trained(model))
        for other, content in (files | ({} if config is None else {"tokenizer_config": config})).items():
            (directory / f"{other}.json").write_text(json.dumps(content))

    add(Case(name=f"sentencepiece/{name}", task="tokenize", make=make, texts=TEXTS, refused=refused, short=short))


for model in [name for name in MODELS if name != "reported pairs"]:
    for tokenizer, file in CLASSES.items():
        if tokenizer == "Pegasus" and model not in ("t5", "pairs"):
            continue  # Wants an unknown token after the second place.
        refused = model in REFUSED.get(tokenizer, ())
        if tokenizer == "Pegasus" and model == "pairs":
            refused = True
        directory_of(f"{tokenizer} of {model}", model=model, file=file, config={"tokenizer_class": f"{tokenizer}Tokenizer"},
                     refused="expected" if refused else None, short=model in ("nfkc", "symbols", "pair bytes", "t5"))
    directory_of(f"no class of {model}", model=model, file=COMMON, short=False,
                 config={"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True})


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False} | flags


def roberta(name, config, model="nfkc", **files):
    directory_of(f"XLMRoberta, {name}", model=model, file=FAIRSEQ, config={"tokenizer_class": "XLMRobertaTokenizer"} | config,
                 **files)


roberta("mask_token with lstrip", {"mask_token": {"__type": "AddedToken"} | token("<mask>", lstrip=True, normalized=True)})
roberta("mask_token null", {"mask_token": None})
roberta("add_prefix_space false", {"add_prefix_space": False})
roberta("clean_up_tokenization_spaces", {"clean_up_tokenization_spaces": True})
roberta("every special token", {"bos_token": "<b>", "eos_token": "<e>", "pad_token": "<p>", "unk_token": "<u>", "mask_token": "[M]"})
roberta("special_tokens_map.json", {}, special_tokens_map={"mask_token": token("<mask>", lstrip=True), "cls_token": "<cls>"})
roberta("added_tokens.json", {}, added_tokens={"newword": 401, "<extra>": 402})
roberta("added_tokens.json and special ones", {"additional_special_tokens": ["newword"]},
        added_tokens={"newword": 401, "<extra>": 402, "<mask>": 400})
roberta("added_tokens_decoder", {"added_tokens_decoder": {
    "0": token("<s>", special=True), "400": token("<mask>", lstrip=True, special=True),
    "1000": token("newword", lstrip=True, normalized=True, rstrip=True, single_word=True)}})
roberta("extra_special_tokens", {"extra_special_tokens": ["hello"]}, model="symbols")
roberta("extra_special_tokens by name", {"extra_special_tokens": {"image_token": "newword"}, "foo_token": "hello"}, model="symbols")
roberta("additional_special_tokens of none", {"additional_special_tokens": []}, model="symbols")
directory_of("Barthez with bos and eos", file=FAIRSEQ,
             config={"tokenizer_class": "BarthezTokenizer", "add_bos_token": True, "add_eos_token": True})
directory_of("MBart from Romanian", file=FAIRSEQ, config={"tokenizer_class": "MBartTokenizer", "src_lang": "ro_RO"})
directory_of("MBart50 from Afrikaans", file=FAIRSEQ, config={"tokenizer_class": "MBart50Tokenizer", "src_lang": "af_ZA"})
directory_of("Albert cased", model="symbols", file=GOOGLE,
             config={"tokenizer_class": "AlbertTokenizer", "do_lower_case": False, "keep_accents": True, "remove_space": True})
directory_of("XLNet lower", model="symbols", file=GOOGLE, config={"tokenizer_class": "XLNetTokenizer", "do_lower_case": True})
directory_of("T5 with few extra_ids", model="t5", file=GOOGLE, config={"tokenizer_class": "T5Tokenizer", "extra_ids": 5})
directory_of("T5 legacy", model="t5", file=GOOGLE,
             config={"tokenizer_class": "T5Tokenizer", "legacy": True, "extra_ids": 100,
                     "additional_special_tokens": [f"<extra_id_{i}>" for i in range(100)]})
directory_of("Pegasus with another offset", model="t5", file=GOOGLE,
             config={"tokenizer_class": "PegasusTokenizer", "offset": 5, "mask_token": "<mask_2>", "mask_token_sent": "<mask_1>"})
directory_of("DebertaV2 split by punctuation", model="identity", file=DEBERTA,
             config={"tokenizer_class": "DebertaV2Tokenizer", "split_by_punct": True, "do_lower_case": True})
for legacy in (True, False, None):
    for prefix in (True, False, None):
        directory_of(f"Llama, legacy {legacy}, add_prefix_space {prefix}", model="pair bytes", file=COMMON,
                     config={"tokenizer_class": "LlamaTokenizer", "legacy": legacy, "add_prefix_space": prefix,
                             "add_bos_token": True, "add_eos_token": legacy})
directory_of("an unknown class", file=FAIRSEQ, config={"tokenizer_class": "MyOwnTokenizer"},
             refused="the tokenizer's class is MyOwnTokenizer")
for kind, file, model in (("xlm-roberta", FAIRSEQ, "nfkc"), ("camembert", FAIRSEQ, "nfkc"), ("mbart", FAIRSEQ, "nfkc"),
                          ("mt5", GOOGLE, "t5"), ("yoso", GOOGLE, "symbols"), ("llama", COMMON, "pair bytes"),
                          ("umt5", COMMON, "t5")):
    def make_typed(directory, kind=kind, file=file, model=model):
        (directory / file).write_bytes(trained(model))
        (directory / "config.json").write_text(json.dumps({"model_type": kind}))

    add(Case(name=f"sentencepiece/by the model's type, {kind}", task="tokenize", make=make_typed, texts=TEXTS))


# What people have reported of the reference's conversions, as cases; the numbers are those of huggingface/transformers.
REPORTED = ("Hi there     I'm good\n", "Hi there \n  \t   I'm good", "<extra_id_0>. Hello", "<extra_id_0>.Hello", "<s>A", "<s> A",
            "<s>  A</s> B", "Hello <unk>world", "Hello<unk> world", "Hello <unk> world", "Hello<unk>world", "1-${phone.number}",
            "Paris is the <mask>.", "Paris is the<mask> .", "안녕 newtok세계 newtok", "<|im_start|>user\n<image>\nWhat?<|im_end|>")


def reported(number, what, model, file, tokenizer, config=None, **files):
    def make(directory):
        (directory / file).write_bytes(trained(model))
        contents = files | {"tokenizer_config": {"tokenizer_class": f"{tokenizer}Tokenizer"} | (config or {})}
        for other, content in contents.items():
            (directory / f"{other}.json").write_text(json.dumps(content))

    add(Case(name=f"sentencepiece/{number}, {what}", task="tokenize", make=make, texts=REPORTED + TEXTS))


reported(2508, "the mask comes last", "nfkc", FAIRSEQ, "XLMRoberta")
reported(6150, "white space of a T5", "t5", GOOGLE, "T5")
reported(11358, "ALBERT with a model of one's own", "symbols", GOOGLE, "Albert", {"keep_accents": True, "do_lower_case": False})
reported(13182, "text around the unknown token", "t5", GOOGLE, "T5", {"extra_ids": 100})
reported(19395, "byte pairs as XLM-RoBERTa, ids as T5 has them", "reported pairs", FAIRSEQ, "XLMRoberta")
reported(24565, "punctuation after a sentinel, not legacy", "t5", GOOGLE, "T5", {"legacy": False})
reported(26101, "tokens that aren't Latin added to a T5", "t5", GOOGLE, "T5", added_tokens={"안녕": 600, "세계": 601})
reported(26543, "text after an added token", "t5", GOOGLE, "T5", {"additional_special_tokens": ["newtok"]}, added_tokens={"newtok": 600})
reported(29774, "tokens of chats added to a Llama", "pair bytes", COMMON, "Llama", {"legacy": False, "added_tokens_decoder": {
    "1": token("<s>", special=True), "900": token("<image>", special=True), "901": token("<|im_start|>", normalized=True),
    "902": token("<|im_end|>", rstrip=True)}})
reported(30947, "bos and eos", "pair bytes", COMMON, "Llama", {"add_bos_token": True, "add_eos_token": True})
reported(31513, "spaces around special tokens", "pair bytes", COMMON, "Llama", {"legacy": True, "add_bos_token": True})
reported(25316, "a model without a class", "nfkc", COMMON, "PreTrained", {"tokenizer_class": "PreTrainedTokenizerFast"})
