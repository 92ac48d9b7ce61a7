"""Another checkpoint without a stop: loaded beside the one at work, warmed, put in its place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from undertone.errors import ConfigurationError
from undertone.pulse import Pulse, warm
from undertone.scoring.cache import ScoreCache
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.stages import Lane, Model
from undertone_models.classifier import SentimentClassifier

log = logging.getLogger(__name__)


class ModelChanges:
    """Puts classifiers to work, at most one change at a time."""

    def __init__(self, metrics: ScoreMetrics, cache_entries: int) -> None:
        self._metrics, self._cache_entries = metrics, cache_entries
        self._changing = threading.Lock()

    def model_of(
        self, classifier: SentimentClassifier, load: Callable[[], SentimentClassifier] | None
    ) -> Model:
        """A classifier with a cache of its own, still empty; `load` gives it anew if it dies."""
        return Model(Pulse(classifier, load), ScoreCache(classifier.name, self._cache_entries))

    def begin(
        self,
        lanes: Mapping[str, Lane],
        load: Callable[[], Mapping[str, SentimentClassifier]],
        on_taken_up: Callable[[], None] = lambda: None,
    ) -> threading.Thread:
        """`change` in a thread of its own, which is returned."""
        thread = threading.Thread(
            target=self.change,
            args=(lanes, load, on_taken_up),
            name="score-model-change",
            daemon=True,
        )
        thread.start()
        return thread

    def change(
        self,
        lanes: Mapping[str, Lane],
        load: Callable[[], Mapping[str, SentimentClassifier]],
        on_taken_up: Callable[[], None] = lambda: None,
    ) -> bool:
        """Load classifiers by route and let their lanes read by them; whether that was done.

        `on_taken_up` is told of it, before another change may load.
        Where anything fails all lanes keep what they have. A message is read whole by one model:
        what has been decoded is finished by the one before.
        """
        with self._changing:
            try:
                loaded = load()
                changed = _by_lane(lanes, loaded)
                for classifier in changed.values():
                    warm(classifier)
            except Exception as error:  # whatever a checkpoint does, scoring goes on
                self._metrics.model_changes.labels("refused").inc()
                names = ", ".join(sorted({each.model.classifier.name for each in lanes.values()}))
                log.error("the model was not changed, %s goes on: %s", names, error)
                return False
            for lane, classifier in changed.items():
                before = lane.model.pulse
                lane.model = self.model_of(classifier, before.load)
                log.info("model changed: %s (before: %s)", classifier.name, before.classifier.name)
            on_taken_up()
            self._metrics.model_changes.labels("taken_up").inc()
            return True


def _by_lane(
    lanes: Mapping[str, Lane], loaded: Mapping[str, SentimentClassifier]
) -> dict[Lane, SentimentClassifier]:
    """Raises ConfigurationError where the routes are others, or no longer share as they did."""
    if loaded.keys() != lanes.keys():
        raise ConfigurationError(
            f"models: now for {', '.join(sorted(loaded))}, at the start for "
            f"{', '.join(sorted(lanes))}",
            hint="Start `undertone score` again: languages cannot be added or taken away at work.",
        )
    changed: dict[Lane, SentimentClassifier] = {}
    for route, classifier in sorted(loaded.items()):
        if changed.setdefault(lanes[route], classifier).name != classifier.name:
            raise ConfigurationError(
                f"models: {route} shared its checkpoint with another language at the start, and "
                "now has one of its own",
                hint="Start `undertone score` again.",
            )
    return changed
