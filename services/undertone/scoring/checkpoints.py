"""The classifiers that the settings name, and whether other ones are meant by now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from undertone_models.checkpoint import CheckpointError, resolve
from undertone_models.classifier import SentimentClassifier

Stamp = tuple[str | None, tuple[tuple[str, int, int], ...]]


class Checkpoints:
    """Loads a classifier for each route, and again when a path or a file behind it has changed."""

    def __init__(
        self,
        paths: Callable[[], Mapping[str, str | None]],
        load: Callable[[str | None], SentimentClassifier],
    ) -> None:
        """`paths`: checkpoint by route as the settings now say (None: the bundled one)."""
        self._paths, self._load = paths, load
        self._loaded: dict[str, Stamp] = {}
        self._at_work: dict[str, Stamp] = {}

    def load(self) -> dict[str, SentimentClassifier]:
        """By route; a checkpoint that reads several languages is loaded once.

        They are not at work yet: `taken_up` says so.
        """
        paths = self._paths()
        stamps = _stamps(paths)
        loaded = {path: self._load(path) for path in dict.fromkeys(paths.values())}
        self._loaded = stamps
        return {route: loaded[path] for route, path in paths.items()}

    def taken_up(self) -> None:
        """What was loaded last is at work; until then, a change that failed is to be tried again.

        Called where `load` is, before it is called again.
        """
        self._at_work = self._loaded

    def changed(self) -> bool:
        """Whether `load` would now give others than are at work. Raises what `paths` raises."""
        return _stamps(self._paths()) != self._at_work


def _stamps(paths: Mapping[str, str | None]) -> dict[str, Stamp]:
    return {route: (path, _files(path)) for route, path in paths.items()}


def _files(path: str | None) -> tuple[tuple[str, int, int], ...]:
    """Name, time of change and size of each file; nothing where that is no folder here."""
    try:
        folder = Path(resolve(path))
    except CheckpointError:
        return ()
    if not folder.is_dir():
        return ()
    found = [(each.name, each.stat()) for each in sorted(folder.iterdir()) if each.is_file()]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)
