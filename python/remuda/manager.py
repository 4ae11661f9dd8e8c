"""Managers of models that Python loads."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from remuda import _native
from remuda.pool import Leasing, bytes_of, known_bytes
from remuda.settings import native_settings

__all__ = ["AbstractModelManager"]

T = TypeVar("T")


class _Hooks:
    """What the native pool calls. It doesn't keep the manager alive: leases do, and whoever holds it."""

    def __init__(self, manager: AbstractModelManager[Any]) -> None:
        self.owner: Callable[[], AbstractModelManager[Any] | None] = weakref.ref(manager)

    def get_owner(self) -> AbstractModelManager[Any] | None:
        return self.owner()

    def load(self) -> tuple[Any, Any, int]:
        manager = self.owner()
        if manager is None:
            raise RuntimeError("the manager is gone")
        model = manager._load_model()
        try:
            tokenizer = manager._load_tokenizer()
            return model, tokenizer, bytes_of(manager.memory_bytes, model)
        except BaseException:
            manager._unload_model(model)
            raise

    def unload(self, model: Any, tokenizer: Any) -> None:
        manager = self.owner()
        if manager is not None:
            manager._unload_model(model)

    def check(self, model: Any, tokenizer: Any) -> bool:
        manager = self.owner()
        return manager is None or bool(manager._check_instance(model))


class AbstractModelManager(Leasing[T], ABC):
    """A pool of models of yours, whatever they are: PyTorch's, scikit-learn's, a client of another service.

    ::

        class ToxicityManager(AbstractModelManager[BertForSequenceClassification]):
            model_name = "unitary/toxic-bert"
            model_type = "classification"

            def _load_model(self):
                return BertForSequenceClassification.from_pretrained(self.model_name).eval()

            def _load_tokenizer(self):
                return AutoTokenizer.from_pretrained(self.model_name)

        manager = ToxicityManager(settings)
        with manager.acquire(timeout=10.0) as instance:
            instance.model(**instance.tokenizer(text, return_tensors="pt"))

    ``model_name`` and ``model_type`` may be attributes, properties, or methods. An instance is made when a caller needs
    one and the pool has room, on that caller's thread and without a lock: a loader may take its time, raise (the caller
    gets the exception, the pool is as before), or acquire from another manager.
    """

    def __init__(self, settings: Any = None) -> None:
        """
        :param settings: any object with the attributes of `Settings`; None: what `get_settings` says.
        """
        fields = native_settings(settings)
        self.settings = settings
        self._hooks = _Hooks(self)
        cls = type(self)
        self._pool = _native.ObjectPool(
            load=self._hooks.load,
            unload=self._hooks.unload if cls._unload_model is not AbstractModelManager._unload_model else None,
            check=self._hooks.check if cls._check_instance is not AbstractModelManager._check_instance else None,
            owner=self._hooks.get_owner,
            name=_text_of(self, "model_name"),
            model_type=_text_of(self, "model_type"),
            device=self.get_device(),
            max_instances=fields["model_pool_max_instances"],
            enabled=fields["model_pool_enabled"],
            limits={
                "leak_threshold": fields["leak_threshold"],
                "idle_ttl": fields["idle_ttl"],
                "max_lifetime": fields["max_lifetime"],
                "max_uses": None,
                "min_idle": fields["min_idle"],
                "max_waiting": fields["max_waiting"],
            },
            memory_bytes=known_bytes(self.memory_bytes),
            settings=fields,
        )

    if TYPE_CHECKING:
        # A subclass may have an attribute, a property or a method, which no other type lets it.
        model_name: Any
        model_type: Any
    else:

        @property
        @abstractmethod
        def model_name(self) -> str:
            """Names the model in messages and statistics."""

        @property
        @abstractmethod
        def model_type(self) -> str:
            """The kind of model, for example "classification"."""

    @abstractmethod
    def _load_model(self) -> T:
        """Makes the model of a new instance."""

    def _load_tokenizer(self) -> Any:
        """Makes the tokenizer of a new instance. A model that needs none leaves it as it is: ``instance.tokenizer`` is None."""
        return None

    def _unload_model(self, model: T) -> None:
        """Called with a model that the pool lets go of. What it raises is printed and otherwise ignored."""

    def _check_instance(self, model: T) -> bool:
        """Called with a model that comes home: False, or an exception, and it is not pooled again."""
        return True

    #: Bytes of main memory that an instance takes: a number, for which there is room before the model is loaded, or a
    #: method that is given the model. They count towards ``memory_limit``; 0: not counted.
    memory_bytes: Any = 0

    def get_device(self) -> str:
        """Where instances compute."""
        return "cpu"

    def __del__(self) -> None:
        hooks = getattr(self, "_hooks", None)
        pool = getattr(self, "_pool", None)
        if hooks is None or pool is None:
            return  # The constructor raised.
        # The collector has cleared weak references by now, and what is idle is still to be unloaded by this manager.
        hooks.owner = lambda: self
        try:
            pool.close()
        finally:
            hooks.owner = _nobody

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.get_pool_stats()['name']}>"


def _nobody() -> None:
    return None


def _text_of(manager: AbstractModelManager[Any], name: str) -> str:
    value: Any = getattr(manager, name)
    if callable(value):
        value = value()
    if not isinstance(value, str):
        raise TypeError(f"{type(manager).__name__}.{name}: expected a str, found {value!r:.80}")
    return value
