"""Reads float32 arrays from .npy files without NumPy."""
import array
import ast
import pathlib


def rows(path):
    """The rows of a two-dimensional array in format 1.0, little-endian, row-major."""
    data = pathlib.Path(path).read_bytes()
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError(f"{path}: expected NumPy's format 1.0, found {data[:8]!r}")
    end = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:end].decode())
    if header["descr"] != "<f4" or header["fortran_order"] or len(header["shape"]) != 2:
        raise ValueError(f"{path}: expected a row-major array of float32 rows, found {header}")
    count, columns = header["shape"]
    values = array.array("f", data[end:])
    return [values[i * columns:(i + 1) * columns] for i in range(count)]
