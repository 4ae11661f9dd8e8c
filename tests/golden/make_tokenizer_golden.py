#!/usr/bin/env python3
"""Writes tokenizer/: what the Hugging Face `tokenizers` library makes of many texts, for the tests of src/text.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf; ./make_tokenizer_golden.py --model DIR-OF-all-MiniLM-L6-v2

  <name>.tokenizer.json  small tokenizers, each with other components
  decode.json            ids with their texts, for these and for random decoders
  cases.json             texts with their ids by these and by the model's own tokenizer ("minilm")
  code_points.json       for each normalizer and pre-tokenizer, checksums over all code points
  malformed.json         bytes that are not UTF-8, and the text they are read as
"""
import argparse
import base64
import json
import pathlib
import random
import zlib

import tokenizers
from tokenizers import Tokenizer

import subword_tokenizers

OUTPUT = pathlib.Path(__file__).resolve().parent / "tokenizer"

REAL = [
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
    "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İSTANBUL, IĞDIR",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι. ΟΔΥΣΣΕΥΣ",
    "Все люди рождаются свободными и равными в своём достоинстве и правах. Ёж, Йод",
    "Բոլոր մարդիկ ծնվում են ազատ ու հավասար։",
    "ყველა ადამიანი იბადება თავისუფალი. ᲗᲑᲘᲚᲘᲡᲘ",
    "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. בְּרֵאשִׁית",
    "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "سب انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।",
    "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা নিয়ে জন্মগ্রহণ করে। কো",
    "பிறப்பிலேயே மனிதர்கள் அனைவரும் சுதந்திரமாகவே பிறக்கின்றனர். கொ",
    "మానవులందరు స్వతంత్రముగానే జన్మించినారు.",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน",
    "ມະນຸດເກີດມາມີສິດເສລີພາບ",
    "လူတိုင်းသည် တူညီလွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့်",
    "មនុស្សទាំងអស់កើតមកមានសេរីភាព",
    "བོད་སྐད་ཡིག་གི་མི་རྣམས།",
    "人人生而自由,在尊严和权利上一律平等。",
    "すべての人間は、生まれながらにして自由であり、ガギグゲゴ、パピプ。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "ሰዎች ሁሉ ነጻና በክብር እኩል ሆነው ይወለዳሉ።",
    "ᎠᏂᏴᏫ Ꭰꮒꮿꭻ ꭰꮒᏼꮻ",
    "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ",
    "def f(x): return {'a': x[0] ** 2, \"b\": x->y != None}  # 3.14159e-10 https://example.org/a?b=c&d=%20",
]

