#!/usr/bin/env python3
"""Writes tests/golden/encoders: small sentence-transformers models with random weights, and what they embed.

Needs sentence-transformers 6.2, transformers 5.23 and torch (tests/parity/requirements.txt); takes some seconds:

    python3 tests/golden/make_encoder_golden.py

Each model has a directory of its own as sentence-transformers saves it, whose weights have the dtype that the model is
about, and expected.json: for each way to give a prompt, texts and their embeddings, computed by sentence-transformers
in fp32 from that same directory, a text at a time so that padding has no part in it. The shapes are odd on purpose.
"""
import base64
import json
import pathlib
import shutil
import sys
import tempfile
from dataclasses import dataclass, field

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast, RobertaTokenizer, XLMRobertaTokenizer

import subword_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/parity"))

import random_models  # noqa: E402

TARGET = pathlib.Path(__file__).resolve().parent / "encoders"

TEXTS = [
    "",
    "a",
    "All human beings are born free and equal in dignity and rights.",
    "ALLE MENSCHEN SIND FREI und gleich an Würde und Rechten geboren.",
    "Tous les êtres humains naissent libres; ΟΔΥΣΣΕΥΣ, İSTANBUL",
    "Все люди рождаются свободными и равными. ЁЖ",
    "כל בני האדם נולדו בני חורין יולد جميع الناس",
    "सभी मनुष्यों को गौरव और अधिकार",
    "人人生而自由,在尊严和权利上一律平等。",
    "すべての人間は、생 모든 인간은 자유",
    "def f(x): return {'a': x[0] ** 2, \"b\": x->y != None}  # 3.14e-10",
    "👍🏽 \u0301e\u0301 \0 \ufffd [MASK] <pad> [PAD] <Tag> <TAG>tag</s>",
    "the equal rights of the free " * 9,
    "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 3,
]
PARTS = ("the", "and", "are", "in", "human", "free", "right", "equal", "born", "all", "und", "sind", "les", "return")
PROMPTS = {"query": "free rights: ", "document": "Menschen ", "long": "all human beings are born free and equal and "}


@dataclass
class Model:
    """What sets a model apart. Pooling modes and `dense` (features, activation, bias) stand in the chain's order."""

    architecture: str
    shape: dict
    pooling: list
    dtype: torch.dtype = torch.float32
    dense: list = field(default_factory=list)
    normalize: bool = False
    max_seq_length: int | None = None  # In tokenizer_config.json, where sentence-transformers 6 keeps it.
    prompts: dict = field(default_factory=dict)
    default_prompt: str | None = None
    include_prompt: bool = True
    cased: bool = False  # The tokenizer leaves letters as they are.
    older_options: dict = field(default_factory=dict)  # sentence_bert_config.json, as it was before release 5.
    shards: str | None = None  # The most bytes of one.
    chain: bool = True  # False: a plain encoder, without modules.json.


