#!/usr/bin/env python3
"""Writes tests/golden/checkpoints: files of torch.save in every format, and what torch.load makes of them.

    .venv-peers/bin/python tests/golden/make_checkpoint_golden.py

expected.safetensors has, for a file x.bin, the tensors "x/NAME" as floats; those that hold no floats are not in it.
"""
import collections
import pathlib

import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "checkpoints"


def numbers(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + 1)).to(dtype)


def state_dict():
    """A module's, with its _metadata, tied names, and what old models have beside weights."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 3, bias=False))
    for parameter in module.parameters():
        parameter.data = numbers(*parameter.shape)
    state = module.state_dict()
    state["tied"] = state["0.weight"]
    state["position_ids"] = torch.arange(8).expand((1, -1))
    state["model.encoder.version"] = torch.tensor([3.0])
    return state


def views():
    """Tensors of one storage that begin inside it, that are transposed, spread out, repeated, empty or scalars."""
    base = numbers(12, 10)
    return {
        "base": base, "row": base[3], "rows": base[2:7], "column": base[:, 4], "transposed": base.t(), "block": base[1:5, 2:9],
        "every second": base[::2, ::3], "three dimensions": base.view(3, 4, 10).permute(2, 0, 1), "repeated": base[:1].expand(5, 10),
        "scalar": base[6, 6], "empty": base[4:4], "one column": base[:, :1], "half": numbers(6, 7, dtype=torch.float16).t(),
        "double": numbers(5, 3, dtype=torch.float64).t(),
    }


def dtypes():
    result = {str(dtype).removeprefix("torch."): numbers(5, 3, dtype=dtype)
              for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64)}
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool):
        result[str(dtype).removeprefix("torch.")] = torch.tensor([0, 1, 3]).to(dtype)
    result["complex"] = torch.tensor([1 + 2j])
    result["float8"] = torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn)
    return result


def mixed():
    """Entries that are no tensors, and parameters."""
    return {
        "weight": numbers(2, 3), "parameter": torch.nn.Parameter(numbers(3, 2)), "frozen": torch.nn.Parameter(numbers(2), requires_grad=False),
        "none": None, "int": 7, "big": 1 << 80, "negative": -5, "float": 0.5, "text": "ü" * 300, "list": [1, [2, (3, "x")]], "bool": True,
        "nested": {"inner": numbers(2, 2), "dict": collections.OrderedDict(a=1)}, 5: numbers(1), ("a", "b"): 1, "set": {1, 2},
        "size": torch.Size([2, 3]), "dtype": torch.bfloat16, "device": torch.device("cpu"), "bytes": b"\x00\xff", "counter": collections.Counter("ab"),
    }


def quantized():
    return {"weight": numbers(2, 3), "quantized": torch.quantize_per_tensor(numbers(2, 3), 0.1, 0, torch.qint8),
            "sparse": torch.eye(3).to_sparse()}


def main():
    OUT.mkdir(exist_ok=True)
    files = {}

    def save(name, value, **options):
        torch.save(value, OUT / f"{name}.bin", **options)
        files[name] = value

    for name, value in (("state_dict", state_dict()), ("views", views()), ("dtypes", dtypes()), ("mixed", mixed())):
        save(name, value)
        save(f"{name}_old", value, _use_new_zipfile_serialization=False)
    save("quantized", quantized())
    for protocol in (3, 4, 5):
        save(f"protocol{protocol}", mixed(), pickle_protocol=protocol)
        save(f"protocol{protocol}_old", mixed(), pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    save("nested", {"state_dict": {"weight": numbers(2, 3)}, "epoch": 3})
    expected = {}
    for name, value in files.items():
        for key, tensor in value.items():
            if not isinstance(tensor, torch.Tensor) or tensor.is_quantized or tensor.is_sparse or not isinstance(key, str):
                continue
            if tensor.dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
                expected[f"{name}/{key}"] = tensor.detach().float().clone().contiguous()
    save_file(expected, OUT / "expected.safetensors")


if __name__ == "__main__":
    main()