NASTY = [
    "", " ", "   ", "\t\n\r", "\0", "a\0b", "\x01\x02a\x1fb\x7f", "\x0b\x0c", "\x85", "\x80\x9f", "a\u00a0b", "a\u2028b\u2029c",
    "a\u200bb", "a\u200db", "\ufeffabc", "a\u00adb", "\u061c\u202e\u2066", "\ufffd", "\ufffe\uffff", "\U0001fffe\U0010ffff",
    "\ue000", "\U000f0000", "\U000e0041\U000e007f", "\u0378", "\u1c89\ua7cb\ua7dc\U00010d50", "\U00016ea0", "\U0001e900\U0001e943",
    "[SEP]", "[sep]", " [SEP] ", "[MASK]", " [MASK] ", "a[MASK]b", "[CLS][SEP][PAD][UNK]", "[[SEP]]", "[SEP", "SEP]", "[UNK] [unk]",
    "[\u0301SEP]", "[S\u0301EP]", "[\0SEP]", "[SEP]\u0301", "##a", "##", "#", "a##b", "ab", "aaab", "unaffable",
    "a" * 99, "a" * 100, "a" * 101, "é" * 100, "é" * 101, "中" * 101, "e\u0301" * 100, "e\u0301" * 101, "\0" * 100 + "a" * 100,
    "한" * 33, "한" * 34, "x" * 100 + "." + "y" * 101, "𝒳" * 100, "𝒳" * 101,
    "e\u0301", "\u0301", "\u0301e", "a\u0327\u0301", "a\u0301\u0327", "a\u0345\u0334\u0301", "\u302e\u302f\u0301a\u302f", "a\u302f\u0334\u302e",
    "a\u302f\0\u302e", "\U0001d15e\U0001d165\U0001d16d", "\U00016ff0\u302f", "\u0f73\u0f71\u0f72\u0f80", "\u0344", "\u1e9b\u0323", "\u0958",
    "Z" + "\u0351\u0324\u0489\u033e" * 20 + "algo", "\u0130", "i\u0307", "\u0131", "\u017f", "\u212a\u212b\u2126", "ΑΣ ΑΣΑ Σ", "ẞß", "Ǆǅǆ",
    "ﬁﬃﬅ", "Ⅷⅷ①½", "ａｂｃＡＢＣ！", "𝒜𝔅ℂ", "㍿㌀", "ﷺ", "\uf900\ufa0e\U0002f800", "\U0002b81f\U0002b820\U0002b920\U0002ceaf\U0002ceb0", "\u3400\u4dbf\u4dc0\u9fff\ua000",
    "가각힣", "\u1100\u1161\u11a8", "\u1100\u1161\u11a7", "\uac00\u11a8", "\u1113\u1161", "👨‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️ 1️⃣", "a!b¡c¿d·e…f—g“h”i„j‟k«l»", "$+<=>^`|~", "€£¥₿", "_a_b__",
    "\u2010\u2011\u30fb\u3001\u3002\ufe0f\uff0e\u0964\u060c\u061f\u05be\u104a\u17d4\u1361\u2e3a\u2e5d\U00010100\U0001e95e\U00011f43",
    "\U00011935\U00011930", "\U00011938", "\u0b48\u0bca\u0dda\u0cca", "don't can't I'll", "3.14 1,000 50%", "<m>", "<M> <m>", "x<m>y", " <m> ", "_<m>", "<m><m>",
]


def bert_normalizer(clean, chinese, accents, lowercase):
    return {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents,
            "lowercase": lowercase}


def template(before, after):
    def special(names):
        return [{"SpecialToken": {"id": name, "type_id": 0}} for name in names]

    sequence = [{"Sequence": {"id": "A", "type_id": 0}}]
    pair = sequence + [{"Sequence": {"id": "B", "type_id": 1}}]
    tokens = {name: {"id": name, "ids": [SPECIAL.index(name)], "tokens": [name]} for name in before + after}
    return {"type": "TemplateProcessing", "single": special(before) + sequence + special(after), "pair": pair,
            "special_tokens": tokens}


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SEQUENCE_OF_FORMS = {"type": "Sequence", "normalizers": [
    {"type": "NFKC"}, {"type": "Replace", "pattern": {"String": "``"}, "content": "\""}, {"type": "Lowercase"},
    {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Strip", "strip_left": True, "strip_right": False}]}
BERT_PROCESSING = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
ROBERTA_PROCESSING = {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": True,
                      "add_prefix_space": False}

# name: normalizer, pre-tokenizer, post-processor, flags of the added tokens [MASK] and <m>.
TOKENIZERS = {
    "bert_uncased": (bert_normalizer(True, True, None, True), {"type": "BertPreTokenizer"},
                     template(["[CLS]"], ["[SEP]"]), {"normalized": True}),
    "bert_cased": (bert_normalizer(True, True, None, False), {"type": "BertPreTokenizer"}, BERT_PROCESSING,
                   {"lstrip": True}),
    "bert_lower_accents": (bert_normalizer(False, False, False, True), {"type": "BertPreTokenizer"},
                           ROBERTA_PROCESSING, {"rstrip": True, "single_word": True}),
    "forms": (SEQUENCE_OF_FORMS, {"type": "Whitespace"}, template([], ["[SEP]", "[SEP]"]),
              {"normalized": True, "lstrip": True, "rstrip": True}),
    "composed": ({"type": "NFC"}, {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "MergedWithPrevious"}]},
                 {"type": "Sequence", "processors": [BERT_PROCESSING]}, {"single_word": True}),
    "bare": (None, None, None, {}),
}


def make_tokenizer(normalizer, pre_tokenizer, post_processor, flags):
    """A vocabulary of the characters of the texts, and of some parts of their words."""
    vocabulary = {token: index for index, token in enumerate(SPECIAL)}
    rng = random.Random(1)
    characters = sorted({c for text in REAL[:20:3] + NASTY for c in text if not c.isspace()})
    parts = [word[:rng.randint(2, 4)] for text in REAL[:9] for word in text.lower().split()]
    for token in characters[::2] + list("abcdefghijklmnopqrstuvwxyz") + parts:
        vocabulary.setdefault(token, len(vocabulary))
        if rng.random() < 0.7:
            vocabulary.setdefault("##" + token, len(vocabulary))
    added = []
    for token in SPECIAL + ["<m>"]:
        entry = {"id": vocabulary.get(token, len(vocabulary)), "content": token, "single_word": False, "lstrip": False,
                 "rstrip": False, "normalized": False, "special": token != "<m>"}
        added.append(entry | (flags if token in ("[MASK]", "<m>") else {}))
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": None,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": vocabulary}}