MODELS = {
    "bert_mean": Model(
        "bert", dict(hidden_size=24, heads=3, layers=2, inner=50, activation="gelu"), ["mean"], normalize=True),
    # Pooled modes in another order than that of the flags in older files.
    "bert_f16_dense": Model(
        "bert", dict(hidden_size=20, heads=5, layers=3, inner=41, activation="gelu_new"), ["max", "cls", "mean"],
        dtype=torch.float16, dense=[(18, nn.Tanh(), True)], normalize=True),
    "bert_bf16_max": Model(
        "bert", dict(hidden_size=33, heads=3, layers=1, inner=29, activation="relu"), ["max"], dtype=torch.bfloat16,
        dense=[(21, nn.Identity(), False)]),
    "bert_sharded_lower": Model(
        "bert", dict(hidden_size=28, heads=2, layers=2, inner=37, activation="gelu"), ["lasttoken"], cased=True,
        older_options={"max_seq_length": 100, "do_lower_case": True}, shards="20KB"),
    # The same tokenizer, whose letters stay as they are.
    "bert_cased_plain": Model(
        "bert", dict(hidden_size=17, heads=1, layers=1, inner=16, activation="gelu"), ["mean"], cased=True, chain=False),
    "bert_prompts": Model(
        "bert", dict(hidden_size=16, heads=4, layers=2, inner=48, activation="gelu_new"), ["weightedmean"],
        prompts=PROMPTS, default_prompt="query", include_prompt=False, max_seq_length=12),
    "bert_prompts_pooled": Model(
        "bert", dict(hidden_size=18, heads=2, layers=1, inner=31, activation="relu"),
        ["mean", "max", "cls", "mean_sqrt_len_tokens", "lasttoken"], prompts=PROMPTS, include_prompt=False),
    "distilbert_cls": Model(
        "distilbert", dict(hidden_size=30, heads=5, layers=3, inner=43, activation="relu"), ["cls"],
        older_options={"max_seq_length": 9, "do_lower_case": False}),
    "distilbert_bf16": Model(
        "distilbert", dict(hidden_size=26, heads=2, layers=2, inner=27, activation="gelu"), ["mean_sqrt_len_tokens"],
        dtype=torch.bfloat16, dense=[(15, nn.Tanh(), False), (11, nn.Identity(), True)]),
    "mpnet_concatenated": Model(
        "mpnet", dict(hidden_size=24, heads=4, layers=2, inner=35, activation="gelu"),
        ["mean_sqrt_len_tokens", "weightedmean", "lasttoken"], normalize=True, prompts=PROMPTS),
    "mpnet_f16": Model(
        "mpnet", dict(hidden_size=48, heads=3, layers=3, inner=40, activation="gelu_new"), ["mean"],
        dtype=torch.float16, dense=[(23, nn.Identity(), True)], max_seq_length=70),
    "roberta_head": Model(
        "roberta", dict(hidden_size=18, heads=3, layers=2, inner=53, activation="gelu"), ["cls", "mean"],
        normalize=True, prompts=PROMPTS),
    "xlm_roberta_f16": Model(
        "xlm-roberta", dict(hidden_size=40, heads=5, layers=3, inner=39, activation="gelu"), ["mean"],
        dtype=torch.float16, dense=[(17, nn.Tanh(), True)], normalize=True),
    # Nothing limits its texts but the positions.
    "camembert_plain": Model(
        "camembert", dict(hidden_size=22, heads=2, layers=1, inner=30, activation="gelu_new"), ["mean"], chain=False),
}  # fmt: skip


def special_tokens(architecture):
    """Padding, unknown, first, last, mask; MPNet's padding has the id 1."""
    if architecture == "mpnet":
        return {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "[UNK]", "mask_token": "<mask>"}
    return {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}


def make_tokenizer(model):
    make = {"roberta": byte_level, "xlm-roberta": unigram, "camembert": unigram}.get(model.architecture, word_piece)
    tokenizer = make(model)
    # Sought in the normalized text, so that do_lower_case changes what is found.
    tokenizer.add_tokens([AddedToken("<Tag>", normalized=True)])
    return tokenizer


def byte_level(_):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    subword_tokenizers.trained(tokenizer, TEXTS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                               special_tokens=subword_tokenizers.ROBERTA_TOKENS)
    spec = json.loads(tokenizer.to_str())["model"]
    return RobertaTokenizer(spec["vocab"], [tuple(pair) for pair in spec["merges"]], model_max_length=150)


def unigram(model):
    spec = json.loads(subword_tokenizers.unigram(TEXTS).to_str())
    charsmap = base64.b64decode(spec["normalizer"]["normalizers"][0]["precompiled_charsmap"])
    pieces = [tuple(piece) for piece in spec["model"]["vocab"]]
    limit = {"model_max_length": 150} if model.chain else {}
    return XLMRobertaTokenizer(pieces, _spm_precompiled_charsmap=charsmap, **limit)


