"""Weights in every kind of file: torch.save's two formats, shards, element types, names that are tied, prefixes."""
import json

import torch
from safetensors.torch import save_file
from transformers import BartConfig, BartForConditionalGeneration, BertConfig, BertModel

from directories import case
from directories.minilm import copy_tokenizer

VOCABULARY = 30522  # MiniLM's.


def bert():
    torch.manual_seed(7)
    config = BertConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                        max_position_embeddings=128, initializer_range=0.5)
    return BertModel(config).eval()


def bart(**config):
    torch.manual_seed(8)
    config = BartConfig(**{
        "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 128, "init_std": 0.5,
        "bos_token_id": 101, "pad_token_id": 0, "eos_token_id": 102, "decoder_start_token_id": 101, "forced_eos_token_id": 102,
        "max_length": 12, **config})
    model = BartForConditionalGeneration(config).eval()
    model.final_logits_bias.normal_()
    return model


def write(directory, model, tensors, save):
    copy_tokenizer(directory, model_max_length=128)
    model.config.save_pretrained(directory)
    if hasattr(model, "generation_config") and model.generation_config is not None:
        model.generation_config.save_pretrained(directory)
    save(directory, tensors)


def new(directory, tensors):
    torch.save(tensors, directory / "pytorch_model.bin")


def old(directory, tensors):
    torch.save(tensors, directory / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def safe(directory, tensors):
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, directory / "model.safetensors",
              metadata={"format": "pt"})


def sharded(directory, tensors, save=new, stem="pytorch_model", suffix="bin"):
    """In two files, with an index."""
    places = {}
    for number in (0, 1):
        part = dict(list(tensors.items())[number::2])
        target = directory / f"{stem}-{number + 1:05}-of-00002.{suffix}"
        save(directory, part)
        (directory / f"{stem if suffix == 'bin' else 'model'}.{suffix}").rename(target)
        places |= dict.fromkeys(part, target.name)
    (directory / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))


def old_sharded(directory, tensors):
    sharded(directory, tensors, save=old)


def safe_sharded(directory, tensors):
    sharded(directory, tensors, save=safe, stem="model", suffix="safetensors")


SAVES = {"torch.save": new, "torch.save before 1.6": old, "shards": sharded, "shards before 1.6": old_sharded,
         "safetensors": safe, "safetensors' shards": safe_sharded}


def as_dtype(dtype):
    return lambda tensors: {name: tensor.to(dtype) for name, tensor in tensors.items()}


def transposed(tensors):
    """The same values, laid out by columns."""
    return {name: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor for name, tensor in tensors.items()}


def views(tensors):
    """Each a part of a larger storage."""
    result = {}
    for name, tensor in tensors.items():
        base = torch.zeros(*tensor.shape[:-1], tensor.shape[-1] + 5)
        base[..., 3:-2] = tensor
        result[name] = base[..., 3:-2]
    return result


def with_others(tensors):
    """What old files have beside weights."""
    return dict(tensors) | {"embeddings.position_ids": torch.arange(128).expand((1, -1)), "model.encoder.version": torch.tensor([3.0]),
                            "cls.predictions.bias": torch.zeros(VOCABULARY), "epoch": 3, "note": "x", "none": None}


def parameters(tensors):
    return {name: torch.nn.Parameter(tensor) for name, tensor in tensors.items()}


def old_norms(tensors):
    return {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for name, tensor in tensors.items()}


def prefixed(prefix):
    return lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()}


def some_prefixed(tensors):
    return {("bert." if number % 2 else "") + name: tensor for number, (name, tensor) in enumerate(tensors.items())}


FORMS = {"as they are": dict, "half": as_dtype(torch.float16), "bfloat16": as_dtype(torch.bfloat16),
         "double": as_dtype(torch.float64), "other entries": with_others, "old norms": old_norms,
         "prefix": prefixed("bert."), "a prefix for some": some_prefixed}
IN_PICKLES = {"transposed": transposed, "views": views, "parameters": parameters}


def add_encoders():
    for save_name, save in SAVES.items():
        forms = FORMS if "safetensors" in save_name else FORMS | IN_PICKLES
        for form_name, form in forms.items():
            if form is with_others and "safetensors" in save_name:
                continue

            @case("embed", f"checkpoints/bert, {save_name}, {form_name}", short=save_name == "torch.save" or form is dict)
            def make(directory, save=save, form=form):
                model = bert()
                write(directory, model, form(model.state_dict()), save)


