"""Checks of arguments that the native module would only say of that they don't fit."""

from __future__ import annotations

import enum
from datetime import timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, Final, SupportsIndex

import numpy as np

__all__ = ["Unset", "UnsetType", "check_callable", "check_count", "check_flag", "check_str", "seconds", "show"]


class UnsetType(enum.Enum):
    """The type of `Unset`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "remuda.Unset"

    def __bool__(self) -> bool:
        return False


#: As an option of a summary: as if it weren't given, so that the model's files count. None switches an option off instead.
Unset: Final = UnsetType.UNSET


def show(found: object) -> str:
    """The beginning of a value's repr, and its type."""
    try:
        return f"{found!r:.80} ({type(found).__name__})"
    except Exception:  # The caller's own __repr__ may do anything.
        return f"something of type {type(found).__name__}"


def check_str(name: str, value: object, *, optional: bool = False) -> None:
    """Raises ``TypeError`` for what is no str, ``ValueError`` for one that UTF-8 can't hold."""
    if value is None and optional:
        return
    if not isinstance(value, str):
        hint = "; decode the bytes first, with .decode()" if isinstance(value, (bytes, bytearray)) else ""
        raise TypeError(f"{name}: expected a str{hint}, found {show(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name}: has a lone surrogate, half a character; replace it, with "
                             'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")') from None


def check_count(name: str, value: Any, least: int | None = None, *, optional: bool = False) -> None:
    """Raises ``TypeError`` for what is no whole number, ``ValueError`` for one below ``least`` or beyond 64 bits."""
    if value is None and optional:
        return
    at_least = "" if least is None else f", at least {least}"
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name}: expected a whole number{at_least}, found {show(value)}")
    number = value.__index__()
    if (least is not None and number < least) or not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}: expected a whole number{at_least or ' of 64 bits'}, found {show(value)}")


def seconds(name: str, value: Any, expected: str = "seconds") -> float:
    """A duration as seconds: any real number, numpy's, a ``Fraction``, a ``Decimal``, a ``timedelta``; NaN stays NaN.

    Raises ``TypeError`` for what is no duration, ``ValueError`` for a number that no float holds.
    """
    try:
        if isinstance(value, np.timedelta64):  # A number for Python's classes, of its own unit.
            return float(value / np.timedelta64(1, "s"))
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, (Real, Decimal)) and not isinstance(value, (bool, np.bool_)):
            return float(value)
    except (ArithmeticError, ValueError):  # Too large; a signaling NaN.
        raise ValueError(f"{name}: expected {expected} that a float can hold, found {show(value)}") from None
    raise TypeError(f"{name}: expected {expected}, found {show(value)}")


def check_flag(name: str, value: object) -> None:
    """Raises ``TypeError`` for what is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, found {show(value)}")


def check_callable(name: str, value: object) -> None:
    """Raises ``TypeError`` for what is neither a function nor None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a function, found {show(value)}")
