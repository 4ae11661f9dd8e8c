"""The exceptions of remuda.

Each is also one of Python's own: code that knows nothing of remuda catches ``TimeoutError``, ``ValueError``,
``FileNotFoundError``, ``MemoryError`` or ``OSError``. Arguments of a wrong type raise ``TypeError`` itself.
"""

from __future__ import annotations

__all__ = [
    "AcquireTimeout",
    "Cancelled",
    "DeviceError",
    "InternalError",
    "InvalidArgument",
    "InvalidFile",
    "IoError",
    "NotFound",
    "OutOfMemory",
    "Overloaded",
    "PoolClosed",
    "RemudaError",
    "Unsupported",
]


class RemudaError(Exception):
    """What everything that remuda raises is, besides one of Python's own exceptions."""


class InvalidArgument(RemudaError, ValueError):
    """An argument or a setting that can't be used; the message names it."""


class NotFound(RemudaError, FileNotFoundError):
    """A file, a directory or a model that does not exist."""


class InvalidFile(RemudaError, ValueError):
    """A file whose content is damaged or contradicts itself."""


class Unsupported(RemudaError, ValueError):
    """A well-formed file that describes something that remuda can't run."""


class IoError(RemudaError, OSError):
    """The operating system refused to read or write."""


class AcquireTimeout(RemudaError, TimeoutError):
    """A wait ended at its deadline; the message says who holds the instances, and for how long."""


class Overloaded(RemudaError, RuntimeError):
    """Too many callers wait already; later there may be room."""


class PoolClosed(RemudaError, RuntimeError):
    """The pool was closed; it gives out nothing any more."""


class OutOfMemory(RemudaError, MemoryError):
    """Memory that was asked for does not fit; the message has the figures."""


class DeviceError(RemudaError, RuntimeError):
    """A GPU failed while it was used, or is lost to this process: ``device`` is its id, ``is_lost`` says which."""

    device: str = ""
    is_lost: bool = False


class Cancelled(RemudaError, RuntimeError):
    """The call was cancelled from elsewhere."""


class InternalError(RemudaError, RuntimeError):
    """A broken invariant: a bug in remuda."""


#: What the native code raises, by the name of its error code.
BY_CODE: dict[str, type[RemudaError]] = {
    "invalid_argument": InvalidArgument,
    "not_found": NotFound,
    "invalid_file": InvalidFile,
    "unsupported": Unsupported,
    "io": IoError,
    "timeout": AcquireTimeout,
    "overloaded": Overloaded,
    "pool_closed": PoolClosed,
    "out_of_memory": OutOfMemory,
    "device_error": DeviceError,
    "cancelled": Cancelled,
    "internal": InternalError,
}
