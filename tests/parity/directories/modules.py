"""sentence-transformers' module chains: as version 6.2 saves them, and as older versions wrote them."""
import json
import pathlib
import shutil

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import (CNN, Dropout, LayerNorm, Pooling, WeightedLayerPooling)
from torch import nn
from transformers import AutoModel

from directories import add, case, Case

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/golden/encoders"
OLD = "sentence_transformers.models."
TOKENS = dict(module_input_name="token_embeddings")


def read(path):
    return json.loads(path.read_text())


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def edit(path, **changes):
    """Keys of a JSON file; None takes one away."""
    merged = (read(path) if path.exists() else {}) | changes
    write(path, {key: value for key, value in merged.items() if value is not None})


def copy(directory, base="bert_mean"):
    shutil.copytree(GOLDEN / base, directory, dirs_exist_ok=True)
    (directory / "expected.json").unlink(missing_ok=True)


def encoder(directory, base="bert_mean", **config):
    """An encoder alone: config.json with changes, weights and the tokenizer's files."""
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(GOLDEN / base / name, directory / name)
    edit(directory / "config.json", **config)


def settings(directory, **values):
    edit(directory / "config_sentence_transformers.json", **values)


def chain(directory, *modules):
    """modules.json: classes and paths."""
    write(directory / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": kind}
                                       for i, (kind, path) in enumerate(modules)])


def randomised(module, seed=7):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(0, 0.5, generator=generator))
    return module


def save(directory, *modules, base="bert_mean", hidden_states=False, **options):
    """As version 6.2 saves a chain behind a golden transformer; a function of its width gives a module."""
    transformer = Transformer(str(GOLDEN / base))
    if hidden_states:
        transformer.model.config.output_hidden_states = True
    width = transformer.get_embedding_dimension()
    made = [module(width) if callable(module) and not isinstance(module, nn.Module) else module for module in modules]
    SentenceTransformer(modules=[transformer, *made], device="cpu", **options).save(str(directory), create_model_card=False)


def mean(width):
    return Pooling(width, "mean")


def dense(out, activation=None, **fields):
    return lambda width: randomised(Dense(fields.pop("size", width), out, activation_function=activation or nn.Tanh(), **fields))


def saved(name, *modules, **options):
    add(Case(name=f"modules/{name}", task="embed", make=lambda directory: save(directory, *modules, **options)))


ACTIVATIONS = (nn.Identity, nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
               nn.LeakyReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink,
               nn.Softshrink, nn.Hardshrink)
for activation in ACTIVATIONS:
    saved(f"dense with {activation.__name__}", mean, dense(12, activation()))
saved("dense with the tanh form of GELU, which isn't saved", mean, dense(12, nn.GELU(approximate="tanh")))
saved("dense on tokens", dense(13, **TOKENS), lambda _: Pooling(13, ["mean", "max"]))
saved("dense with a residual", mean, lambda width: randomised(Dense(width, width, use_residual=True)))
saved("dense with a projected residual", mean, lambda width: randomised(Dense(width, 9, use_residual=True, bias=False)), Normalize())
saved("dropout", mean, Dropout(0.9), dense(7), Dropout(0.5))
saved("layer norm", mean, lambda width: randomised(LayerNorm(width)), Normalize())
saved("normalize before dense and after", mean, Normalize(), dense(11), Normalize(), Normalize())
saved("normalize on tokens", lambda _: Normalize(**TOKENS), mean)
saved("normalize before pooling", Normalize(), mean)
saved("two poolings", lambda width: Pooling(width, "max"), mean, Normalize())
saved("weighted layer pooling", lambda width: randomised(WeightedLayerPooling(width, 2, 1)), mean, hidden_states=True)
saved("weighted layer pooling of all layers", lambda width: randomised(WeightedLayerPooling(width, 3, 0)), mean, Normalize(),
      base="mpnet_f16", hidden_states=True)
saved("weighted layer pooling without hidden states", lambda width: randomised(WeightedLayerPooling(width, 2, 1)), mean)
saved("cnn", lambda width: randomised(CNN(width, 6, [1, 3, 5])), lambda _: Pooling(18, ["mean", "cls"]))
saved("every pooling mode", lambda width: Pooling(width, Pooling.POOLING_MODES))
saved("truncate_dim", mean, Normalize(), truncate_dim=10)
saved("truncate_dim beyond the width", mean, truncate_dim=1000)
saved("similarity", mean, similarity_fn_name="dot")
saved("a default prompt that isn't pooled", lambda width: Pooling(width, ["mean", "cls", "lasttoken", "weightedmean"], include_prompt=False),
      prompts={"query": "q: ", "other": "o"}, default_prompt_name="query")
