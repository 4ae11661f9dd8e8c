"""Random-weight models of odd shapes, saved as real sentence-transformers directories.

Weights are drawn larger than for training, so that outputs vary and an error shows.
"""
import shutil

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from transformers import (BertConfig, BertModel, CamembertConfig, CamembertModel, DistilBertConfig, DistilBertModel,
                          MPNetConfig, MPNetModel, RobertaConfig, RobertaForMaskedLM, XLMRobertaConfig, XLMRobertaModel)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "LayerNorm" in name or "layer_norm" in name:
                parameter.copy_((1.0 if name.endswith("weight") else 0.0) + 0.2 * noise)
            elif parameter.dim() == 2 and "embeddings" not in name:
                parameter.copy_(noise * 1.2 / parameter.shape[1] ** 0.5)
            else:
                parameter.copy_(0.3 * noise)
    return model.eval()


def bert(vocabulary, hidden_size=132, heads=11, layers=3, inner=250, activation="gelu_new", positions=300,
         **fields):
    return BertModel(BertConfig(vocab_size=vocabulary, hidden_size=hidden_size, num_attention_heads=heads,
                                num_hidden_layers=layers, intermediate_size=inner, hidden_act=activation,
                                max_position_embeddings=positions, **fields))


def distilbert(vocabulary, hidden_size=100, heads=5, layers=4, inner=177, activation="relu", positions=290,
               **fields):
    return DistilBertModel(DistilBertConfig(vocab_size=vocabulary, dim=hidden_size, n_heads=heads, n_layers=layers,
                                            hidden_dim=inner, activation=activation,
                                            max_position_embeddings=positions, **fields))


def mpnet(vocabulary, hidden_size=72, heads=6, layers=3, inner=300, activation="gelu", positions=300,
          buckets=32, **fields):
    return MPNetModel(MPNetConfig(vocab_size=vocabulary, hidden_size=hidden_size, num_attention_heads=heads,
                                  num_hidden_layers=layers, intermediate_size=inner, hidden_act=activation,
                                  max_position_embeddings=positions, relative_attention_num_buckets=buckets, **fields))


def _roberta_family(config, model):
    def make(vocabulary, hidden_size=88, heads=4, layers=3, inner=201, activation="gelu", positions=300,
             **fields):
        return model(config(vocab_size=vocabulary, hidden_size=hidden_size, num_attention_heads=heads,
                            num_hidden_layers=layers, intermediate_size=inner, hidden_act=activation,
                            max_position_embeddings=positions, type_vocab_size=1, layer_norm_eps=1e-5, **fields))

    return make


# RoBERTa's is saved as it was trained, with a head, which an embedding has no use for, and names that begin "roberta.".
ARCHITECTURES = {"bert": bert, "distilbert": distilbert, "mpnet": mpnet,
                 "roberta": _roberta_family(RobertaConfig, RobertaForMaskedLM),
                 "xlm-roberta": _roberta_family(XLMRobertaConfig, XLMRobertaModel),
                 "camembert": _roberta_family(CamembertConfig, CamembertModel)}


def load_transformer(directory, max_seq_length=None, **options):
    """The encoder of a directory, in fp32 whatever its file holds."""
    transformer = Transformer(str(directory), model_kwargs={"dtype": torch.float32}, **options)
    if max_seq_length is not None:
        transformer.max_seq_length = max_seq_length
    return transformer


def _modules(name, width):
    if name == "bert":
        # Drawn after the Dense was made, with its own seed.
        dense = randomize(Dense(3 * width, 50), 9)
        return [Pooling(width, pooling_mode=["cls", "max", "mean"]), dense, Normalize()]
    if name in ("distilbert", "roberta"):
        return [Pooling(width, pooling_mode="mean")]
    return [Pooling(width, pooling_mode=["mean_sqrt_len_tokens", "weightedmean", "lasttoken"]), Normalize()]


def make(name, tokenizer_source, directory):
    """Writes the model `name`, an architecture, and returns it as sentence-transformers loads it, in fp32."""
    vocabulary = Tokenizer.from_file(str(tokenizer_source / "tokenizer.json")).get_vocab_size()
    # Special tokens that the tokenizer's file lacks get the ids after its own.
    encoder = randomize(ARCHITECTURES[name](vocabulary + 8), 5)
    plain = directory / f"plain-{name}"
    encoder.to(torch.float16 if name == "bert" else torch.float32).save_pretrained(plain)
    for file in TOKENIZER_FILES:
        if (tokenizer_source / file).exists():
            shutil.copy(tokenizer_source / file, plain / file)
    transformer = load_transformer(plain, max_seq_length=256)
    width = transformer.get_embedding_dimension()
    model = SentenceTransformer(modules=[transformer, *_modules(name, width)], device="cpu")
    model.save(str(directory / name))
    return model
