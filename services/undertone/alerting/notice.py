"""What a pushed alert says of itself: the annotations that notifications are made of.

Every text of a message is untrusted: it comes as one line, cut, without control characters, and
addresses come percent-encoded, so that templates can put them into a link of any markup. What the
markup itself would take for its own (`<`, `*`, `[`) is left to the templates, which know it.
"""

from __future__ import annotations

from urllib.parse import quote

from undertone.alerting.explanation import odds
from undertone.records import Alert, Evidence, format_instant

HEADLINES = 3
NAME_LIMIT = 200
URL_LIMIT = 2048
_EXCERPT_LIMIT = 280
_SOURCE_LIMIT = 80
# All that an address may hold but quotes, parentheses, `*`, `[` and `]`, which end or mark a link
# in Markdown; a `%` stays, for it has been encoded before.
_URL_CHARACTERS = "%/:?#@!$&+,;=-._~"


def annotations_of(alert: Alert, *, board_url: str | None = None) -> dict[str, str]:
    """The annotations of the alert; `board_url` is the address of the board, if there is one.

    `summary`, `description` and `factors` are for people as they stand. Notifications take
    `unusual`, `headline_N`, `headline_N_source`, `headline_N_url` (N from 1 to 3) and `board`, each
    left out where there is nothing to say.
    """
    factors = ", ".join(f"{name} ×{value:.2g}" for name, value in alert.factors)
    tipping = alert.tipping.message_id
    evidence = "\n".join(
        f"- {_evidence_line(item)}{' ← tipped the rule' if item.message_id == tipping else ''}"
        for item in alert.evidence
    )
    measured = (
        f"{alert.signal.replace('_', ' ')} {alert.observed:.3g} in {alert.window}, "
        f"usually {alert.expected:.3g} (surprise {alert.surprise:.1f})"
    )
    said = {
        "summary": f"{one_line(alert.name, NAME_LIMIT)}: {measured}",
        "description": f"{measured}\nFactors: {factors}\n{evidence}".rstrip(),
        "unusual": _unusual(alert),
        "factors": factors,
        "detected_at": format_instant(alert.detected_at),
        "alert_id": alert.id,
        "rules_version": alert.rules_version,
        "model": one_line(alert.model, NAME_LIMIT),
        "notified": "direct",
        "board": f"{board_url}/alerts/{quote(alert.id, safe='')}" if board_url else "",
        **_headlines(alert),
    }
    return {name: text for name, text in said.items() if text}


def one_line(text: str, limit: int) -> str:
    """The text on one line, without control characters, at most `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def link(url: str | None) -> str:
    """The address, percent-encoded for a link; empty where it is none of the web, or too long."""
    if not url or not url.startswith(("http://", "https://")):
        return ""
    encoded = quote(url, safe=_URL_CHARACTERS, errors="replace")
    return encoded if len(encoded) <= URL_LIMIT else ""


def _unusual(alert: Alert) -> str:
    """How rare it is, in words; empty where a rule watches a level that is nothing unusual."""
    if alert.surprise < 1:
        return ""
    extreme = "low" if alert.signal == "mean_score" else "high"
    return f"as {extreme} as in 1 of {odds(alert.surprise)} usual windows of {alert.window}"


def _headlines(alert: Alert) -> dict[str, str]:
    """The weightiest stories; the evidence comes in that order."""
    said = {}
    for number, item in enumerate(alert.evidence[:HEADLINES], 1):
        said[f"headline_{number}"] = one_line(item.excerpt, _EXCERPT_LIMIT)
        said[f"headline_{number}_source"] = _source(item)
        said[f"headline_{number}_url"] = link(item.url)
    return said


def _evidence_line(item: Evidence) -> str:
    line = f"{one_line(item.excerpt, _EXCERPT_LIMIT)} ({_source(item)})"
    url = link(item.url)
    return f"{line} {url}" if url else line


def _source(item: Evidence) -> str:
    return f"{one_line(item.source, _SOURCE_LIMIT)}, {format_instant(item.published_at)}"
