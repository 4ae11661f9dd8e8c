"""Tokenizer files: each class and layout, and each key of them that counts for ids."""
import functools
import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from directories import add, Case
from directories.minilm import MINILM, copy_tokenizer

CORPUS = ["the quick brown fox jumps over the lazy dog", "a new word here and there", "lower and lowest, newer and newest",
          "it's don't I'll we've", "Café déjà vu Ünïcödé", "漢字 かな 한국어", "1,000.50 $ and 3 more", "tabs\tand new\nlines"] * 3


def write(directory, **files):
    """Each by its name with an underscore before the suffix: config_json={...}, vocab_txt="..."."""
    for name, content in files.items():
        stem, suffix = name.rsplit("_", 1)
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (directory / f"{stem}.{suffix}").write_text(text, encoding="utf-8")


@functools.cache
def byte_pairs(mask=True):
    """vocab.json and merges.txt of a small BART."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>"] + ["<mask>"] * mask
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS, trainer)
    return json.loads(tokenizer.to_str())["model"]


def write_byte_pairs(directory, model):
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    write(directory, vocab_json=model["vocab"], merges_txt="#version: 0.2\n" + "\n".join(merges) + "\n")


def bytes_json(model, special=("<s>", "<pad>", "</s>", "<unk>", "<mask>")):
    tokenizer = Tokenizer(models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([token for token in special if token in model["vocab"]])
    if "</s>" in special:
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", model["vocab"]["</s>"]), ("<s>", model["vocab"]["<s>"]))
    return tokenizer.to_str()


@functools.cache
def suffix_pairs():
    """HerBERT's: the end of a word is marked."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
                                  show_progress=False, end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(CORPUS, trainer)
    return json.loads(tokenizer.to_str())["model"]


