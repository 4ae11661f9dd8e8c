"""A progress bar for those who have tqdm, and a plain one for those who haven't."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def progress(items: Sequence[T], label: str) -> Iterator[T]:
    """The items, and on stderr how far through them the caller is."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _plain(items, label)
    return iter(tqdm(items, desc=label))


def _plain(items: Sequence[T], label: str) -> Iterator[T]:
    total = len(items)
    start = time.monotonic()
    width = 30
    for done, item in enumerate(items):
        _write(label, done, total, width, start)
        yield item
    _write(label, total, total, width, start)
    print(file=sys.stderr)


def _write(label: str, done: int, total: int, width: int, start: float) -> None:
    filled = width * done // total
    bar = "#" * filled + "." * (width - filled)
    text = f"\r{label}: {100 * done // total:3d}% [{bar}] {done}/{total}, {time.monotonic() - start:.1f} s"
    print(text, end="", file=sys.stderr, flush=True)
