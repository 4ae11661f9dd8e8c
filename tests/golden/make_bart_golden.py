#!/usr/bin/env python3
"""Writes tests/golden/bart: tiny BART models with random weights, and what transformers computes with them.

Needs transformers 5.23, torch and safetensors (bench/requirements.txt); takes some seconds:

    python3 tests/golden/make_bart_golden.py

Each model has a directory of its own with config.json, model.safetensors and expected.safetensors, which holds for each
case I: ids.I (the document), decoder_ids.I, encoder.I ([tokens, d_model], the encoder's output) and logits.I
([decoder tokens, vocab_size], by teacher forcing). The shapes are odd on purpose, weights large enough for varied
logits, and layer norms, biases and final_logits_bias are not what models are initialised with.
"""

import json
import pathlib

import safetensors.torch
import torch
import transformers
from transformers import BartConfig, BartForConditionalGeneration, BartModel

TARGET = pathlib.Path(__file__).parent / "bart"

MODELS = {
    # The encoder deeper than the decoder, as in distilbart.
    "distilled": dict(
        d_model=24, encoder_layers=3, decoder_layers=1, encoder_attention_heads=3, decoder_attention_heads=2,
        encoder_ffn_dim=50, decoder_ffn_dim=31, vocab_size=61, max_position_embeddings=40,
        activation_function="gelu"),
    # Scaled embeddings; heads of 9 and of 12.
    "scaled": dict(
        d_model=36, encoder_layers=1, decoder_layers=3, encoder_attention_heads=4, decoder_attention_heads=3,
        encoder_ffn_dim=29, decoder_ffn_dim=60, vocab_size=203, max_position_embeddings=70, scale_embedding=True,
        activation_function="relu", pad_token_id=3, bos_token_id=5, eos_token_id=7, decoder_start_token_id=9),
    # An output layer of its own; one head of 40.
    "untied": dict(
        d_model=40, encoder_layers=2, decoder_layers=2, encoder_attention_heads=5, decoder_attention_heads=1,
        encoder_ffn_dim=44, decoder_ffn_dim=37, vocab_size=101, max_position_embeddings=33,
        activation_function="gelu_new", tie_word_embeddings=False),
    # Saved without the output layer: names have no prefix.
    "bare": dict(
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=35, vocab_size=131, max_position_embeddings=50, scale_embedding=True),
}  # fmt: skip
CASES = [(1, 9), (7, 14), (33, 20)]  # Tokens of the document, tokens of the decoder.


def randomise(model, generator):
    for name, parameter in model.named_parameters():
        scale = 1.0 if "embed_tokens" in name or "shared" in name else 0.25
        values = torch.randn(parameter.shape, generator=generator) * scale
        if "layer_norm" in name or "layernorm" in name:
            values = values * 0.5 + (1.0 if name.endswith("weight") else 0.0)
        parameter.data.copy_(values)
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias.copy_(torch.randn(model.final_logits_bias.shape, generator=generator))


@torch.no_grad()
def expected_of(model, config, generator):
    result = {}
    for index, (tokens, decoder_tokens) in enumerate(CASES):
        ids = torch.randint(config.vocab_size, (1, tokens), generator=generator)
        decoder_ids = torch.randint(config.vocab_size, (1, decoder_tokens), generator=generator)
        decoder_ids[0, 0] = config.decoder_start_token_id
        mask = torch.ones_like(ids)
        output = model(input_ids=ids, attention_mask=mask, decoder_input_ids=decoder_ids, use_cache=False)
        if isinstance(model, BartModel):
            logits = output.last_hidden_state @ model.shared.weight.T
        else:
            logits = output.logits
        result[f"ids.{index}"] = ids[0].to(torch.int32)
        result[f"decoder_ids.{index}"] = decoder_ids[0].to(torch.int32)
        result[f"encoder.{index}"] = output.encoder_last_hidden_state[0].contiguous()
        result[f"logits.{index}"] = logits[0].contiguous()
    return result


def main():
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    for seed, (name, fields) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(seed)
        config = BartConfig(**fields)
        model = (BartModel if name == "bare" else BartForConditionalGeneration)(config).eval()
        randomise(model, generator)
        directory = TARGET / name
        model.save_pretrained(directory)
        (directory / "generation_config.json").unlink(missing_ok=True)
        expected = expected_of(model, config, generator)
        safetensors.torch.save_file(expected, directory / "expected.safetensors", metadata=versions)
        print(json.dumps({"model": name, "spread": expected["logits.2"].std(1).mean().item()}))


if __name__ == "__main__":
    main()
