"""Follows the alerts topic and keeps an annotation in Grafana for each alert.

A process of its own: it needs no partition of the watcher, a Grafana that fails holds up nothing
else, and its place in the topic is committed only when Grafana has taken what stands before it.
What it reads again after a crash it finds by its tags, and leaves alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
)

from undertone.alerting.annotations import annotation_of, identity_tags, revision_of
from undertone.dashboards.client import (
    GrafanaAccessError,
    GrafanaClient,
    GrafanaUnavailableError,
)
from undertone.errors import BrokerError, GrafanaError, RecordError
from undertone.records import Alert
from undertone.settings import Settings
from undertone.transport.clients import consumer, ends_of
from undertone.transport.topics import TopicNames, ensure_topics, topic_specs

POLL_MS = 500
LONGEST_WAIT_SECONDS = 60.0

log = logging.getLogger(__name__)


class Annotator:
    """Brings Grafana's annotations to what revisions of alerts say.

    `sleep` waits between attempts; `stopped` ends them. A Grafana that cannot be reached is asked
    again until it can; one that refuses an annotation is left without it.
    """

    def __init__(
        self,
        client: GrafanaClient,
        prefix: str,
        *,
        board_url: str | None = None,
        stopped: threading.Event,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._board_url = board_url
        self._retrying = Retrying(
            retry=retry_if_exception_type(GrafanaUnavailableError),
            wait=wait_exponential(multiplier=0.5, max=LONGEST_WAIT_SECONDS),
            stop=stop_when_event_set(stopped),
            sleep=sleep or sleep_using_event(stopped),
            before_sleep=_say_that_it_waits,
            reraise=True,
        )

    def take(self, alerts: Iterable[Alert]) -> int:
        """Tell the newest revision of each alert; returns how many annotations were written.

        Raises GrafanaAccessError, and GrafanaUnavailableError when stopped while it waits.
        """
        newest: dict[str, Alert] = {}
        for alert in alerts:
            if alert.id not in newest or alert.revision > newest[alert.id].revision:
                newest[alert.id] = alert
        return sum(self._tell(alert) for alert in newest.values())

    def _tell(self, alert: Alert) -> bool:
        try:
            return bool(self._retrying(self._upsert, alert))
        except (GrafanaAccessError, GrafanaUnavailableError):
            raise
        except GrafanaError as error:
            log.warning("the annotation of alert %s was refused: %s", alert.id, error)
            return False

    def _upsert(self, alert: Alert) -> bool:
        # Also what an attempt did whose answer was lost is found here, and not done twice.
        found = self._client.find_annotations(identity_tags(alert, self._prefix))
        if any(revision_of(item.get("tags") or ()) >= alert.revision for item in found):
            return False
        annotation = annotation_of(alert, self._prefix, self._board_url)
        if found:
            self._client.update_annotation(int(found[0]["id"]), annotation)
        else:
            self._client.add_annotation(annotation)
        return True


def follow_alerts(
    settings: Settings, annotator: Annotator, stopped: threading.Event, *, once: bool = False
) -> int:
    """Annotate from the committed place on, until stopped, or with `once` to the present end.

    Returns how many annotations were written. Raises BrokerError, TopicError, GrafanaAccessError.
    """
    names = TopicNames(settings.prefix)
    place = TopicPartition(names.alerts, 0)
    ensure_topics(
        settings.kafka, [spec for spec in topic_specs(settings) if spec.name == names.alerts]
    )
    written = 0
    try:
        # Assigned, not subscribed: one partition, and a Grafana that is away for an hour must not
        # cost the place in a group.
        with closing(consumer(settings.kafka, group_id=names.annotate_group)) as client:
            client.assign([place])
            end = ends_of(client, [place])[place]
            while not stopped.is_set() and not (once and client.position(place) >= end):
                records = client.poll(timeout_ms=POLL_MS).get(place, [])
                if records:
                    written += annotator.take(_alerts(records))
                    client.commit()
    except GrafanaUnavailableError:
        if not stopped.is_set():
            raise
    except KafkaError as error:
        raise BrokerError(
            f"Kafka at {settings.kafka.bootstrap} failed: {error}",
            hint="Start it again: it goes on from where it was.",
        ) from None
    return written


def _alerts(records: Iterable[Any]) -> Iterable[Alert]:
    for record in records:
        try:
            yield Alert.from_json(record.value)
        except RecordError as error:
            log.warning("no alert at offset %d of %s: %s", record.offset, record.topic, error)


def _say_that_it_waits(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_seconds = state.next_action.sleep if state.next_action else 0.0
    log.warning("trying again in %.0f s: %s", wait_seconds, error)
