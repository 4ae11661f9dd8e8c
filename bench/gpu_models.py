"""A directory with a BERT of random weights, as large as all-MiniLM-L6-v2, made with numpy alone."""
import json
import pathlib
import random

import numpy as np
import safetensors_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/encoders/bert_mean"
WORDS = ("a", "horse", "one", "two", "three", "the", "of", "course", "dawn", "waits")


def make(directory, small):
    layers, hidden, heads, inner, vocabulary = (2, 64, 2, 128, 1000) if small else (6, 384, 12, 1536, 30527)
    generator = np.random.default_rng(layers)
    tensors = {}

    def matrix(name, *shape):
        tensors[name] = generator.normal(0, 0.05, shape).astype(np.float32)

    def dense(name, rows, columns):
        matrix(f"{name}.weight", rows, columns)
        matrix(f"{name}.bias", rows)

    def norm(name):
        tensors[f"{name}.weight"] = np.ones(hidden, np.float32)
        tensors[f"{name}.bias"] = np.zeros(hidden, np.float32)

    matrix("embeddings.word_embeddings.weight", vocabulary, hidden)
    matrix("embeddings.position_embeddings.weight", 512, hidden)
    matrix("embeddings.token_type_embeddings.weight", 2, hidden)
    norm("embeddings.LayerNorm")
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            dense(f"{at}.attention.self.{name}", hidden, hidden)
        dense(f"{at}.attention.output.dense", hidden, hidden)
        norm(f"{at}.attention.output.LayerNorm")
        dense(f"{at}.intermediate.dense", inner, hidden)
        dense(f"{at}.output.dense", hidden, inner)
        norm(f"{at}.output.LayerNorm")
    config = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": vocabulary, "hidden_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": inner, "hidden_act": "gelu",
              "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0}
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_bytes((GOLDEN / "tokenizer.json").read_bytes())
    shapes = {name: array.shape for name, array in tensors.items()}
    safetensors_file.write(directory / "model.safetensors", shapes, lambda file, name, _: file.write(tensors[name].tobytes()))
    return directory


def texts(count, words):
    choose = random.Random(count)
    return [" ".join(choose.choices(WORDS, k=words)) for _ in range(count)]
