"""A notification in Markdown, as group robots show it, within a robot's limit of bytes.

Neither WeCom nor DingTalk documents an escape in its Markdown, so the characters that either takes
for markup (links, pictures, mentions, colours, quotes) are put down in full width: they read the
same and do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from undertone.alerting.notice import HEADLINES, link, one_line
from undertone.notifications.payload import Payload, PostedAlert

# Headlines are cut first, then left out, then whole alerts, until a message fits.
_HEADLINE_CUTS = (280, 140, 60, 0)
_TEXT_LIMIT = 500
# DingTalk may be set to take only messages that hold a keyword: this one always stands.
SIGNED = "— undertone"
_LINK_LIMIT = 500  # longer addresses leave no room for the words
_INERT = str.maketrans("<>[]`*_#~\\|&", "＜＞［］｀＊＿＃～＼｜＆")


@dataclass(frozen=True)
class Message:
    """`title` is plain (what a list of chats shows); `text` is Markdown."""

    title: str
    text: str


def to_message(payload: Payload, *, limit_bytes: int, line_end: str = "\n") -> Message:
    """The notification, its text at most `limit_bytes` in UTF-8.

    `line_end` is what breaks a line: DingTalk joins lines that a single newline parts.
    """
    alerts = payload.firing + payload.resolved
    title = _cut(_title(alerts), 200)
    tries = [(len(alerts), cut) for cut in _HEADLINE_CUTS]
    tries += [(count, 0) for count in range(len(alerts) - 1, 0, -1)]
    for count, headline_limit in tries:
        lines: list[str] = []
        for alert in alerts[:count]:
            lines += _told(alert, headline_limit)
        if more := len(alerts) - count + payload.left_out:
            lines.append(f"… and {more} more")
        text = line_end.join([*(lines or [title]), SIGNED])
        if len(text.encode()) <= limit_bytes:
            return Message(title, text)
    return Message(title, _cut(title, limit_bytes))


def inert(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Untrusted text on one line that no Markdown is read from."""
    return one_line(text, limit).translate(_INERT)


def _title(alerts: list[PostedAlert]) -> str:
    if not alerts:
        return "A notification without alerts"
    first = alerts[0]
    more = f" (+{len(alerts) - 1} more)" if len(alerts) > 1 else ""
    return f"{_heading(first)}{more}"


def _heading(alert: PostedAlert) -> str:
    labels = alert.labels
    severity = labels.get("severity") or "firing"
    state = "RESOLVED" if alert.status == "resolved" else inert(severity, 20).upper()
    name = " ".join(filter(None, [labels.get("alertname", "alert"), labels.get("subject")]))
    return f"【{state}】{inert(alert.annotations.get('summary') or name, 300)}"


def _told(alert: PostedAlert, headline_limit: int) -> Iterator[str]:
    """The lines of one alert: what, how unusual, why, headlines, and where to look."""
    said = alert.annotations
    yield f"**{_heading(alert)}**"
    if alert.status == "firing":
        if unusual := said.get("unusual"):
            yield f"How unusual: {inert(unusual)}"
        if factors := said.get("factors"):
            yield f"Why: {inert(factors)}"
        elif description := said.get("description"):
            yield inert(description)
        if headline_limit:
            yield from _headlines(said, headline_limit)
    yield _rule(alert)
    board = link(said.get("board"))
    if board and len(board) <= _LINK_LIMIT:
        yield f"[Open the evidence]({board})"


def _headlines(said: dict[str, str], limit: int) -> Iterator[str]:
    for number in range(1, HEADLINES + 1):
        headline = inert(said.get(f"headline_{number}", ""), limit)
        if not headline:
            continue
        url = link(said.get(f"headline_{number}_url"))
        shown = f"[{headline}]({url})" if url and len(url) <= _LINK_LIMIT else headline
        source = said.get(f"headline_{number}_source")
        yield f"· {shown}" + (f" — {inert(source, 120)}" if source else "")


def _rule(alert: PostedAlert) -> str:
    labels = alert.labels
    what = f"Rule {labels['rule']}" if "rule" in labels else labels.get("alertname", "alert")
    return f"{inert(what, 200)}, since {_minute(alert.starts_at)}"


def _minute(instant: str) -> str:
    """`2008-09-15T14:00:00+02:00` → `2008-09-15 12:00 UTC`; other text as it is."""
    try:
        return datetime.fromisoformat(instant).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return inert(instant, 40)


def _cut(text: str, limit_bytes: int) -> str:
    whole = text.encode()
    if len(whole) <= limit_bytes:
        return text
    return whole[: limit_bytes - 3].decode(errors="ignore") + "…"
