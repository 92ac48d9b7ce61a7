"""Which faults a run meets, and when: all from a seed.

A fault comes when a share of the stream has been sent. Each class of the form comes its number of
times; the order, the moments and the choices are the seed's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class FaultClass(StrEnum):
    """What is done to the services and to what they depend on."""

    KILL_SCORE = "SIGKILL of score"
    KILL_WATCH = "SIGKILL of watch"
    TERMINATE_SCORE = "SIGTERM of score"
    TERMINATE_WATCH = "SIGTERM of watch"
    PAUSE_SCORE = "SIGSTOP of score"
    PAUSE_WATCH = "SIGSTOP of watch"
    ADD_SCORE = "score added"
    ADD_WATCH = "watch added"
    REMOVE_SCORE = "score removed"
    REMOVE_WATCH = "watch removed"
    BROKER_RESTART = "broker restarted"
    BROKER_CRASH = "SIGKILL of the broker"
    BROKER_OUTAGE = "broker silent"
    BROKER_DISK = "full disk under the broker"
    ALERTMANAGER_SLOW = "slow Alertmanager"
    ALERTMANAGER_FAILING = "failing Alertmanager"
    ALERTMANAGER_GONE = "Alertmanager gone"
    POISON_MENTION = "poison among the mentions"
    # These two belong to the stream, so the undisturbed run has them too.
    POISON_RAW = "poison among the raw records"
    SKEWED_STAMP = "skewed stamp"
    STORE_DISK = "full disk under the score store"


BROKER_FAULTS = frozenset(
    {
        FaultClass.BROKER_RESTART,
        FaultClass.BROKER_CRASH,
        FaultClass.BROKER_OUTAGE,
        FaultClass.BROKER_DISK,
    }
)
ALERTMANAGER_FAULTS = frozenset(
    {
        FaultClass.ALERTMANAGER_SLOW,
        FaultClass.ALERTMANAGER_FAILING,
        FaultClass.ALERTMANAGER_GONE,
    }
)
FIRST_SHARE, LAST_SHARE = 0.04, 0.96


@dataclass(frozen=True)
class Fault:
    """One fault: due at `share` of the stream; `choice` in [0, 1) picks who suffers it."""

    share: float
    what: FaultClass
    seconds: float = 0.0
    choice: float = 0.0


@dataclass(frozen=True)
class Form:
    """The size of a run. `pause_seconds` and `alertmanager_seconds` are ranges."""

    name: str
    messages: int
    play_seconds: float
    counts: dict[FaultClass, int]
    outage_seconds: float
    pause_seconds: tuple[float, float]
    alertmanager_seconds: tuple[float, float]


def _counts(processes: int, others: int, crashes: int) -> dict[FaultClass, int]:
    each = FaultClass
    return {
        **dict.fromkeys((each.KILL_SCORE, each.KILL_WATCH), 2 * processes),
        **dict.fromkeys((each.TERMINATE_SCORE, each.TERMINATE_WATCH), processes),
        **dict.fromkeys((each.PAUSE_SCORE, each.PAUSE_WATCH), processes),
        **dict.fromkeys((each.ADD_SCORE, each.ADD_WATCH), processes),
        **dict.fromkeys((each.REMOVE_SCORE, each.REMOVE_WATCH), processes),
        **dict.fromkeys(ALERTMANAGER_FAULTS, others),
        each.BROKER_RESTART: others,
        each.BROKER_CRASH: crashes,
        each.BROKER_OUTAGE: 1,
        each.BROKER_DISK: 1,
        each.POISON_MENTION: 6 * others,
    }


SHORT = Form("short", 3_000, 45.0, _counts(1, 1, 0), 10.0, (2.0, 9.0), (3.0, 6.0))
FULL = Form("full", 20_000, 300.0, _counts(3, 2, 1), 60.0, (2.0, 20.0), (5.0, 20.0))


def schedule(seed: int, form: Form) -> list[Fault]:
    """All faults of a run but those of its stream, in the order of their shares."""
    chance = random.Random(f"schedule {seed}")
    classes = [what for what, count in sorted(form.counts.items()) for _ in range(count)]
    chance.shuffle(classes)
    step = (LAST_SHARE - FIRST_SHARE) / len(classes)
    return [
        Fault(
            share=FIRST_SHARE + (place + chance.random()) * step,
            what=what,
            seconds=_seconds(what, form, chance),
            choice=chance.random(),
        )
        for place, what in enumerate(classes)
    ]


def _seconds(what: FaultClass, form: Form, chance: random.Random) -> float:
    if what is FaultClass.BROKER_OUTAGE:
        return form.outage_seconds
    if what in (FaultClass.PAUSE_SCORE, FaultClass.PAUSE_WATCH):
        return chance.uniform(*form.pause_seconds)
    if what in ALERTMANAGER_FAULTS:
        return chance.uniform(*form.alertmanager_seconds)
    return 0.0