@functools.cache
def pieces(special):
    """A tokenizer.json with SentencePiece's algorithm, as transformers' conversion writes them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=160, special_tokens=list(special), unk_token="<unk>",
                                      show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer.to_str()


def vocabulary_lines(cls="[CLS]", sep="[SEP]", pad="[PAD]", mask="[MASK]"):
    lines = (MINILM / "vocab.txt").read_text(encoding="utf-8").split("\n")
    names = {"[CLS]": cls, "[SEP]": sep, "[PAD]": pad, "[MASK]": mask}
    return "\n".join(names.get(line, line) for line in lines[:6000])


def tokenize(name, **fields):
    """Decorates a function that writes a directory."""
    return lambda make: add(Case(name=f"tokenizers/{name}", task="tokenize", make=make, **fields))


def minilm_with(name, files=(), **config):
    def make(directory):
        copy_tokenizer(directory, **config)
        write(directory, **dict(files))

    tokenize(f"minilm {name}")(make)


def minilm_lines(name, config, files=(), model=None, lines=None):
    """vocab.txt alone."""

    def make(directory):
        write(directory, config_json=model or {"model_type": "bert"}, vocab_txt=lines() if lines else vocabulary_lines(),
              **({"tokenizer_config_json": config} if config is not None else {}), **dict(files))

    tokenize(f"vocab.txt {name}")(make)


ADDED = {"content": "newword", "lstrip": False, "rstrip": False, "single_word": False, "normalized": True}

minilm_with("cased", do_lower_case=False)
minilm_with("cased, class absent", do_lower_case=False, tokenizer_class=None)
minilm_with("accents", strip_accents=False)
minilm_with("cased and stripped", do_lower_case=False, strip_accents=True)
minilm_with("Chinese together", tokenize_chinese_chars=False)
minilm_with("lower case absent", do_lower_case=None)
minilm_with("PreTrainedTokenizerFast", tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False)
minilm_with("TokenizersBackend", tokenizer_class="TokenizersBackend", do_lower_case=False)
minilm_with("BertTokenizerFast", tokenizer_class="BertTokenizerFast", do_lower_case=False)
minilm_with("DistilBertTokenizer", tokenizer_class="DistilBertTokenizer", do_lower_case=False)
minilm_with("ElectraTokenizerFast", tokenizer_class="ElectraTokenizerFast", do_lower_case=False)
minilm_with("DPRContextEncoderTokenizer", tokenizer_class="DPRContextEncoderTokenizer", do_lower_case=False)
minilm_with("class of nobody", tokenizer_class="NobodysTokenizer", do_lower_case=False)
minilm_with("MPNetTokenizer", tokenizer_class="MPNetTokenizer")
minilm_with("FunnelTokenizer", tokenizer_class="FunnelTokenizer", do_lower_case=False)
minilm_with("add_prefix_space", add_prefix_space=True)
minilm_with("left", truncation_side="left")
minilm_with("no length", model_max_length=-1)
minilm_with("length 0", model_max_length=0)
minilm_with("length 512.0", model_max_length=512.0)
minilm_with("max_len", model_max_length=None, max_len=64)
minilm_with("additional", additional_special_tokens=["newword", "[unused5]"])
minilm_with("extra list", extra_special_tokens=["newword", "here"])
minilm_with("extra dict", extra_special_tokens={"own_token": "newword"})
minilm_with("extra outweighs additional", extra_special_tokens=["newword"], additional_special_tokens=["here"])
minilm_with("own token", image_token="newword")
minilm_with("decoder", added_tokens_decoder={"30522": ADDED, "9": ADDED | {"content": "here", "lstrip": True}})
minilm_with("decoder special", added_tokens_decoder={"30522": ADDED | {"special": True, "normalized": False}})
minilm_with("decoder and map", [("special_tokens_map_json", {"cls_token": "[unused1]"})],
            added_tokens_decoder={"30522": ADDED})
minilm_with("decoder and added tokens", [("added_tokens_json", {"a": 30522})], added_tokens_decoder={"30523": ADDED})
minilm_with("decoder, fast", tokenizer_class="PreTrainedTokenizerFast", added_tokens_decoder={"7": ADDED | {"lstrip": True}})
minilm_with("cls in map", [("special_tokens_map_json", {"cls_token": "[unused1]"})])
minilm_with("cls in config and map", [("special_tokens_map_json", {"cls_token": "[unused1]"})], cls_token="[unused2]")
minilm_with("cls in config", cls_token="[unused2]")
minilm_with("new sep", sep_token="<sep>")
minilm_with("unk", unk_token="[unused7]")
minilm_with("mask with flags in map",
            [("special_tokens_map_json", {"mask_token": {"content": "[MASK]", "lstrip": True, "rstrip": True}})])
minilm_with("additional in map", [("special_tokens_map_json", {"additional_special_tokens": ["newword"]})])
minilm_with("added tokens", [("added_tokens_json", {"newword": 30522})])
minilm_with("added tokens out of order", [("added_tokens_json", {"newword": 40000, "here": 30522, "dog": 3})])
minilm_with("added token that is special", [("added_tokens_json", {"newword": 30522})], additional_special_tokens=["newword"])
minilm_with("split special", split_special_tokens=True)
minilm_with("fast: special tokens of the config", tokenizer_class="PreTrainedTokenizerFast", cls_token="[unused1]",
            mask_token="newword")

minilm_lines("no config", None)
minilm_lines("cased", {"do_lower_case": False})
minilm_lines("added tokens", {}, [("added_tokens_json", {"newword": 30522})])
minilm_lines("map", {}, [("special_tokens_map_json", {"cls_token": "[unused1]", "mask_token": {"content": "[MASK]", "lstrip": True}})])
minilm_lines("decoder", {"added_tokens_decoder": {"9": ADDED}})
minilm_lines("class in config.json", None, model={"model_type": "bert", "tokenizer_class": "MPNetTokenizer"},
             lines=lambda: vocabulary_lines("<s>", "</s>", "<pad>", "<mask>"))
minilm_lines("MPNet", {"tokenizer_class": "MPNetTokenizer"}, model={"model_type": "mpnet"},
             lines=lambda: vocabulary_lines("<s>", "</s>", "<pad>", "<mask>"))
minilm_lines("MPNet by model type", None, model={"model_type": "mpnet"},
             lines=lambda: vocabulary_lines("<s>", "</s>", "<pad>", "<mask>"))
minilm_lines("without mask", {}, lines=lambda: vocabulary_lines(mask="gone"))
minilm_lines("distilbert", None, model={"model_type": "distilbert"})
minilm_lines("electra", {"tokenizer_class": "ElectraTokenizer", "strip_accents": False}, model={"model_type": "electra"})
minilm_lines("extra", {"additional_special_tokens": ["newword"], "do_lower_case": False})


def pairs(name, config, layout, files=(), model=None, mask=True):
    def make(directory):
        vocabulary = byte_pairs(mask)
        write(directory, config_json=model or {"model_type": "bart"}, **dict(files))
        if config is not None:
            write(directory, tokenizer_config_json=config)
        if "files" in layout:
            write_byte_pairs(directory, vocabulary)
        if "json" in layout:
            write(directory, tokenizer_json=bytes_json(vocabulary))

    tokenize(f"byte pairs {name}, {layout}")(make)


MASK = {"content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
for LAYOUT in ("files", "json", "files and json"):
    pairs("by model type", None, LAYOUT)
    pairs("BartTokenizer", {"tokenizer_class": "BartTokenizer"}, LAYOUT)
    pairs("prefix space", {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}, LAYOUT)
    pairs("fast", {"tokenizer_class": "RobertaTokenizerFast", "mask_token": MASK | {"__type": "AddedToken"}}, LAYOUT)
    pairs("mask in map", {}, LAYOUT, [("special_tokens_map_json", {"mask_token": MASK})])
    pairs("no mask", {}, LAYOUT, mask=False)
    pairs("no mask, in map", {}, LAYOUT, [("special_tokens_map_json", {"mask_token": MASK})], mask=False)
    pairs("roberta", None, LAYOUT, model={"model_type": "roberta"})
    pairs("longformer", {"tokenizer_class": "LongformerTokenizer"}, LAYOUT, model={"model_type": "longformer"})
    pairs("gpt2", {"tokenizer_class": "GPT2Tokenizer", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}, LAYOUT)
    pairs("gpt2 with bos", {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "bos_token": "<s>"}, LAYOUT)
    pairs("blenderbot", None, LAYOUT, model={"model_type": "blenderbot"})
    pairs("other ends", {"cls_token": "<unk>", "sep_token": "<pad>"}, LAYOUT)
    pairs("added tokens", {}, LAYOUT, [("added_tokens_json", {"newword": 405, " x": 404})])
    pairs("decoder", {"added_tokens_decoder": {"4": MASK | {"special": True}, "400": ADDED}}, LAYOUT)
pairs("PreTrainedTokenizerFast", {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True}, "json")
pairs("deberta", {"tokenizer_class": "DebertaTokenizer"}, "json", model={"model_type": "deberta"})


def herbert(name, config, layout):
    def make(directory):
        write(directory, config_json={"model_type": "bert", "tokenizer_class": "HerbertTokenizer"}, tokenizer_config_json=config)
        if layout == "files":
            write_byte_pairs(directory, suffix_pairs())
        else:
            model = suffix_pairs()
            tokenizer = Tokenizer(models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]],
                                             unk_token="<unk>", end_of_word_suffix="</w>"))
            write(directory, tokenizer_json=tokenizer.to_str())

    tokenize(f"herbert {name}, {layout}")(make)


herbert("plain", {"tokenizer_class": "HerbertTokenizer"}, "files")
herbert("plain", {"tokenizer_class": "HerbertTokenizerFast"}, "json")
herbert("by config.json", {}, "files")

ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
SPECIAL = {"XLMRobertaTokenizer": ROBERTA, "CamembertTokenizer": ROBERTA, "AlbertTokenizer": ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
           "T5Tokenizer": ("<pad>", "</s>", "<unk>"), "XLNetTokenizer": ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"),
           "BigBirdTokenizer": ("<unk>", "<s>", "</s>", "<pad>", "[SEP]", "[MASK]", "[CLS]"),
           "PreTrainedTokenizerFast": ROBERTA}


def unigram(name, cls, model_type="bert", **config):
    def make(directory):
        write(directory, config_json={"model_type": model_type}, tokenizer_config_json={"tokenizer_class": cls} | config,
              tokenizer_json=pieces(SPECIAL[cls.removesuffix("Fast") if cls not in SPECIAL else cls]))

    tokenize(f"pieces {cls} {name}")(make)


for CLASS in SPECIAL:
    unigram("plain", CLASS)
    unigram("no prefix space", CLASS, add_prefix_space=False)
    unigram("lower case", CLASS, do_lower_case=True, keep_accents=True)
    unigram("extra", CLASS, additional_special_tokens=["newword"])
    unigram("mask", CLASS, mask_token=MASK | {"__type": "AddedToken"})
unigram("by model type", "XLMRobertaTokenizerFast", "xlm-roberta")


def refused(name, reason, config, model=None):
    def make(directory):
        copy_tokenizer(directory, **config)
        if model:
            write(directory, config_json=model)

    tokenize(name, refused=reason)(make)


refused("Python's alone", "BertweetTokenizer", {"tokenizer_class": "BertweetTokenizer"})


@tokenize("class without its files", refused="vocab.json and merges.txt")
def without_files(directory):
    write(directory, config_json={"model_type": "roberta"}, vocab_txt=vocabulary_lines())


@tokenize("tokenizer.json needed", refused="tokenizer.json")
def json_needed(directory):
    write(directory, config_json={"model_type": "bert"}, vocab_txt=vocabulary_lines(),
          tokenizer_config_json={"tokenizer_class": "PreTrainedTokenizerFast"})


@tokenize("direction of tokenizer.json")
def direction(directory):
    copy_tokenizer(directory)
    root = json.loads((directory / "tokenizer.json").read_text())
    root["truncation"] = {"direction": "Left", "max_length": 128, "strategy": "LongestFirst", "stride": 0}
    write(directory, tokenizer_json=root)


def japanese_vocabulary():
    """cl-tohoku's in small: words, their pieces, and characters."""
    words = ["日本", "日", "本", "##本", "語", "##語", "の", "は", "馬", "##は", "カ", "##フ", "ェ", "Cafe", "##s", "café", "σας", "σασ", "(",
             ")", "。", "、", "!", "ー", "a", "b", "c", "A", "が", "は\u3099", "1", "２", "2", "ﾊ", "ハ", "ﾞ", "バ", "word ", "\u3000", "is"]
    return "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n"