saved("a router behind the pooling", mean, lambda width: Router.for_query_document(
    [randomised(Dense(width, 8))], [randomised(Dense(width, 8), 9), Normalize()]))
saved("a router without a default route", mean, lambda width: Router(
    {"a": [randomised(Dense(width, 5))], "b": [randomised(Dense(width, 5), 9)]}))


@case("embed", "modules/a router first")
def router_first(directory):
    def route(base, seed):
        transformer = Transformer(str(GOLDEN / base))
        width = transformer.get_embedding_dimension()
        return [transformer, Pooling(width), randomised(Dense(width, 16), seed)]

    router = Router.for_query_document(route("bert_mean", 1), route("roberta_head", 2))
    SentenceTransformer(modules=[router, Normalize()], device="cpu").save(str(directory), create_model_card=False)


# --- older layouts ---


@case("embed", "modules/0.3: a directory for the transformer, and flags of poolings")
def version_0_3(directory):
    (directory / "0_Transformer").mkdir()
    encoder(directory / "0_Transformer")
    write(directory / "0_Transformer/sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    chain(directory, (OLD + "Transformer", "0_Transformer"), (OLD + "Pooling", "1_Pooling"))
    write(directory / "1_Pooling/config.json", {
        "word_embedding_dimension": 768, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": True})
    write(directory / "config.json", {"__version__": "0.3.0"})


@case("embed", "modules/1.x: word_embedding_dimension is wrong, model_max_length isn't used")
def wrong_dimension(directory):
    encoder(directory)
    edit(directory / "tokenizer_config.json", model_max_length=-1)
    write(directory / "sentence_bert_config.json", {"max_seq_length": 24})
    chain(directory, (OLD + "Transformer", ""), (OLD + "Pooling", "1_Pooling"), (OLD + "Normalize", "2_Normalize"))
    write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 1024, "pooling_mode_cls_token": True})


for kind, base in (("roberta", "roberta_head"), ("xlm-roberta", "xlm_roberta_f16"), ("camembert", "camembert_plain"),
                   ("distilbert", "distilbert_cls"), ("albert", "bert_mean"), ("xlnet", "bert_mean")):
    @case("embed", f"modules/1.x: sentence_{kind}_config.json")
    def named_file(directory, kind=kind, base=base):
        encoder(directory, base)
        write(directory / f"sentence_{kind}_config.json", {"max_seq_length": 9, "do_lower_case": True})
        chain(directory, (OLD + "Transformer", ""), (OLD + "Pooling", "1_Pooling"))
        write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True})


@case("embed", "modules/2.x: Asym")
def asym(directory):
    encoder(directory)
    chain(directory, (OLD + "Transformer", ""), (OLD + "Pooling", "1_Pooling"), (OLD + "Asym", "2_Asym"))
    width = read(directory / "config.json")["hidden_size"]
    write(directory / "1_Pooling/config.json", {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True})
    write(directory / "2_Asym/config.json", {
        "types": {"140_Dense": "sentence_transformers.models.Dense.Dense"},
        "structure": {"query": ["140_Dense"], "doc": ["140_Dense"]}, "parameters": {"allow_empty_key": True}})
    (directory / "2_Asym/140_Dense").mkdir()
    randomised(Dense(width, 6, activation_function=nn.Identity())).save(str(directory / "2_Asym/140_Dense"))


@case("embed", "modules/2.x: do_lower_case, model_args and tokenizer_args without meaning")
def arguments(directory):
    copy(directory, "bert_cased_plain")
    write(directory / "sentence_bert_config.json", {
        "max_seq_length": 40, "do_lower_case": True, "model_args": {"attn_implementation": "eager"}})
    chain(directory, (OLD + "Transformer", ""), (OLD + "Pooling", "1_Pooling"))
    write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 8, "pooling_mode_max_tokens": True})


@case("embed", "modules/tokenizer_args' model_max_length")
def tokenizer_length(directory):
    copy(directory)
    edit(directory / "sentence_bert_config.json", max_seq_length=100, tokenizer_args={"model_max_length": 12})


@case("embed", "modules/config_args over config.json")
def config_arguments(directory):
    copy(directory)
    edit(directory / "sentence_bert_config.json", config_args={"hidden_act": "relu", "num_hidden_layers": 1})


@case("embed", "modules/prompts that are null")
def null_prompt(directory):
    copy(directory)
    settings(directory, prompts={"query": None, "s2p": "x: "}, default_prompt_name="query")


@case("embed", "modules/default prompt document, which no file has")
def document_prompt(directory):
    copy(directory)
    settings(directory, default_prompt_name="document")