TIED = ("model.shared.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")


def keep_tied(*kept, changed=()):
    """Of the tied names these alone, some with numbers of their own."""

    def edit(tensors):
        tensors = {name: tensor for name, tensor in tensors.items() if name not in TIED or name in kept}
        for name in changed:
            tensors[name] = tensors[name].flip(0).contiguous()
        return tensors

    return edit


BARTS = {
    "every name": (keep_tied(*TIED), {}),
    **{f"only {name}": (keep_tied(name), {}) for name in TIED},
    "head of its own": (keep_tied(TIED[0], TIED[3], changed=[TIED[3]]), {}),
    "encoder of its own": (keep_tied(TIED[0], TIED[1], changed=[TIED[1]]), {}),
    "decoder and head, without shared": (keep_tied(TIED[2], TIED[3], changed=[TIED[3]]), {}),
    "encoder and decoder, without shared": (keep_tied(TIED[1], TIED[2], changed=[TIED[1]]), {}),
    "all of their own": (keep_tied(*TIED, changed=TIED[1:3]), {}),
    "untied": (keep_tied(*TIED, changed=TIED[1:]), {"tie_word_embeddings": False}),
    "no prefix": (lambda tensors: {name.removeprefix("model."): tensor for name, tensor in tensors.items()}, {}),
    "more layers than config.json": (dict, {"decoder_layers": 1}),
    "double": (as_dtype(torch.float64), {}),
}


def add_barts():
    for save_name in ("torch.save", "torch.save before 1.6", "safetensors", "shards"):
        for form_name, (form, config) in BARTS.items():

            @case("summarize", f"checkpoints/bart, {save_name}, {form_name}", short=save_name in ("torch.save", "safetensors"))
            def make(directory, save=SAVES[save_name], form=form, config=config):
                model = bart()
                tensors = form(model.state_dict())
                for key, value in config.items():
                    setattr(model.config, key, value)
                write(directory, model, tensors, save)


add_encoders()
add_barts()


def with_dense(directory, save, dtype=torch.float32):
    """A chain with a Dense whose weights are of torch.save, as sentence-transformers wrote them before 3.0."""
    model = bert()
    write(directory, model, model.state_dict(), new)
    (directory / "modules.json").write_text(json.dumps([
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")])]))
    for name, config in {"1_Pooling": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
                         "2_Dense": {"in_features": 32, "out_features": 12, "bias": True,
                                     "activation_function": "torch.nn.modules.activation.Tanh"}}.items():
        (directory / name).mkdir()
        (directory / name / "config.json").write_text(json.dumps(config))
    torch.manual_seed(3)
    linear = torch.nn.Linear(32, 12)
    save(directory / "2_Dense", {f"linear.{name}": tensor.to(dtype) for name, tensor in linear.state_dict().items()})


for name, save in {"torch.save": new, "torch.save before 1.6": old, "safetensors": safe}.items():
    for dtype in (torch.float32, torch.float64, torch.float16):

        @case("embed", f"checkpoints/dense, {name}, {str(dtype).removeprefix('torch.')}")
        def dense(directory, save=save, dtype=dtype):
            with_dense(directory, save, dtype)


@case("embed", "checkpoints/safetensors comes before torch.save")
def both(directory):
    model = bert()
    write(directory, model, model.state_dict(), safe)
    new(directory, {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()})


@case("embed", "checkpoints/one file of torch.save comes before shards")
def one_and_shards(directory):
    model = bert()
    write(directory, model, {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}, sharded)
    new(directory, model.state_dict())


@case("embed", "checkpoints/shards of safetensors come before a file of torch.save")
def safe_shards(directory):
    model = bert()
    write(directory, model, model.state_dict(), safe_sharded)
    new(directory, {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()})


@case("embed", "checkpoints/an unused tensor of 8 bits")
def eight_bits(directory):
    model = bert()
    write(directory, model, model.state_dict() | {"pooler.scale": torch.ones(3).to(torch.float8_e4m3fn)}, safe)


@case("embed", "checkpoints/a missing tensor", refused="encoder.layer.1.output.dense.weight")
def missing(directory):
    model = bert()
    write(directory, model, {name: tensor for name, tensor in model.state_dict().items()
                             if name != "encoder.layer.1.output.dense.weight"}, new)


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("true",)


@case("embed", "checkpoints/a pickle that runs code", refused="posix.system")
def evil(directory):
    model = bert()
    write(directory, model, model.state_dict() | {"x": Evil()}, new)