def random_texts(count):
    rng = random.Random(2)
    pieces = NASTY + [word for text in REAL for word in text.split()]
    ranges = [(0x20, 0x7F), (0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x900, 0xE00), (0x1E00, 0x2070), (0, 0xD800),
              (0xE000, 0x110000)]
    texts = []
    for _ in range(count):
        text = ""
        for _ in range(rng.randint(1, 6)):
            if rng.random() < 0.4:
                text += rng.choice(pieces)[:20] + rng.choice(["", " "])
            else:
                text += "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randint(1, 4)))
        texts.append("".join(c for c in text if not 0xD800 <= ord(c) < 0xE000))
    return texts


def encode(tokenizer, text, special, max_length):
    tokenizer.no_truncation()
    total = len(tokenizer.encode(text, add_special_tokens=special).ids)
    if max_length is not None:
        tokenizer.enable_truncation(max_length)
    return tokenizer.encode(text, add_special_tokens=special).ids, total


def make_cases(loaded):
    cases = []
    for name, tokenizer in loaded.items():
        texts = REAL + NASTY + random_texts(300 if name == "minilm" else 60)
        for number, text in enumerate(texts):
            special = number % 5 != 4
            max_length = [None, None, None, 2, 7][number % 5] if number >= 10 else None
            ids, total = encode(tokenizer, text, special, max_length)
            cases.append({"tokenizer": name, "text": text, "add_special_tokens": special, "max_length": max_length,
                          "ids": ids, "total": total})
    return cases


