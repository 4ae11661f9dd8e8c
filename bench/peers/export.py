#!/usr/bin/env python3
"""Exports a sentence-transformers model into the formats that the peers load:  export.py MODEL DIRECTORY

Writes DIRECTORY/fp32.onnx (fused by ONNX Runtime's own optimizer for transformers), plain.onnx (OpenVINO does its own
fusing), int8.onnx (dynamic quantization) and ctranslate2/.
"""
import argparse
import json
import logging
import pathlib
import warnings

import ctranslate2
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from transformers import AutoModel

OPSET = 17


def check_pooling(model):
    """The engines here pool by the mean and normalize; another model would be compared on other vectors."""
    modules = [module["type"].rpartition(".")[2] for module in json.loads((model / "modules.json").read_text())]
    pooling = json.loads((model / "1_Pooling/config.json").read_text())
    mean = pooling.get("pooling_mode_mean_tokens") or pooling.get("pooling_mode") == "mean"
    if modules != ["Transformer", "Pooling", "Normalize"] or not mean:
        raise SystemExit(f"{model}: the peers are set up for mean pooling and normalized vectors, found {modules}, "
                         f"{pooling}")


class TokenVectors(torch.nn.Module):
    """The encoder with the two inputs and the one output that the engines use."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def export_onnx(model, path):
    # The optimizer finds attention only where it is written out.
    encoder = AutoModel.from_pretrained(model, attn_implementation="eager").eval()
    ids = torch.ones(2, 7, dtype=torch.long)
    axes = {0: "texts", 1: "tokens"}
    inputs = ["input_ids", "attention_mask"]
    torch.onnx.export(TokenVectors(encoder), (ids, ids), str(path), input_names=inputs, output_names=["vectors"],
                      dynamic_axes={name: axes for name in (*inputs, "vectors")}, dynamo=False, opset_version=OPSET)


def fuse_onnx(model, plain, fused):
    config = json.loads((model / "config.json").read_text())
    optimized = optimizer.optimize_model(str(plain), model_type="bert", num_heads=config["num_attention_heads"],
                                         hidden_size=config["hidden_size"], opt_level=1)
    optimized.save_model_to_file(str(fused))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("directory", type=pathlib.Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)

    model, directory = arguments.model, arguments.directory
    check_pooling(model)
    directory.mkdir(parents=True, exist_ok=True)
    export_onnx(model, directory / "plain.onnx")
    fuse_onnx(model, directory / "plain.onnx", directory / "fp32.onnx")
    quantize_dynamic(str(directory / "plain.onnx"), str(directory / "int8.onnx"), weight_type=QuantType.QInt8,
                     per_channel=True)
    ctranslate2.converters.TransformersConverter(str(model)).convert(str(directory / "ctranslate2"), force=True)


if __name__ == "__main__":
    main()