JAPANESE = ["日本語の馬は。", "カフェ、Cafes!", "café Cafe\u0301 CAFÉ", "ＡＢＣ　ａ　ﾊﾞ ﾊ １２", "が は\u3099 が", "¨ ½ ㍻ ﬁ", "ΣΑΣ ΣΑΣ. ΟΔΟΣ, Σ aΣ'", "a\x1fb\x1cc a\x85b a\u2028b",
            "[SEP] 日本[MASK]語 [mask]", "word is word", "", " \t\n", "日本語\u200b日本", "newword 日本newword"]


def japanese(name, files=(), **config):
    def make(directory):
        write(directory, config_json={"model_type": "bert"}, vocab_txt=japanese_vocabulary(),
              tokenizer_config_json={"tokenizer_class": "BertJapaneseTokenizer", "do_lower_case": False} | config,
              **dict(files))

    tokenize(f"BertJapanese {name}", texts=JAPANESE)(make)


japanese("default")
japanese("character", subword_tokenizer_type="character")
japanese("character, model_type", word_tokenizer_type="basic", subword_tokenizer_type="character", model_max_length=8)
japanese("lower", do_lower_case=True)
japanese("lower, character", do_lower_case=True, subword_tokenizer_type="character")
japanese("no words", do_word_tokenize=False)
japanese("no words, character", do_word_tokenize=False, subword_tokenizer_type="character")
japanese("never_split null", never_split=None, mecab_kwargs=None)
japanese("added", added_tokens_decoder={"45": ADDED}, subword_tokenizer_type="character")
japanese("extra", additional_special_tokens=["newword"], do_lower_case=True)
japanese("beside tokenizer.json", [("tokenizer_json", bytes_json(byte_pairs()))])
