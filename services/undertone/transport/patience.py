"""Waits for a broker that comes later than the service that needs it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from undertone.errors import BrokerAwayError
from undertone.settings import KafkaSettings
from undertone.transport.clients import admin_client

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 15.0
ANSWER_MS = 5_000

Wait = Callable[[float], Any]


def knock(kafka: KafkaSettings) -> None:
    """Return where a broker answers. Raises BrokerError, BrokerAwayError where one may come yet."""
    with admin_client(kafka, bootstrap_timeout_ms=ANSWER_MS):
        pass


def await_broker(
    kafka: KafkaSettings,
    wait: Wait = time.sleep,
    *,
    knock: Callable[[KafkaSettings], None] = knock,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return once a broker answers, or as soon as `wait(seconds)` is true: the service is to stop.

    One log line a try; the waits double. Raises BrokerAwayError when `kafka.patience` is over, and
    at once what waiting does not mend: a certificate, a password.
    """
    give_up_at = clock() + kafka.patience / 1000
    pause = FIRST_WAIT_SECONDS
    while True:
        try:
            knock(kafka)
            return
        except BrokerAwayError as error:
            left = give_up_at - clock()
            if left <= 0:
                raise
            pause = min(pause, left)
            log.warning("%s; looking again in %.0f s", error.message, pause)
        if wait(pause):
            return
        pause = min(2 * pause, LONGEST_WAIT_SECONDS)
