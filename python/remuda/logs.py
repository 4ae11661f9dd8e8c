"""The native log follows the level of ``logging.getLogger("remuda")``."""

from __future__ import annotations

import logging

from remuda import _native

logger: logging.Logger = logging.getLogger("remuda")


def follow_level() -> None:
    """Tell the native code what Python's logger wants to see."""
    level = logger.getEffectiveLevel()
    _native.set_log_level(max(level, logger.manager.disable + 1))


class _FollowedCache(dict[int, bool]):
    """A logger keeps here which levels it lets through, and clears it whenever any logger's level changes.

    That is the one moment to follow: asking the logger for its level with each event would cost more than a lease.
    """

    def clear(self) -> None:
        super().clear()
        follow_level()


logger._cache = _FollowedCache()  # type: ignore[attr-defined]
follow_level()
