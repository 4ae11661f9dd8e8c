"""Writes a safetensors file's tensors as torch.save writes them: pytorch_model.bin, a zip archive since PyTorch 1.6.

Python's standard library is enough.
"""
import json
import mmap
import struct
import zipfile

STORAGES = {"F32": ("FloatStorage", 4), "F16": ("HalfStorage", 2), "BF16": ("BFloat16Storage", 2), "F64": ("DoubleStorage", 8)}
ALIGNMENT = 64  # Of a storage's bytes in the file.


def _text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def _global(module, name):
    return f"c{module}\n{name}\n".encode()


def _tuple(*items):
    return b"(" + b"".join(items) + b"t"


def _tensor(key, kind, shape):
    count, strides = 1, []
    for size in reversed(shape):
        strides.insert(0, count)
        count *= size
    storage = _tuple(_text("storage"), _global("torch", kind), _text(key), _text("cpu"), _integer(count)) + b"Q"
    arguments = (storage, _integer(0), _tuple(*map(_integer, shape)), _tuple(*map(_integer, strides)), b"\x89",
                 _global("collections", "OrderedDict") + b")R")
    return _global("torch._utils", "_rebuild_tensor_v2") + _tuple(*arguments) + b"R"


def _write_entry(archive, name, data):
    entry = zipfile.ZipInfo(f"archive/{name}")
    entry.external_attr = 0o600 << 16
    begin = archive.fp.tell() + 30 + len(entry.filename) + 4
    padding = -begin % ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding  # As PyTorch pads.
    archive.writestr(entry, data)


def write(path, safetensors_path):
    with safetensors_path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        length = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:8 + length])
        header.pop("__metadata__", None)
        items = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
        pickle = b"\x80\x02}("
        for number, (name, tensor) in enumerate(items):
            pickle += _text(name) + _tensor(str(number), STORAGES[tensor["dtype"]][0], tensor["shape"])
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive, memoryview(content) as view:
            _write_entry(archive, "data.pkl", pickle + b"u.")
            _write_entry(archive, "byteorder", b"little")
            for number, (_, tensor) in enumerate(items):
                begin, end = (8 + length + offset for offset in tensor["data_offsets"])
                _write_entry(archive, f"data/{number}", bytes(view[begin:end]))
            _write_entry(archive, "version", b"3\n")