@case("embed", "modules/dense in float64")
def float64(directory):
    save(directory, mean, dense(5))
    from safetensors.torch import load_file, save_file
    path = directory / "2_Dense/model.safetensors"
    save_file({name: tensor.double() for name, tensor in load_file(path).items()}, path)


@case("embed", "modules/an activation that isn't trusted")
def untrusted(directory):
    save(directory, mean, dense(5, nn.ReLU()))
    edit(directory / "2_Dense/config.json", activation_function="transformers.activations.GELUActivation")


@case("embed", "modules/unknown keys of a dense")
def unknown_keys(directory):
    save(directory, mean, dense(5))
    edit(directory / "2_Dense/config.json", init="xavier", dropout=0.1)


# --- encoders alone ---


@case("embed", "modules/an encoder beside which sentence-transformers' own files don't count")
def plain(directory):
    encoder(directory, architectures=["BertForMaskedLM"])
    write(directory / "sentence_bert_config.json", {"max_seq_length": 5, "do_lower_case": True})
    settings(directory, prompts={"query": "q: "}, default_prompt_name="query", truncate_dim=3)


@case("embed", "modules/a causal model's encoder")
def causal(directory):
    encoder(directory, "roberta_head", architectures=["RobertaForCausalLM"])


@case("embed", "modules/max_len")
def max_len(directory):
    encoder(directory)
    edit(directory / "tokenizer_config.json", model_max_length=None, max_len=14)


for name in ("gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate",
             "hardswish", "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu",
             "sqrtsoftplus", "swish", "tanh"):
    @case("embed", f"modules/hidden_act {name}")
    def hidden_act(directory, name=name):
        encoder(directory, hidden_act=name)


for base, changes in (("mpnet_f16", dict(pad_token_id=0)), ("mpnet_f16", dict(pad_token_id=7)), ("roberta_head", dict(pad_token_id=4)),
                      ("xlm_roberta_f16", dict(pad_token_id=0)), ("bert_mean", dict(pad_token_id=9)),
                      ("distilbert_cls", dict(layer_norm_eps=0.3)), ("bert_mean", dict(layer_norm_eps=0.3)),
                      ("mpnet_f16", dict(is_decoder=True)), ("bert_mean", dict(is_encoder_decoder=True))):
    @case("embed", f"modules/{base} with {' and '.join(f'{key} {value}' for key, value in changes.items())}")
    def config_value(directory, base=base, changes=changes):
        encoder(directory, base, **changes)


@case("embed", "modules/mpnet with more buckets than are used")
def buckets(directory):
    encoder(directory, "mpnet_f16", relative_attention_num_buckets=40)
    from safetensors.torch import load_file, save_file
    tensors = load_file(directory / "model.safetensors")
    name = next(name for name in tensors if "relative_attention_bias" in name)
    tensors[name] = torch.cat([tensors[name], tensors[name][:8] * 3])
    save_file(tensors, directory / "model.safetensors")


@case("embed", "modules/a table with fewer rows than the tokenizer has ids", texts=("x", "a plain text", "Paris"))
def small_table(directory):
    copy(directory)
    tokenizer = read(directory / "tokenizer.json")
    tokenizer["added_tokens"].append({"id": 165, "content": "<new>", "single_word": False, "lstrip": False, "rstrip": False,
                                      "normalized": False, "special": False})
    write(directory / "tokenizer.json", tokenizer)


@case("embed", "modules/a text with an id that the table has no row for", texts=("x", "a <new> text"), refused="text 1 .*<new>")
def small_table_used(directory):
    small_table(directory)


# --- what isn't an embedding model ---

for head, says in (("BertForSequenceClassification", "sequence classifier"), ("HF_ColBERT", "ColBERT")):
    @case("embed", f"modules/{head}", refused=says)
    def other_kind(directory, head=head):
        encoder(directory, architectures=[head])

for model_type, says in (("CrossEncoder", "cross-encoder"), ("SparseEncoder", "sparse encoder"), ("MultiVectorEncoder", "ColBERT")):
    @case("embed", f"modules/model_type {model_type}", refused=says)
    def other_type(directory, model_type=model_type):
        copy(directory)
        settings(directory, model_type=model_type)


@case("embed", "modules/LSTM is refused by name", refused="LSTM")
def lstm(directory):
    copy(directory)
    chain(directory, (OLD + "Transformer", ""), (OLD + "LSTM", "1_Pooling"), (OLD + "Pooling", "1_Pooling"))


@case("embed", "modules/a BertForPreTraining's weights with their prefix")
def pretraining(directory):
    encoder(directory, architectures=["BertForPreTraining"])
    from safetensors.torch import save_file
    model = AutoModel.from_pretrained(str(directory))
    save_file({f"bert.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}, directory / "model.safetensors",
              metadata={"format": "pt"})
