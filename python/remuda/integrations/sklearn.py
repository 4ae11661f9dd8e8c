"""A scikit-learn transformer on a manager:  ``pip install 'remuda[sklearn]'``."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin

from remuda.embedding import EmbeddingModelManager
from remuda.native_manager import list_of_texts
from remuda.settings import get_settings

__all__ = ["TextEmbedder"]


class TextEmbedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts to embeddings, as a step of a pipeline. There is nothing to fit.

    :param model: a directory or a name; None: what the settings say. The manager is made when it is first needed, so that
        the step can be cloned, pickled, and sent to other processes.
    :param normalize_embeddings: scale each to length 1; ``truncate_dim``: the first numbers of each alone.
    """

    def __init__(
        self, model: str | None = None, normalize_embeddings: bool = False, truncate_dim: int | None = None
    ) -> None:
        self.model = model
        self.normalize_embeddings = normalize_embeddings
        self.truncate_dim = truncate_dim

    def fit(self, X: Any, y: Any = None) -> TextEmbedder:
        self._manager_of_model()
        return self

    def transform(self, X: Any) -> Any:
        return self._manager_of_model().encode(
            list_of_texts(X, "[text]"), normalize_embeddings=self.normalize_embeddings, truncate_dim=self.truncate_dim
        )

    def _manager_of_model(self) -> EmbeddingModelManager:
        manager: EmbeddingModelManager | None = getattr(self, "_manager", None)
        if manager is None:
            settings = get_settings()
            if self.model is not None:
                settings.embedding_model = self.model
            manager = self._manager = EmbeddingModelManager(settings)
        return manager

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_manager"}

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        import numpy as np

        width = self._manager_of_model().dimension
        if self.truncate_dim is not None:
            width = min(width, self.truncate_dim)
        return np.array([f"embedding{i}" for i in range(width)], dtype=object)
