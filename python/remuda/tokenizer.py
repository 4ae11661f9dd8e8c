"""A model's tokenizer, with the calls that transformers' tokenizers have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from remuda import _native
from remuda._arguments import check_count, check_flag, check_str
from remuda.native_manager import list_of_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Tokenizer"]

# Names of padding tokens, by the family of tokenizers.
_PADS = ("[PAD]", "<pad>")


class Tokenizer:
    """Text to token ids and back. Any number of threads may use one at once.

    ::

        manager.tokenizer("a horse")["input_ids"]
        manager.tokenizer.decode([101, 1037, 3586, 102], skip_special_tokens=True)

    :param directory: of the model.
    :param model_max_length: tokens that a call with ``truncation=True`` cuts texts at.
    """

    def __init__(self, directory: str, model_max_length: int) -> None:
        self._native = _native.Tokenizer(directory)
        self.name_or_path: str = directory
        self.model_max_length: int = model_max_length
        ids = [found for name in _PADS if (found := self._native.id(name)) is not None]
        self.pad_token_id: int = ids[0] if ids else 0

    def __call__(
        self,
        text: str | Iterable[str],
        *,
        add_special_tokens: bool = True,
        padding: bool = True,
        truncation: bool = True,
        max_length: int | None = None,
        return_tensors: str | None = "np",
    ) -> dict[str, Any]:
        """``input_ids`` and ``attention_mask`` of texts.

        :param padding: to the longest; False: lists of different lengths, and no array.
        :param truncation: at ``max_length``, which is `model_max_length` where it isn't given.
        :param return_tensors: "np", arrays; "pt", PyTorch's tensors; None, lists.
        """
        for name, value in (("add_special_tokens", add_special_tokens), ("padding", padding), ("truncation", truncation)):
            check_flag(name, value)
        if return_tensors not in ("np", "pt", None):
            raise ValueError(f"return_tensors: expected 'np', 'pt' or None, found {return_tensors!r}")
        listed = [text] if isinstance(text, str) else list_of_texts(text, "tokenizer")
        limit = (self.model_max_length if max_length is None else max_length) if truncation else None
        rows = [ids for ids, _, _ in self._tokenize(listed, limit, add_special_tokens)]
        if not padding and return_tensors is None:
            alone = isinstance(text, str)
            masks = [[1] * len(row) for row in rows]
            return {"input_ids": rows[0] if alone else rows, "attention_mask": masks[0] if alone else masks}
        return self._padded(rows, return_tensors)

    def _padded(self, rows: list[list[int]], return_tensors: str | None) -> dict[str, Any]:
        width = max(map(len, rows), default=0)
        ids: NDArray[np.int64] = np.full((len(rows), width), self.pad_token_id, np.int64)
        mask: NDArray[np.int64] = np.zeros((len(rows), width), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        arrays: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if return_tensors == "pt":
            import torch

            return {name: torch.from_numpy(array) for name, array in arrays.items()}
        return arrays if return_tensors == "np" else {name: array.tolist() for name, array in arrays.items()}

    def _tokenize(
        self, texts: list[str], max_length: int | None, special_tokens: bool
    ) -> list[tuple[list[int], list[str], int]]:
        check_count("max_length", max_length, least=1, optional=True)
        return self._native.tokenize(texts, max_length, special_tokens)

    def encode(self, text: str, add_special_tokens: bool = True, max_length: int | None = None) -> list[int]:
        """A text's token ids; cut only where ``max_length`` says so."""
        check_str("text", text)
        check_flag("add_special_tokens", add_special_tokens)
        return self._tokenize([text], max_length, add_special_tokens)[0][0]

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[str]:
        """A text's tokens, as they stand in the vocabulary."""
        check_str("text", text)
        check_flag("add_special_tokens", add_special_tokens)
        return self._tokenize([text], None, add_special_tokens)[0][1]

    def decode(self, token_ids: int | Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of some ids, as transformers' ``decode`` has it."""
        check_flag("skip_special_tokens", skip_special_tokens)
        listed: Iterable[Any] = np.atleast_1d(np.asarray(token_ids)).tolist()
        return self._native.decode(_ids(listed), skip_special_tokens)

    def batch_decode(self, sequences: Iterable[Iterable[int]], skip_special_tokens: bool = False) -> list[str]:
        """The texts of several lists of ids."""
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        """The token of an id, or the tokens of several; None for an id that has none."""
        if isinstance(ids, Iterable):
            return [self._native.token(i) for i in _ids(ids)]
        return self._native.token(_ids([ids])[0])

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or the ids of several; None for a token that isn't there."""
        if isinstance(tokens, str):
            return self._native.id(tokens)
        return [self._native.id(token) for token in list_of_texts(tokens, "convert_tokens_to_ids")]

    @property
    def vocab_size(self) -> int:
        """One more than the largest id, added tokens included."""
        return self._native.vocab_size

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"<remuda.Tokenizer: {self.vocab_size} tokens of {self.name_or_path}>"


def _ids(values: Iterable[Any]) -> list[int]:
    found: list[int] = []
    for value in values:
        check_count("id", value)
        if not 0 <= value < 2**31:
            raise ValueError(f"id: expected a token id, found {value!r}")
        found.append(value.__index__())
    return found
