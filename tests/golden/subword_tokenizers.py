"""Small tokenizers of the kinds that BART, RoBERTa and XLM-R have, trained on the texts they are given; for
make_tokenizer_golden.py."""
import collections
import io
import json
import os
import tempfile
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]


def commonest(tokenizer, texts, count):
    """The characters to keep. The trainer's own choice among equals changes from run to run."""
    normalized = [tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text for text in texts]
    pieces = [piece for text in normalized for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)] \
        if tokenizer.pre_tokenizer else normalized
    counts = collections.Counter(sorted("".join(pieces)))
    return sorted(counts, key=lambda c: (-counts[c], c))[:count]


def trained(tokenizer, texts, characters=None, **options):
    if characters:
        options |= {"initial_alphabet": commonest(tokenizer, texts, characters), "limit_alphabet": characters}
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False, **options)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def byte_level(texts):
    """GPT-2's form."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, texts, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|end|>"])


def roberta(texts):
    """RoBERTa's and BART's form, with a vocabulary that lacks most bytes, so that some are unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = trained(tokenizer, texts, special_tokens=ROBERTA_TOKENS, characters=60)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def word_ends(texts):
    """The first byte-pair encoders: a suffix ends a word."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.Split("e-", "merged_with_next")])
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    # Named as special tokens for the training alone: the trainer numbers what it meets in an order of its own.
    ends = [c + "</w>" for c in commonest(tokenizer, texts, 80)]
    spec = json.loads(trained(tokenizer, texts, special_tokens=["<unk>", *ends], end_of_word_suffix="</w>",
                              characters=80).to_str())
    spec["added_tokens"] = spec["added_tokens"][:1]
    return Tokenizer.from_str(json.dumps(spec))


def byte_fallback(texts):
    """Llama's form."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer = trained(tokenizer, [" ".join(text.split()[:3]) for text in texts],
                        special_tokens=["<unk>", "<s>", "</s>"], characters=50)
    spec = json.loads(tokenizer.to_str())
    for token in bytes_:
        spec["model"]["vocab"].setdefault(token, len(spec["model"]["vocab"]))
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def normalization_rules():
    """Some hundred rules of NFKC, and such as the library's ways with grapheme clusters matter to."""
    rules = {"\t": " ", "\n": " ", "\r": " ", "\u200b": " ", "\u3000": " ", "\xad": "", "\x7f": "", "q": "Q!", "ab": "AB"}
    for first, last in ((0xA0, 0x180), (0x2100, 0x2190), (0x958, 0x960), (0xFB00, 0xFB07), (0xFF01, 0xFF5F)):
        for c in map(chr, range(first, last)):
            composed = unicodedata.normalize("NFKC", c)
            decomposed = unicodedata.normalize("NFD", c)
            if composed != c:
                rules[c] = composed
            elif decomposed != c:
                rules[decomposed] = c
    return rules


def unigram(texts):
    """XLM-R's form."""
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "rules.tsv")
        with open(path, "w", encoding="utf-8") as file:
            for left, right in sorted(normalization_rules().items()):
                file.write("\t".join(" ".join(f"{ord(c):X}" for c in side) for side in (left, right)) + "\n")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, model_type="unigram", vocab_size=600, minloglevel=2,
            hard_vocab_limit=False, num_threads=1, normalization_rule_tsv=path, character_coverage=0.98)
    message = sentencepiece_model_pb2.ModelProto()
    message.ParseFromString(model.getvalue())
    pieces = [(token, 0.0) for token in ROBERTA_TOKENS] + [(p.piece, p.score) for p in message.pieces[3:]]
    tokenizer = Tokenizer(models.Unigram(pieces + [("<mask>", 0.0)], unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(message.normalizer_spec.precompiled_charsmap),
         normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([*ROBERTA_TOKENS, AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer


def nmt(texts):
    """A unigram model as T5 has it: the first piece alone begins with a space, and what is unknown falls to bytes."""
    spec = json.loads(unigram(texts).to_str())
    bytes_ = [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
    spec["model"] |= {"vocab": spec["model"]["vocab"][:200] + bytes_, "byte_fallback": True}
    spec["added_tokens"] = spec["added_tokens"][:4]
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.normalizer = normalizers.Nmt()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    return tokenizer


def make(texts):
    """By name, each as the text of its tokenizer.json."""
    makers = (byte_level, roberta, word_ends, byte_fallback, unigram, nmt)
    return {maker.__name__: maker(texts).to_str() for maker in makers}
