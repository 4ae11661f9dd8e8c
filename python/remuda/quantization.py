"""Embeddings in fewer bits, as sentence-transformers makes them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from remuda._arguments import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PRECISIONS", "quantize_embeddings"]

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
# Ranges of fewer embeddings say little about the next ones.
_ENOUGH = 100

_logger = logging.getLogger("remuda")


def quantize_embeddings(
    embeddings: NDArray[Any] | Sequence[NDArray[Any]],
    precision: str,
    ranges: NDArray[Any] | None = None,
    calibration_embeddings: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Embeddings in fewer bits, equal to sentence-transformers' function of this name.

    :param embeddings: [texts, dimension], or a list of rows; "binary" and "ubinary" also take one, [dimension].
    :param precision: "int8" and "uint8": each dimension's range in 255 steps; "binary" and "ubinary": a bit a
        dimension, above 0 or not, eight of them in a byte, a row's last byte filled up with zeros; "float32".
    :param ranges: [2, dimension], the least and the greatest number of each dimension.
    :param calibration_embeddings: embeddings to take the ranges of where they aren't given. None: ``embeddings`` itself,
        which should then be hundreds.
    :raises ValueError: where the ranges of one embedding would be asked for.
    """
    rows = _numbers("embeddings", embeddings)
    if precision == "float32":
        return rows.astype(np.float32)
    if precision in ("binary", "ubinary"):
        bits: NDArray[Any] = np.packbits(rows > 0, axis=-1)
        return bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)
    if precision not in ("int8", "uint8"):
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}")
    kind: Any = np.int8 if precision == "int8" else np.uint8
    if rows.ndim == 2 and len(rows) == 0:
        return np.zeros(rows.shape, kind)
    if ranges is None:
        given = rows if calibration_embeddings is None else _numbers("calibration_embeddings", calibration_embeddings)
        ranges = _ranges_of(given, precision, calibration_embeddings is None)
    limits = np.asarray(ranges).astype(np.float32, copy=False)
    starts = limits[0, :]
    steps = (limits[1, :] - starts) / 255
    steps = np.where(steps == 0, 1, steps)  # A dimension that is the same in all.
    scaled = np.clip(np.floor((rows - starts) / steps), 0, 255)
    return (scaled if precision == "uint8" else scaled - 128).astype(kind)


def _ranges_of(rows: NDArray[Any], precision: str, of_themselves: bool) -> NDArray[Any]:
    if of_themselves and (rows.ndim == 1 or len(rows) == 1):
        raise ValueError(
            f"precision: {precision} needs the ranges of many embeddings, found one; give quantize_embeddings() "
            "`ranges` or `calibration_embeddings`, or encode many texts at once"
        )
    if of_themselves and len(rows) < _ENOUGH:
        _logger.warning(
            "%s ranges are of %d embeddings alone; of hundreds, given as `ranges` or `calibration_embeddings`, they fit "
            "later ones, too",
            precision,
            len(rows),
        )
    limits: NDArray[Any] = np.vstack((np.min(rows, axis=0), np.max(rows, axis=0)))
    return limits


def _numbers(name: str, values: Any) -> NDArray[Any]:
    try:
        rows = np.asarray(values)
    except ValueError:  # Rows of different lengths.
        raise ValueError(f"{name}: expected rows of one length, found {show(values)}") from None
    if rows.dtype in (np.int8, np.uint8):
        raise TypeError(f"{name}: expected embeddings as numbers, found {rows.dtype}: they are quantized already")
    if rows.ndim not in (1, 2) or rows.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected an array of numbers, [texts, dimension], found {show(values)}")
    return rows
