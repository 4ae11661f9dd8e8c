"""BART directories as the hub has them: their layouts, and every key that says something of generation.

Weights are random and small. The tokenizers are byte-level BPE of GPT-2's merges, with BART's special tokens around them:
`full` has RoBERTa's 50,265 ids, of which <mask> is the last, as the models of the hub that have rows for 50,264.
"""
import functools
import json
import pathlib

import random_barts
import torch
import transformers

from directories import Case, add, case

ROOT = pathlib.Path(__file__).resolve().parents[3]
GPT2 = ROOT / "build/gpt2_vocabulary"
FULL = 50265
CNN = {"_from_model_config": True, "bos_token_id": 0, "decoder_start_token_id": 2, "early_stopping": True,
       "eos_token_id": 2, "forced_bos_token_id": 0, "forced_eos_token_id": 2, "length_penalty": 2.0, "max_length": 142,
       "min_length": 56, "no_repeat_ngram_size": 3, "num_beams": 4, "pad_token_id": 1,
       "transformers_version": "4.27.0.dev0"}
SHORT = CNN | {"max_length": 28, "min_length": 8}
# What the configuration of facebook/bart-large-cnn has beside its sizes; the xsum, distilled and SAMSum ones differ in little.
CNN_CONFIG = {
    "_num_labels": 3, "activation_dropout": 0.0, "activation_function": "gelu", "add_final_layer_norm": False,
    "architectures": ["BartForConditionalGeneration"], "attention_dropout": 0.0, "bos_token_id": 0, "classif_dropout": 0.0,
    "classifier_dropout": 0.0, "decoder_layerdrop": 0.0, "decoder_start_token_id": 2, "dropout": 0.1, "early_stopping": True,
    "encoder_layerdrop": 0.0, "eos_token_id": 2, "force_bos_token_to_be_generated": True, "forced_bos_token_id": 0,
    "forced_eos_token_id": 2, "gradient_checkpointing": False, "init_std": 0.02, "is_encoder_decoder": True,
    "length_penalty": 2.0, "max_length": 142, "min_length": 56, "model_type": "bart", "no_repeat_ngram_size": 3,
    "normalize_before": False, "num_beams": 4, "output_past": True, "pad_token_id": 1, "prefix": " ", "scale_embedding": False,
    "task_specific_params": {"summarization": {"early_stopping": True, "length_penalty": 2.0, "max_length": 142,
                                               "min_length": 56, "no_repeat_ngram_size": 3, "num_beams": 4}},
    "transformers_version": "4.7.0.dev0", "use_cache": True,
}  # fmt: skip
XSUM_CONFIG = {key: value for key, value in CNN_CONFIG.items() if not key.startswith("force")} | {
    "eos_token_ids": [2], "extra_pos_embeddings": 2, "length_penalty": 1.0, "max_length": 62, "min_length": 11, "num_beams": 6,
    "normalize_embedding": True, "static_position_embeddings": False, "add_bias_logits": False, "task_specific_params": {}}
DISTILBART_CONFIG = {key: value for key, value in CNN_CONFIG.items() if not key.startswith("forced")} | {
    "extra_pos_embeddings": 2, "normalize_embedding": True, "replacing_rate": 0, "static_position_embeddings": False,
    "student_decoder_layers": None, "student_encoder_layers": None, "save_step": 58}
SIZES = {"d_model": 24, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 3,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 31, "max_position_embeddings": 1024}
RECIPE = random_barts.RandomBart("", {}, {}, seed=11, dtype=torch.float32, positions=2.0, inner=2.0, output=0.8)


@functools.cache
def pieces(merges):
    """The pieces of so many merges, special tokens around them; None: all, and what RoBERTa adds."""
    ids = json.loads((GPT2 / "vocab.json").read_text(encoding="utf-8"))
    lines = (GPT2 / "merges.txt").read_text(encoding="utf-8").split("\n")
    kept = [line for line in lines[1:] if line][:merges]
    made = {"".join(merge.split(" ")) for merge in kept}
    own = [piece for piece in sorted(ids, key=ids.get) if merges is None or piece in made or len(piece) == 1]
    fill = [f"madeupword{i:04}" for i in range(3)] if merges is None else []
    return ["<s>", "<pad>", "</s>", "<unk>", *own, *fill, "<mask>"], "\n".join([lines[0], *kept, ""])


