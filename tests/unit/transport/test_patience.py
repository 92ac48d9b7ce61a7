"""A broker that comes late: how long it is waited for, and what is said."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from undertone.errors import BrokerAwayError, BrokerError
from undertone.settings import KafkaSettings
from undertone.transport.patience import await_broker


@dataclass
class Scene:
    """A broker that answers from some second on; time passes only by waiting."""

    comes_at: float
    patience_seconds: int = 60
    stopped_at: float = float("inf")
    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def knock(self, _kafka: KafkaSettings) -> None:
        if self.now < self.comes_at:
            raise BrokerAwayError("no Kafka broker answers")

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.now >= self.stopped_at

    def run(self) -> None:
        kafka = KafkaSettings.model_validate({"patience": f"{self.patience_seconds}s"})
        await_broker(kafka, self.wait, knock=self.knock, clock=lambda: self.now)


def test_it_waits_longer_each_time_and_says_so_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(comes_at=40.0)
    with caplog.at_level(logging.WARNING):
        scene.run()
    assert scene.waits == [1, 2, 4, 8, 15, 15]
    assert len(caplog.messages) == len(scene.waits)
    assert caplog.messages[2] == "no Kafka broker answers; looking again in 4 s"


def test_a_broker_that_is_there_is_not_waited_for() -> None:
    scene = Scene(comes_at=0.0)
    scene.run()
    assert scene.waits == []


@pytest.mark.parametrize("patience_seconds", [0, 20, 61])
def test_patience_ends(patience_seconds: int) -> None:
    scene = Scene(comes_at=1e9, patience_seconds=patience_seconds)
    with pytest.raises(BrokerAwayError):
        scene.run()
    assert sum(scene.waits) == patience_seconds


def test_who_is_to_stop_waits_no_longer() -> None:
    scene = Scene(comes_at=1e9, stopped_at=5.0)
    scene.run()
    assert scene.waits == [1, 2, 4]


def test_what_waiting_does_not_mend_is_told_at_once() -> None:
    def refuse(_kafka: KafkaSettings) -> None:
        raise BrokerError("its certificate is not trusted")

    with pytest.raises(BrokerError, match="certificate"):
        await_broker(KafkaSettings(), lambda _seconds: pytest.fail("it waited"), knock=refuse)
