"""How pages say numbers, times and reasons."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from undertone.records import Condition, format_instant

SIGNALS = {
    "negative_volume": "negative stories",
    "volume": "stories",
    "negative_share": "negative share",
    "mean_score": "mean tone",
}
_SCALES = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
_BEYOND = 15.0  # the tail of a fitted distribution says nothing past this


def number(value: float | None) -> str:
    """Three digits or so, thousands parted: 142,490, 11.7, 0.045."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 100 or float(value).is_integer():
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.2g}" if size >= 1e-3 else f"{value:.0e}"
    return text.replace("-", "−")


def ratio(value: float | None) -> str:
    """Two decimals, for columns of ratios and rates."""
    return "–" if value is None else f"{value:,.2f}"


def factor(value: float) -> str:
    """How many times the usual: × 2.8, × 24."""
    return f"× {value:.1f}" if value < 9.95 else f"× {value:,.0f}"


def percent(value: float | None) -> str:
    """A share as a percentage."""
    if value is None:
        return "–"
    return f"{value:.0%}" if value == 0 or value >= 0.095 else f"{value:.1%}"


def signed(value: float) -> str:
    """A tone, with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def moment(at_ms: int) -> str:
    """An instant to the minute, in UTC: 15 Sep 2008, 12:04."""
    at = _datetime(at_ms)
    return f"{at.day} {at:%b} {at.year}, {at:%H:%M}"


def day(at_ms: int) -> str:
    """The day of an instant, in UTC."""
    at = _datetime(at_ms)
    return f"{at.day} {at:%b} {at.year}"


def _datetime(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def delay(minutes: float | None) -> str:
    """How long after an event's start: 8 min, 3 h 20 min, 2 d 4 h; before it: 8 min early."""
    if minutes is None:
        return "–"
    early = " early" if minutes < 0 else ""
    whole = round(abs(minutes))
    if whole < 60:
        text = f"{whole} min"
    elif whole < 2_880:
        text = f"{whole // 60} h" + (f" {whole % 60} min" if whole % 60 else "")
    else:
        hours = round(whole / 60)
        text = f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")
    return text + (early if whole else "")


def duration(span_ms: float) -> str:
    """A length of time, roughly: 45 s, 12 min, 3 h, 5 days."""
    for unit_ms, name in ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min")):
        if span_ms >= 2 * unit_ms:
            return f"{float(f'{span_ms / unit_ms:.2g}'):g} {name}"
    return f"{float(f'{span_ms / 1000:.2g}'):g} s"


def odds(surprise: float) -> str:
    """What a surprise means: about 1 in 1.8 million."""
    if surprise >= _BEYOND:
        return "rarer than 1 in a thousand trillion"
    chance = 10.0**surprise
    for scale, name in _SCALES:
        if chance >= scale:
            return f"about 1 in {float(f'{chance / scale:.2g}'):g} {name}"
    return f"about 1 in {float(f'{chance:.2g}'):,.0f}"


def condition(item: Condition) -> str:
    """What was seen and what is usual: 14 negative stories in 1h, where 1.2 are usual."""
    if item.signal == "negative_share":
        return (
            f"{percent(item.observed)} of the stories in {item.window} negative, "
            f"where {percent(item.expected)} is usual"
        )
    if item.signal == "mean_score":
        return (
            f"mean tone {signed(item.observed)} in {item.window}, "
            f"where {signed(item.expected)} is usual"
        )
    return (
        f"{number(item.observed)} {signal(item.signal)} in {item.window}, "
        f"where {number(item.expected)} are usual"
    )


def signal(name: str) -> str:
    """A signal in words: negative stories, mean tone."""
    return SIGNALS.get(name, name)


def safe_url(url: str | None) -> str | None:
    """The address if it is one of the web (http, https), else None."""
    if not url:
        return None
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return url.strip() if parts.scheme in ("http", "https") and parts.netloc else None


FILTERS: dict[str, Callable[..., str | None]] = {
    "condition": condition,
    "day": day,
    "delay": delay,
    "duration": duration,
    "factor": factor,
    "iso": format_instant,
    "moment": moment,
    "number": number,
    "odds": odds,
    "percent": percent,
    "ratio": ratio,
    "safe_url": safe_url,
    "signal": signal,
    "signed": signed,
}
