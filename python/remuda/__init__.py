"""Pools of machine-learning models: embeddings and summaries on a native engine, and any Python object.

A caller leases an instance from a bounded pool, uses it, and gives it back::

    from remuda import EmbeddingModelManager, get_settings

    manager = EmbeddingModelManager(get_settings())
    vectors = manager.encode(["A horse is a horse.", "Of course."])

    with manager.acquire(timeout=10.0) as instance:
        vector = manager.embed_text("The remuda waits at dawn.", instance)

- `EmbeddingModelManager`, `SummarizationModelManager`: models in Hugging Face's format, computed natively.
- `AbstractModelManager`: the same pool for models that Python loads; `ModelPool`: for any object, from a function.
- `ModelInstance`: what a lease gives. `Settings`, `get_settings`, `read_settings`: what a
  process can configure.
- `gpu_memory`: the machine's GPUs, and what is taken of them; `estimate_memory`: what a model will take.
- `Unset`: an option of a summary that isn't given; None switches one off.
- `remuda.errors`: the exceptions, each one of Python's own, too. Logging goes to ``logging.getLogger("remuda")``.
- `remuda.testing`: managers for tests that load nothing. ``python -m remuda.migrate``: from a singleton to this.
"""

from remuda import logs as _logs  # noqa: F401  From here on the native log goes to Python's.
from remuda._arguments import Unset
from remuda._native import __version__
from remuda.embedding import EmbeddingModelManager, Embeddings, quantize_embeddings
from remuda.errors import (
    AcquireTimeout,
    Cancelled,
    DeviceError,
    InternalError,
    InvalidArgument,
    InvalidFile,
    IoError,
    NotFound,
    OutOfMemory,
    Overloaded,
    PoolClosed,
    RemudaError,
    Unsupported,
)
from remuda.gpus import GpuMemory, estimate_memory, gpu_memory
from remuda.manager import AbstractModelManager
from remuda.pool import Leasing, ModelInstance, ModelPool
from remuda.settings import Settings, get_settings, read_settings
from remuda.summarization import (
    DocumentPart,
    GeneratedText,
    LongSummary,
    SummarizationModelManager,
    Summary,
)

__all__ = [
    "AbstractModelManager",
    "AcquireTimeout",
    "Cancelled",
    "DeviceError",
    "DocumentPart",
    "EmbeddingModelManager",
    "Embeddings",
    "GeneratedText",
    "GpuMemory",
    "InternalError",
    "InvalidArgument",
    "InvalidFile",
    "IoError",
    "Leasing",
    "LongSummary",
    "ModelInstance",
    "ModelPool",
    "NotFound",
    "OutOfMemory",
    "Overloaded",
    "PoolClosed",
    "RemudaError",
    "Settings",
    "SummarizationModelManager",
    "Summary",
    "Unset",
    "Unsupported",
    "__version__",
    "estimate_memory",
    "get_settings",
    "gpu_memory",
    "quantize_embeddings",
    "read_settings",
]