NORMALIZERS = {
    "bert_uncased": bert_normalizer(True, True, None, True),
    "bert_cased": bert_normalizer(True, True, None, False),
    "bert_clean": bert_normalizer(True, False, False, False),
    "bert_chinese": bert_normalizer(False, True, False, False),
    "bert_accents": bert_normalizer(False, False, True, False),
    "bert_lowercase": bert_normalizer(False, False, False, True),
    "nfc": {"type": "NFC"}, "nfd": {"type": "NFD"}, "nfkc": {"type": "NFKC"}, "nfkd": {"type": "NFKD"},
    "lowercase": {"type": "Lowercase"}, "strip_accents": {"type": "StripAccents"}, "nmt": {"type": "Nmt"},
}
PRE_TOKENIZERS = {"bert": {"type": "BertPreTokenizer"}, "digits": {"type": "Digits", "individual_digits": False},
                  "byte_level": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                  "metaspace": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
                  "whitespace": {"type": "Whitespace"},
                  "whitespace_split": {"type": "WhitespaceSplit"}} | {
    f"punctuation_{behavior}": {"type": "Punctuation", "behavior": behavior}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")}
BLOCK = 0x1000


def block_text(first):
    """Every code point of a block alone, between letters, and among marks that have to be sorted and composed."""
    points = (chr(c) for c in range(first, first + BLOCK) if not 0xD800 <= c < 0xE000)
    return "".join(f"|{c}|a{c}b|e{c}\u0327\u0301{c}|\u1100{c}\u11a8" for c in points)


def make_decode_cases(loaded):
    """What real texts' ids, parts of them, and random ids decode to."""
    rng = random.Random(4)
    cases = []
    for name, tokenizer in loaded.items():
        sequences = [tokenizer.encode(text).ids for text in REAL[::3] + NASTY[::2]]
        sequences += [ids[rng.randrange(len(ids)):] for ids in sequences[:8] if ids]
        sequences += [[rng.randrange(tokenizer.get_vocab_size() + 3) for _ in range(rng.randint(0, 12))] for _ in range(30)]
        for number, ids in enumerate(sequences):
            skip = number % 2 == 1
            text = tokenizer.decode(ids, skip_special_tokens=skip)
            cases.append({"tokenizer": name, "ids": ids, "skip_special_tokens": skip, "text": text})
    return cases


def make_code_points():
    base = make_tokenizer(None, None, None, {})
    blocks = [block_text(first) for first in range(0, 0x110000, BLOCK)]

    def checksums(part, spec, function):
        tokenizer = Tokenizer.from_str(json.dumps(base | {part: spec}))
        return {"spec": spec, "crc32": [zlib.crc32(function(tokenizer, block).encode()) for block in blocks]}

    def normalized(tokenizer, text):
        return tokenizer.normalizer.normalize_str(text)

    def split(tokenizer, text):
        return "\n".join(piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))

    return {
        "normalizers": {name: checksums("normalizer", spec, normalized) for name, spec in NORMALIZERS.items()},
        "pre_tokenizers": {name: checksums("pre_tokenizer", spec, split) for name, spec in PRE_TOKENIZERS.items()},
    }


def make_malformed():
    """CPython replaces maximal subparts, too. A replaced sequence is told from a U+FFFD of the text by decoding
    piecewise."""
    rng = random.Random(3)
    interesting = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF,
                   0xF0, 0xF1, 0xF4, 0xF5, 0xFF]
    inputs = [bytes([a, b]) for a in interesting for b in interesting[::3]]
    inputs += [bytes(rng.choice(interesting) for _ in range(rng.randint(1, 12))) for _ in range(300)]
    inputs += ["é\ufffd中".encode()[:-1], b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
    cases = []
    for data in inputs:
        text = data.decode("utf-8", "replace")
        malformed = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
        cases.append({"base64": base64.b64encode(data).decode(), "text": text, "malformed": malformed})
    return cases


def write(name, value, one_line_each=None):
    value = {"library": f"tokenizers {tokenizers.__version__}"} | value if one_line_each else value
    if one_line_each:
        rows = ",\n".join(json.dumps(row) for row in value[one_line_each])
        text = f'{{"library": {json.dumps(value["library"])}, "{one_line_each}": [\n{rows}\n]}}\n'
    else:
        text = json.dumps(value) + "\n"
    (OUTPUT / name).write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path, help="directory of all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    loaded = {}
    for name, parts in TOKENIZERS.items():
        tokenizer = make_tokenizer(*parts)
        write(f"{name}.tokenizer.json", tokenizer)
        loaded[name] = Tokenizer.from_str(json.dumps(tokenizer))
    for name, text in subword_tokenizers.make(REAL * 4).items():
        (OUTPUT / f"{name}.tokenizer.json").write_text(json.dumps(json.loads(text)) + "\n")
        loaded[name] = Tokenizer.from_str(text)
    write("decode.json", {"cases": make_decode_cases(loaded)}, "cases")
    loaded["minilm"] = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    loaded["minilm"].no_padding()
    write("cases.json", {"cases": make_cases(loaded)}, "cases")
    write("code_points.json", {"library": f"tokenizers {tokenizers.__version__}"} | make_code_points())
    write("malformed.json", {"cases": make_malformed()}, "cases")


main()
