"""Writes safetensors files of float32, in which transformers and remuda find weights. Python's standard library is enough."""
import json
import math


def write(path, shapes, write_floats):
    """shapes: of the tensors by their names, in the file's order. write_floats(file, name, count) writes one's numbers."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            write_floats(file, name, math.prod(shape))
