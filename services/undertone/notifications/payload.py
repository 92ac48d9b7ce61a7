"""What Alertmanager's webhook posts (version 4), as much of it as messages are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from undertone.errors import RecordError
from undertone.records import Severity

SENTIMENT = "UndertoneSentiment"


class _Posted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PostedAlert(_Posted):
    """One alert of a group; `endsAt` and addresses are not needed."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: str = Field(default="", alias="startsAt")

    @property
    def event(self) -> tuple[str, ...]:
        """What is one event to people: all severities of a sentiment alert, else the alert."""
        louder = {"severity"} if self.labels.get("alertname") == SENTIMENT else set()
        return tuple(
            f"{name}={value}" for name, value in sorted(self.labels.items()) if name not in louder
        )

    @property
    def severity(self) -> Severity | None:
        """The label, where it is one of ours."""
        told = self.labels.get("severity", "")
        return Severity(told) if told in list(Severity) else None

    @property
    def rank(self) -> int:
        """How loud it is; -1 without a severity of ours."""
        return -1 if self.severity is None else self.severity.rank


class Payload(_Posted):
    """One notification: the alerts of one group."""

    alerts: tuple[PostedAlert, ...]
    left_out: int = Field(default=0, alias="truncatedAlerts", ge=0)

    @property
    def firing(self) -> list[PostedAlert]:
        """One alert an event, the loudest first."""
        return _events(alert for alert in self.alerts if alert.status == "firing")

    @property
    def resolved(self) -> list[PostedAlert]:
        """One alert an event that does not fire in another severity."""
        firing = {alert.event for alert in self.firing}
        return _events(
            alert
            for alert in self.alerts
            if alert.status == "resolved" and alert.event not in firing
        )


def read_payload(body: bytes) -> Payload:
    """Raises RecordError where the body is not what Alertmanager posts."""
    try:
        return Payload.model_validate_json(body)
    except ValidationError as error:
        item = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, item["loc"]))
        what = f"{place}: {item['msg']}" if place else item["msg"]
        raise RecordError(f"not a notification of Alertmanager: {what}") from None


def _events(alerts: Iterable[PostedAlert]) -> list[PostedAlert]:
    loudest: dict[tuple[str, ...], PostedAlert] = {}
    for alert in alerts:
        known = loudest.get(alert.event)
        if known is None or alert.rank > known.rank:
            loudest[alert.event] = alert
    return sorted(loudest.values(), key=lambda alert: -alert.rank)
