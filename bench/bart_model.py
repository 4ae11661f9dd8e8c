"""Makes a BART with random weights, of bart-large-cnn's shape or tiny, as a Hugging Face directory.

Python's standard library is enough.
"""
import array
import dataclasses
import json
import random

import common
import safetensors_file

SPREAD = 0.02  # Of the weights: what BART's are initialised with.
MADE_NUMBERS = 1 << 20  # Drawn once, and then taken from random places; drawing 406 million would take minutes.
PIECE = 8192
SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
# bart-large-cnn's, but for the lengths, which a measurement sets.
GENERATION = {"num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram_size": 3, "early_stopping": True,
              "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
              "forced_bos_token_id": 0, "forced_eos_token_id": 2}


@dataclasses.dataclass
class Shape:
    name: str
    layers: int  # Of the encoder, and of the decoder.
    width: int
    heads: int
    inner: int
    positions: int
    vocabulary: int
    words: bool = False  # Its tokens are GPT-2's; else bytes, and made up words.


LARGE = Shape("bart-large-shape", layers=12, width=1024, heads=16, inner=4096, positions=1024, vocabulary=50264, words=True)
TINY = Shape("bart-tiny", layers=2, width=64, heads=4, inner=160, positions=512, vocabulary=264)


def config(shape):
    return {"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "is_encoder_decoder": True,
            "d_model": shape.width, "encoder_layers": shape.layers, "decoder_layers": shape.layers,
            "encoder_attention_heads": shape.heads, "decoder_attention_heads": shape.heads,
            "encoder_ffn_dim": shape.inner, "decoder_ffn_dim": shape.inner, "vocab_size": shape.vocabulary,
            "max_position_embeddings": shape.positions, "activation_function": "gelu", "scale_embedding": False,
            "tie_word_embeddings": True, "dtype": "float32", "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
            "decoder_start_token_id": 2, "forced_eos_token_id": 2,
            # As old checkpoints have them; CTranslate2's converter asks for them.
            "normalize_before": False, "normalize_embedding": True, "add_final_layer_norm": False}


def _linear(name, outputs, inputs):
    return {f"{name}.weight": [outputs, inputs], f"{name}.bias": [outputs]}


def _norm(name, width):
    return {f"{name}.weight": [width], f"{name}.bias": [width]}


def _layer(name, shape, attentions):
    tensors = {}
    for attention in attentions:
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tensors |= _linear(f"{name}.{attention}.{projection}", shape.width, shape.width)
        tensors |= _norm(f"{name}.{attention}_layer_norm", shape.width)
    tensors |= _linear(f"{name}.fc1", shape.inner, shape.width) | _linear(f"{name}.fc2", shape.width, shape.inner)
    return tensors | _norm(f"{name}.final_layer_norm", shape.width)


def tensors_of(shape):
    """Names and sizes of all tensors."""
    tensors = {"final_logits_bias": [1, shape.vocabulary], "model.shared.weight": [shape.vocabulary, shape.width]}
    for part, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        tensors[f"model.{part}.embed_positions.weight"] = [shape.positions + 2, shape.width]
        tensors |= _norm(f"model.{part}.layernorm_embedding", shape.width)
        for layer in range(shape.layers):
            tensors |= _layer(f"model.{part}.layers.{layer}", shape, attentions)
    return tensors


def _write_values(file, name, count, numbers, generator):
    if name.endswith("bias"):
        file.write(bytes(4 * count))
    elif "norm" in name:
        file.write(array.array("f", [1.0]).tobytes() * count)
    else:
        for begin in range(0, count, PIECE):
            piece = min(PIECE, count - begin)
            first = generator.randrange(len(numbers) - piece)
            file.write(numbers[first:first + piece])


def _write_weights(path, shape):
    generator = random.Random(1)
    numbers = memoryview(array.array("f", (generator.gauss(0, SPREAD) for _ in range(MADE_NUMBERS))))
    safetensors_file.write(path, tensors_of(shape),
                           lambda file, name, count: _write_values(file, name, count, numbers, generator))


def bytes_as_characters():
    """The characters that stand for bytes in GPT-2's vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + i) for i in range(len(hidden))]


def write_tokenizer(directory, shape):
    """Byte-level BPE with BART's special tokens around GPT-2's vocabulary, or around the bytes alone."""
    if shape.words:
        common.run(["bash", common.ROOT / "scripts/fetch_gpt2_vocabulary.sh"])
        source = common.ROOT / "build/gpt2_vocabulary"
        ids = json.loads((source / "vocab.json").read_text(encoding="utf-8"))
        pieces = [piece for piece in sorted(ids, key=ids.get) if piece != "<|endoftext|>"]
        merges = (source / "merges.txt").read_text(encoding="utf-8")
    else:
        pieces, merges = bytes_as_characters(), "#version: 0.2\n"
    pieces = [*SPECIAL, *pieces]
    pieces += [f"madeupword{i:04}" for i in range(shape.vocabulary - len(pieces) - 1)] + ["<mask>"]
    (directory / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}), encoding="utf-8")
    (directory / "merges.txt").write_text(merges, encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BartTokenizer", "model_max_length": shape.positions}))


def make(directory, shape):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config(shape), indent=1))
    (directory / "generation_config.json").write_text(json.dumps(GENERATION, indent=1))
    write_tokenizer(directory, shape)
    _write_weights(directory / "model.safetensors", shape)