def write_vocabulary(directory, merges, mask=True, tokenizer_json=False):
    names, text = pieces(merges)
    names = names if mask else names[:-1]
    (directory / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(names)}), encoding="utf-8")
    (directory / "merges.txt").write_text(text, encoding="utf-8")
    write_json(directory, "tokenizer_config", {"tokenizer_class": "BartTokenizer", "model_max_length": 1024})
    if tokenizer_json:
        transformers.BartTokenizerFast.from_pretrained(directory).save_pretrained(directory)
        for name in ("vocab.json", "merges.txt"):
            (directory / name).unlink(missing_ok=True)


def write_json(directory, name, value):
    (directory / f"{name}.json").write_text(json.dumps(value))


@functools.cache
def model(merges, **sizes):
    """Rows for all ids but that of <mask>."""
    config = transformers.BartConfig(vocab_size=len(pieces(merges)[0]) - 1, **sizes)
    made = transformers.BartForConditionalGeneration(config).eval()
    generator = torch.Generator().manual_seed(RECIPE.seed)
    random_barts.randomize(made, RECIPE, generator)
    made.generation_config = transformers.GenerationConfig(decoder_start_token_id=2, eos_token_id=2, pad_token_id=1)
    random_barts.let_it_end(made, generator)
    return made


def write(directory, merges=300, config=None, generation=SHORT, sizes=None, instead=None, **vocabulary):
    """`config` is what config.json has beside the sizes, `instead` what it has in place of them; a generation of None: there
    is no such file."""
    made = model(merges, **SIZES | (sizes or {}))
    made.save_pretrained(directory)
    own = {name: getattr(made.config, name) for name in (*SIZES, "vocab_size")}
    plain = {"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "is_encoder_decoder": True}
    write_json(directory, "config", (plain if config is None else config) | own | (sizes or {}) | (instead or {}))
    (directory / "generation_config.json").unlink(missing_ok=True)
    if generation is not None:
        write_json(directory, "generation_config", generation)
    write_vocabulary(directory, merges, **vocabulary)


def generation_case(name, changes, options=None, **fields):
    """The short file with some keys changed; ABSENT takes one away."""
    kept = {key: value for key, value in (SHORT | changes).items() if value != ABSENT}
    add(Case(name=f"bart/generation_config: {name}", task="summarize", options=options or {},
             make=lambda directory: write(directory, generation=kept), **fields))


ABSENT = "absent"
GREEDY = {"num_beams": 1}

generation_case("as published, shorter", {})
generation_case("temperature 0, no sampling", {"temperature": 0.0, "do_sample": False})
generation_case("sampling's options, no sampling", {"temperature": float("nan"), "top_p": float("inf"), "top_k": -5,
                                                    "min_p": 3.0, "typical_p": 0.2, "epsilon_cutoff": 0.1,
                                                    "eta_cutoff": 0.1, "top_h": 0.4})
for length in (1025, 1026, 4096):
    generation_case(f"max_length {length}", {"max_length": length})
generation_case("no max_length", {"max_length": ABSENT, "min_length": ABSENT})
for name in ("renormalize_logits", "remove_invalid_values"):
    generation_case(name, {name: True})
    generation_case(f"{name}, greedy", {name: True, "repetition_penalty": 1.7}, GREEDY)
    generation_case(f"{name}: 1", {name: 1})
generation_case("renormalize_logits and remove_invalid_values", {"renormalize_logits": True, "remove_invalid_values": True,
                                                                 "suppress_tokens": [5, 9, 100]})
for value in (0, 1, True, False, "never", None):
    generation_case(f"early_stopping {value!r}", {"early_stopping": value})
for value in (float("nan"), float("inf"), -15.0, -1.0, 0.0, 2):
    generation_case(f"length_penalty {value}", {"length_penalty": value})
    generation_case(f"length_penalty {value}, no early stopping", {"length_penalty": value, "early_stopping": False})
generation_case("length_penalty nan, greedy", {"length_penalty": float("nan")}, GREEDY)
generation_case("repetition_penalty inf", {"repetition_penalty": float("inf")})
generation_case("repetition_penalty, greedy", {"repetition_penalty": 1.4, "no_repeat_ngram_size": 0}, GREEDY)
generation_case("encoder_repetition_penalty", {"encoder_repetition_penalty": 1.8})
generation_case("encoder_repetition_penalty, greedy", {"encoder_repetition_penalty": 0.4}, GREEDY)
generation_case("encoder_no_repeat_ngram_size", {"encoder_no_repeat_ngram_size": 1})
generation_case("lists of one id", {"decoder_start_token_id": [2], "forced_bos_token_id": [0], "forced_eos_token_id": [2]})
generation_case("several end tokens", {"eos_token_id": [2, 3, 40]})
generation_case("several end tokens, greedy", {"eos_token_id": [2, 3, 40], "forced_eos_token_id": [2, 3]}, GREEDY)
generation_case("end token beyond the vocabulary", {"eos_token_id": 60000, "pad_token_id": 60001})
generation_case("no end token", {"eos_token_id": ABSENT, "forced_eos_token_id": ABSENT})
generation_case("no padding token", {"pad_token_id": ABSENT})
generation_case("start by bos_token_id", {"decoder_start_token_id": ABSENT, "forced_bos_token_id": ABSENT, "bos_token_id": 9})
generation_case("nulls", dict.fromkeys(("min_length", "length_penalty", "early_stopping", "no_repeat_ngram_size",
                                        "forced_bos_token_id", "temperature", "num_beams", "repetition_penalty")))
generation_case("groups without beams", {"num_beam_groups": 4, "diversity_penalty": 1.0}, GREEDY)
generation_case("diversity without groups", {"num_beam_groups": 1, "diversity_penalty": 0.5})
generation_case("penalty_alpha with beams", {"penalty_alpha": 0.6, "top_k": 4})
generation_case("minimum over the flag's maximum", {"min_length": 12}, {"max_length": 8})
generation_case("minimum over the flag's maximum, greedy", {"min_length": 12}, {"max_length": 8, "num_beams": 1})
generation_case("minimum below 0", {"min_length": -1, "no_repeat_ngram_size": -1})
generation_case("new tokens over lengths", {"max_new_tokens": 9, "min_new_tokens": 7}, {"max_length": 25})
generation_case("a flag's new tokens", {}, {"max_new_tokens": 9, "min_new_tokens": 4})
generation_case("suppressed beyond the vocabulary", {"suppress_tokens": [-1, 220, 50256, 7], "begin_suppress_tokens": [50, 60000]})
generation_case("all suppressed", {"suppress_tokens": list(range(4, 600)), "no_repeat_ngram_size": 1, "max_length": 12})
generation_case("all suppressed, greedy", {"suppress_tokens": list(range(600)), "forced_bos_token_id": None,
                                           "forced_eos_token_id": None}, GREEDY)
generation_case("everything suppressed", {"suppress_tokens": list(range(600)), "forced_bos_token_id": None,
                                          "forced_eos_token_id": None})
generation_case("unknown keys", {"some_key": {"a": [1]}, "use_cache": True, "output_scores": True, "max_time": None,
                                 "cache_implementation": None})
generation_case("old flag, made of config.json", {"force_bos_token_to_be_generated": True, "forced_bos_token_id": ABSENT})
generation_case("old flag, a file of its own", {"force_bos_token_to_be_generated": True, "forced_bos_token_id": ABSENT,
                                                "_from_model_config": ABSENT})
for name in ("forced_bos_token_id", "forced_eos_token_id", "eos_token_id", "suppress_tokens", "decoder_start_token_id"):
    generation_case(f"{name} switched off", {"suppress_tokens": [5, 6, 7]}, {name: None})
generation_case("forced tokens switched off, greedy", {}, {"forced_bos_token_id": None, "forced_eos_token_id": None, "num_beams": 1})
generation_case("groups of beams", {"num_beam_groups": 2, "diversity_penalty": 1.0}, refused="num_beam_groups")
generation_case("contrastive search", {"penalty_alpha": 0.6}, refused=None, options={"num_beams": 4})
generation_case("forced beyond the table", {"forced_bos_token_id": 99999}, refused=r"generation_config\.json: forced_bos_token_id")
generation_case("a maximum that is none", {"max_length": 1}, refused=r"generation_config\.json: max_length")
generation_case("text for a number", {"num_beams": "4"}, refused=r"generation_config\.json: num_beams")

for options in ({"no_repeat_ngram_size": 1, "num_beams": 4}, {"no_repeat_ngram_size": 1, "num_beams": 1}):
    add(Case(name=f"bart/more tokens than a tiny vocabulary has, {options['num_beams']} beams", task="summarize",
             texts=("The tower is 324 metres tall.", "x"), options=options,
             make=lambda directory: write(directory, merges=0, generation=SHORT | {
                 "max_length": 300, "min_length": 300, "forced_eos_token_id": None, "early_stopping": False})))


@case("summarize", "bart/generation_config that is no JSON")
def no_json(directory):
    write(directory, config=CNN_CONFIG | {"max_length": 20, "min_length": 5})
    (directory / "generation_config.json").write_text('{"num_beams": 2,')


def config_case(name, config, generation=None, **fields):
    options = fields.pop("options", {})
    refused = fields.pop("refused", None)
    add(Case(name=f"bart/config: {name}", task="summarize", options=options, refused=refused,
             make=lambda directory: write(directory, config=config, generation=generation, **fields)))


OLD = CNN_CONFIG | {"max_length": 24, "min_length": 6}
config_case("old, without generation_config", OLD)
config_case("old, without task_specific_params", {k: v for k, v in OLD.items() if k != "task_specific_params"})
config_case("old, without the old flag", OLD | {"force_bos_token_to_be_generated": False})
config_case("old, without forced tokens", {k: v for k, v in OLD.items() if not k.startswith("force")})
config_case("old, with generation_config", OLD | {"num_beams": 2}, SHORT)
config_case("several end tokens", OLD | {"eos_token_id": [2]})
config_case("no ids but the start", {"model_type": "bart", "decoder_start_token_id": 2, "eos_token_id": 2})
config_case("flags of BART's variants", OLD | {"normalize_before": True, "add_bias_logits": True, "static_position_embeddings": True})
config_case("num_hidden_layers outweighs", OLD, instead={"num_hidden_layers": 2, "encoder_layers": 7})
config_case("scaled embeddings", OLD | {"scale_embedding": True})
config_case("without <mask>", OLD, mask=False)
config_case("tokenizer.json", OLD, tokenizer_json=True)
for name in ("BartForSequenceClassification", "BartForQuestionAnswering", "BartForCausalLM"):
    config_case(name, OLD | {"architectures": [name]}, refused=name)
for kind in ("mbart", "pegasus", "t5", "bert", "roberta"):
    config_case(f"model_type {kind}", OLD | {"model_type": kind, "architectures": ["Another"]}, refused=f'found "{kind}"')

for name in ("silu", "swish", "tanh", "quick_gelu", "mish", "relu", "relu6", "gelu_new", "gelu_pytorch_tanh", "sigmoid"):
    config_case(f"activation {name}", OLD | {"activation_function": name}, sizes={"activation_function": name})

OPTION_SETS = {"as its files say": {}, "greedy": {"num_beams": 1, "max_length": 60, "min_length": 10},
               "6 beams": {"num_beams": 6, "length_penalty": 0.5, "no_repeat_ngram_size": 2, "early_stopping": False,
                           "max_length": 60, "min_length": 20}}
PUBLISHED = {"facebook/bart-large-cnn": (CNN_CONFIG, CNN), "facebook/bart-large-xsum": (XSUM_CONFIG, {
    "_from_model_config": True, "bos_token_id": 0, "decoder_start_token_id": 2, "early_stopping": True, "eos_token_id": 2,
    "forced_eos_token_id": 2, "max_length": 62, "min_length": 11, "no_repeat_ngram_size": 3, "num_beams": 6, "pad_token_id": 1}),
    "sshleifer/distilbart-cnn-12-6": (DISTILBART_CONFIG, None), "lidiya/bart-large-xsum-samsum": (XSUM_CONFIG, None),
    "philschmid/bart-large-cnn-samsum": (CNN_CONFIG | {"num_hidden_layers": 2}, None)}  # fmt: skip
for published, (config, generation) in PUBLISHED.items():
    for options_name, options in OPTION_SETS.items():
        for as_json in (False, True):
            add(Case(name=f"bart/{published}: {options_name}{', tokenizer.json' if as_json else ''}", task="summarize",
                     options=options, short=published == "facebook/bart-large-cnn" and options_name != "6 beams",
                     make=functools.partial(write, merges=None, config=config, generation=generation,
                                            tokenizer_json=as_json)))


def check_sizes():
    if len(pieces(None)[0]) != FULL:
        raise ValueError(f"expected {FULL} pieces, found {len(pieces(None)[0])}")