def word_piece(model):
    """WordPiece over half of the texts' characters, small and large letters both, and parts of words."""
    special = special_tokens(model.architecture)
    vocabulary = {token: index for index, token in enumerate(special.values())}
    letters = "abcdefghijklmnopqrstuvwxyz"
    others = sorted({c for text in TEXTS for c in text if not c.isspace() and c.isprintable() and not c.isascii()})
    for token in [*letters, *letters.upper(), *PARTS, *".,:;'()[]", *others[::2]]:
        vocabulary.setdefault(token, len(vocabulary))
    for token in [*letters, "s", "ing", "THE", "ты", "и"]:
        vocabulary.setdefault("##" + token, len(vocabulary))
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not model.cased)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(special[name], vocabulary[special[name]]) for name in ("sep_token", "cls_token")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=150, **special)


def make_modules(model, transformer, seed):
    width = transformer.get_embedding_dimension()
    chain = [transformer, Pooling(width, pooling_mode=model.pooling, include_prompt=model.include_prompt)]
    width *= len(model.pooling)
    for number, (size, activation, bias) in enumerate(model.dense):
        dense = Dense(width, size, bias=bias, activation_function=activation)
        chain.append(random_models.randomize(dense, seed + 100 + number).to(model.dtype))
        width = size
    return chain + [Normalize()] * model.normalize


def save(model, directory, seed):
    tokenizer = make_tokenizer(model)
    make = random_models.ARCHITECTURES[model.architecture]
    pad = tokenizer.convert_tokens_to_ids(tokenizer.pad_token)
    encoder = random_models.randomize(make(vocabulary=len(tokenizer), positions=160, pad_token_id=pad, **model.shape), seed)
    with tempfile.TemporaryDirectory() as scratch:
        plain = directory if not model.chain else pathlib.Path(scratch)
        sizes = {"max_shard_size": model.shards} if model.shards else {}
        encoder.to(model.dtype).save_pretrained(plain, **sizes)
        tokenizer.save_pretrained(plain)
        if not model.chain:
            return
        transformer = random_models.load_transformer(plain, model.max_seq_length)
        chain = make_modules(model, transformer, seed)
        SentenceTransformer(modules=chain, device="cpu", prompts=model.prompts,
                            default_prompt_name=model.default_prompt).save(str(directory), create_model_card=False)
        # sentence-transformers has loaded and so saved the encoder in fp32, as one file.
        for file in [*directory.glob("model*.safetensors*")]:
            file.unlink()
        for file in plain.glob("model*.safetensors*"):
            shutil.copy(file, directory)
    if model.older_options:
        (directory / "sentence_bert_config.json").write_text(json.dumps(model.older_options) + "\n")


def embed(reference, texts, **prompt):
    rows = [reference.encode([text], convert_to_numpy=True, **prompt)[0].tolist() for text in texts]
    return {"texts": texts, **prompt, "embeddings": rows}


def expected_of(model, directory):
    reference = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": torch.float32}).float()
    cases = [embed(reference, TEXTS)]
    for name in model.prompts:
        cases.append(embed(reference, TEXTS[::3], prompt_name=name))
    cases.append(embed(reference, TEXTS[1::4], prompt=""))
    cases.append(embed(reference, TEXTS[2::4], prompt="Rights of [MASK]: "))
    return cases


def number(value):
    """As few digits as give the same float back."""
    return str(np.float32(value))


def write_expected(path, cases):
    libraries = {module.__name__: module.__version__ for module in (sentence_transformers, transformers, tokenizers, torch)}
    blocks = []
    for case in cases:
        head = {key: value for key, value in case.items() if key not in ("texts", "embeddings")}
        rows = ",\n".join(f'{{"text": {json.dumps(text)}, "embedding": [{", ".join(map(number, row))}]}}'
                          for text, row in zip(case["texts"], case["embeddings"], strict=True))
        blocks.append(f'{json.dumps(head)[:-1]}{", " if head else ""}"rows": [\n{rows}\n]}}')
    path.write_text(f'{{"libraries": {json.dumps(libraries)}, "cases": [\n' + ",\n".join(blocks) + "\n]}\n")


def main():
    shutil.rmtree(TARGET, ignore_errors=True)
    for seed, (name, model) in enumerate(MODELS.items()):
        directory = TARGET / name
        directory.mkdir(parents=True)
        save(model, directory, seed)
        write_expected(directory / "expected.json", expected_of(model, directory))


if __name__ == "__main__":
    main()
