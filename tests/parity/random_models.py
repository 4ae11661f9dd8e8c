"""Random-weight models of odd shapes, saved as real sentence-transformers directories.

Weights are drawn larger than for training, so that outputs vary and an error shows.
"""
import shutil

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, MPNetConfig, MPNetModel

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")
VOCABULARY = 30522


def _randomize(model, seed):
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


def bert():
    return BertModel(BertConfig(vocab_size=VOCABULARY, hidden_size=132, num_attention_heads=11, num_hidden_layers=3,
                                intermediate_size=250, hidden_act="gelu_new", max_position_embeddings=300))


def distilbert():
    return DistilBertModel(DistilBertConfig(vocab_size=VOCABULARY, dim=100, n_heads=5, n_layers=4, hidden_dim=177,
                                            activation="relu", max_position_embeddings=290))


def mpnet():
    return MPNetModel(MPNetConfig(vocab_size=VOCABULARY, hidden_size=72, num_attention_heads=6, num_hidden_layers=3,
                                  intermediate_size=300, max_position_embeddings=300, relative_attention_num_buckets=32))


def _modules(name, width):
    if name == "bert":
        # Drawn after the Dense was made, with its own seed.
        dense = _randomize(Dense(3 * width, 50), 9)
        return [Pooling(width, pooling_mode=["cls", "max", "mean"]), dense, Normalize()]
    if name == "distilbert":
        return [Pooling(width, pooling_mode="mean")]
    return [Pooling(width, pooling_mode=["mean_sqrt_len_tokens", "weightedmean", "lasttoken"]), Normalize()]


def make(name, tokenizer_source, directory):
    """Writes the model `name` (bert, distilbert or mpnet) and returns it as sentence-transformers loads it, in fp32."""
    encoder = _randomize({"bert": bert, "distilbert": distilbert, "mpnet": mpnet}[name](), 5)
    plain = directory / "plain"
    encoder.to(torch.float16 if name == "bert" else torch.float32).save_pretrained(plain)
    for file in TOKENIZER_FILES:
        shutil.copy(tokenizer_source / file, plain / file)
    transformer = Transformer(str(plain), model_kwargs={"dtype": torch.float32})
    transformer.max_seq_length = 256
    width = transformer.get_embedding_dimension()
    model = SentenceTransformer(modules=[transformer, *_modules(name, width)], device="cpu")
    model.save(str(directory / name))
    return model
