"""What the watcher remembers of one subject, stored in parts so that one mention rewrites little.

Parts: `head` (baselines, rules, bookkeeping), `hour/<n>` (panes, stories, evidence of one hour) and
`pending/<n>` (mentions that the clock has not reached, by minute of arrival).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from undertone.alerting.evidence import Candidate, TippingStory, forget_outdone
from undertone.alerting.lifecycle import RuleState
from undertone.records import Evidence, Mention
from undertone.settings import PANE_MS
from undertone.trends.baseline import Baseline
from undertone.trends.panes import Counts, pack, unpack
from undertone.trends.stories import StoryIndex
from undertone.trends.windows import HOUR_MS, NEVER_MS, PaneSeries, SlidingWindow

MINUTE_MS = 60_000
HEAD = "head"
# Distinct voices remembered an hour and kind: enough for any `min_sources`, bounded under a flood.
VOICES_PER_HOUR = 200
NO_PANE = -1
# After so many stories that were kept as evidence, those that are outdone are forgotten.
EVIDENCE_A_LOOK = 16


def arrival_order(mention: Mention) -> tuple[int, str, int, int]:
    """The order in which mentions are applied: by arrival, then by place in the raw log."""
    raw = mention.raw
    return mention.ingested_at, raw.topic, raw.partition, raw.offset


class Pending:
    """Mentions that the clock has not reached, in order of arrival, by minute."""

    def __init__(self) -> None:
        self._by_minute: dict[int, list[Mention]] = {}
        self._minutes: list[int] = []

    def add(self, mention: Mention) -> None:
        """Put a mention into its place."""
        minute = mention.ingested_at // MINUTE_MS
        waiting = self._by_minute.get(minute)
        if waiting is None:
            self._by_minute[minute] = [mention]
            insort(self._minutes, minute)
        else:
            insort(waiting, mention, key=arrival_order)

    def first_arrival_ms(self) -> int | None:
        """When the earliest one arrived; none where nothing waits."""
        return self._by_minute[self._minutes[0]][0].ingested_at if self._minutes else None

    def pop(self) -> Mention:
        """Take out the earliest one."""
        minute = self._minutes[0]
        mentions = self._by_minute[minute]
        mention = mentions.pop(0)
        if not mentions:
            del self._by_minute[minute], self._minutes[0]
        return mention

    def minute(self, minute: int) -> list[Mention]:
        """Those that arrived in one minute since 1970."""
        return self._by_minute.get(minute, [])


@dataclass(slots=True)
class Hour:
    """One hour of a subject beside its panes: voices, authors, and the best evidence."""

    # By kind and voice: its last pane in the hour and how many messages; the same of negative ones.
    voices: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    authors: dict[str, int] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)

    def hear(self, kind: str, voice: str, pane: int, *, is_negative: bool) -> None:
        """Note that a voice spoke in a pane; one too many for this hour is not remembered."""
        number = pane % HOUR_MS // PANE_MS
        voices = self.voices.setdefault(kind, {})
        known = voices.get(voice)
        if known is None:
            if len(voices) >= VOICES_PER_HOUR:
                return
            known = voices[voice] = [number, 0, NO_PANE, 0]
        known[1] += 1
        known[0] = max(known[0], number)
        if is_negative:
            known[3] += 1
            known[2] = max(known[2], number)


class SubjectState:
    """Everything about one subject. All times are stream time in milliseconds."""

    def __init__(self, subject: str, windows_ms: Iterable[int]) -> None:
        self.subject = subject
        self.now_ms = 0
        self.applied: dict[str, dict[int, int]] = {}
        self.late = 0
        self.baselines: dict[str, Baseline] = {}
        self.learnt_until_ms = 0
        self.rules: dict[str, RuleState] = {}
        self.last: TippingStory | None = None
        self.last_negative: TippingStory | None = None
        # Of each rule that has fired, when its last alert started: no other may start then.
        self.started: dict[str, int] = {}
        self.last_model = ""
        self.credits_millis: dict[str, int] = {}
        self._offered = 0
        self.pane_end_due_ms: int | None = None
        self.pane_end_rules: set[str] = set()
        # Of each window and kind, the packed counts that were written last.
        self.written: dict[int, dict[str, int]] = {}
        self.hours: dict[int, Hour] = {}
        self.panes = PaneSeries()
        self.stories = StoryIndex()
        self.pending = Pending()
        self.windows = {length: SlidingWindow(length, self.panes) for length in windows_ms}
        self.changed_parts: set[str] = set()

    # Changes, each naming the part that it changes.

    def accept(self, mention: Mention) -> bool:
        """Queue a mention until the clock reaches it; False where it was accepted before."""
        raw = mention.raw
        offsets = self.applied.setdefault(raw.topic, {})
        if raw.offset <= offsets.get(raw.partition, -1):
            return False
        offsets[raw.partition] = raw.offset
        self.pending.add(mention)
        self.changed_parts.add(HEAD)
        self.changed_parts.add(pending_part(mention))
        return True

    def take_pending(self) -> Mention:
        """The earliest mention that waits."""
        mention = self.pending.pop()
        self.changed_parts.add(HEAD)
        self.changed_parts.add(pending_part(mention))
        return mention

    def hour(self, pane: int) -> Hour:
        """The hour that holds a pane, to be changed."""
        number = pane // HOUR_MS
        self.changed_parts.add(f"hour/{number}")
        hour = self.hours.get(number)
        if hour is None:
            hour = self.hours[number] = Hour()
        return hour

    def count(self, pane: int, kind: str, packed: int) -> None:
        """Add packed counts to a pane, whose `hour` is being changed, and to the windows that
        hold it."""
        self.panes.add(pane, kind, packed)
        for window in self.windows.values():
            window.note(pane, kind, packed)

    def note_evidence(self) -> None:
        """A story was kept as evidence: now and then, forget what is outdone."""
        self._offered += 1
        if self._offered == EVIDENCE_A_LOOK:
            self._offered = 0
            newest_first = sorted(self.hours.items(), reverse=True)
            for number in forget_outdone([(n, hour.candidates) for n, hour in newest_first]):
                self.changed_parts.add(f"hour/{number}")

    def learn_until(self, horizon_ms: int) -> None:
        """Let the baselines take in all hours that end at or before `horizon_ms`."""
        hours: dict[tuple[int, str], int] = {}
        for pane, kind, packed in self.panes.between(self.learnt_until_ms, horizon_ms):
            key = pane - pane % HOUR_MS, kind
            hours[key] = hours.get(key, 0) + packed
        for (hour, kind), packed in hours.items():
            baseline = self.baselines[kind]
            baseline.advance(hour + HOUR_MS)
            baseline.learn(Counts(*unpack(packed)))
        for baseline in self.baselines.values():
            baseline.advance(horizon_ms)
        self.learnt_until_ms = horizon_ms
        self.changed_parts.add(HEAD)

    def forget_before(self, instant_ms: int, story_hour: int) -> None:
        """Drop hours that no window and no baseline needs, and stories before an hour."""
        self.stories.drop_before(story_hour)
        first = instant_ms // HOUR_MS
        # Hours are begun in order but for what was published earlier: that goes with the next.
        if next(iter(self.hours), first) >= first:
            return
        old = [number for number in self.hours if number < first]
        for window in self.windows.values():
            # What goes must have left: a window could not take it out of its sums later.
            window.advance(first * HOUR_MS + window.length_ms)
        for number in old:
            del self.hours[number]
            self.changed_parts.add(f"hour/{number}")
        self.panes.drop_before(first * HOUR_MS)

    # Storage.

    def part(self, name: str) -> bytes | None:
        """One part as JSON, or None where it holds nothing any more."""
        kind, _, number = name.partition("/")
        if name == HEAD:
            return _dumps(self._head())
        if kind == "hour":
            return _dumps(self._hour(int(number))) if int(number) in self.hours else None
        waiting = [
            mention.model_dump(mode="json", exclude_none=True)
            for mention in self.pending.minute(int(number))
        ]
        return _dumps(waiting) if waiting else None

    def _head(self) -> dict[str, Any]:
        return {
            "windows": {window.length_ms: window.end_ms for window in self.windows.values()},
            "now_ms": self.now_ms,
            "applied": self.applied,
            "late": self.late,
            "baselines": {kind: baseline.to_list() for kind, baseline in self.baselines.items()},
            "learnt_until_ms": self.learnt_until_ms,
            "rules": {
                name: rule.model_dump(mode="json", exclude_none=True)
                for name, rule in self.rules.items()
            },
            "last": _story(self.last),
            "last_negative": _story(self.last_negative),
            "started": self.started,
            "last_model": self.last_model,
            "credits_millis": self.credits_millis,
            "pane_end_due_ms": self.pane_end_due_ms,
            "pane_end_rules": sorted(self.pane_end_rules),
            "changed_windows": sorted(
                window.length_ms
                for window in self.windows.values()
                if window.step_due_ms != NEVER_MS
            ),
            "written": {
                length: {kind: unpack(packed) for kind, packed in kinds.items()}
                for length, kinds in self.written.items()
            },
        }

    def _hour(self, number: int) -> dict[str, Any]:
        hour = self.hours[number]
        start = number * HOUR_MS
        panes: dict[int, dict[str, tuple[int, ...]]] = {}
        for pane, kind, packed in self.panes.between(start, start + HOUR_MS):
            panes.setdefault(pane, {})[kind] = unpack(packed)
        return {
            "panes": panes,
            "stories": self.stories.of_hour(number),
            "voices": hour.voices,
            "authors": hour.authors,
            "candidates": [
                (weight, evidence.model_dump(mode="json", exclude_none=True))
                for weight, evidence in hour.candidates
            ],
        }

    @classmethod
    def from_parts(
        cls, subject: str, windows_ms: Iterable[int], parts: dict[str, bytes]
    ) -> SubjectState:
        """The reverse of `part`, for all parts of a subject."""
        state = cls(subject, windows_ms)
        for name, value in sorted(parts.items()):
            kind, _, number = name.partition("/")
            document = orjson.loads(value)
            if kind == "hour":
                state._read_hour(int(number), document)
            elif kind == "pending":
                for item in document:
                    state.pending.add(Mention.model_validate(item))
        if HEAD in parts:
            state._read_head(orjson.loads(parts[HEAD]))
        return state

    def _read_hour(self, number: int, document: dict[str, Any]) -> None:
        for pane, kinds in document["panes"].items():
            for kind, counts in kinds.items():
                self.panes.add(int(pane), kind, pack(Counts(*counts)))
        for sketch in document["stories"]:
            self.stories.add(number, sketch)
        self.hours[number] = Hour(
            voices=document["voices"],
            authors=document["authors"],
            candidates=[
                (weight, Evidence.model_validate(evidence))
                for weight, evidence in document["candidates"]
            ],
        )

    def _read_head(self, head: dict[str, Any]) -> None:
        self.now_ms = head["now_ms"]
        self.applied = {
            topic: {int(partition): offset for partition, offset in offsets.items()}
            for topic, offsets in head["applied"].items()
        }
        self.late = head["late"]
        self.baselines = {
            kind: Baseline.from_list(values) for kind, values in head["baselines"].items()
        }
        self.learnt_until_ms = head["learnt_until_ms"]
        self.rules = {
            name: RuleState.model_validate(value) for name, value in head["rules"].items()
        }
        self.last = head["last"] and TippingStory.model_validate(head["last"])
        self.last_negative = head["last_negative"] and TippingStory.model_validate(
            head["last_negative"]
        )
        self.started = head.get("started", {})  # states before 29 November 2026 have none
        self.last_model = head["last_model"]
        self.credits_millis = head["credits_millis"]
        self.pane_end_due_ms = head["pane_end_due_ms"]
        self.pane_end_rules = set(head["pane_end_rules"])
        self.written = {
            int(length): {kind: pack(Counts(*numbers)) for kind, numbers in kinds.items()}
            for length, kinds in head["written"].items()
        }
        ends = {int(length): end for length, end in head["windows"].items()}
        self.windows = {
            length: SlidingWindow(length, self.panes, ends.get(length, self.now_ms))
            for length in self.windows
        }
        for length in head["changed_windows"]:
            if length in self.windows:
                self.windows[length].change_at(self.now_ms)


def pending_part(mention: Mention) -> str:
    """The part that holds a waiting mention."""
    return f"pending/{mention.ingested_at // MINUTE_MS}"


def _story(story: TippingStory | None) -> dict[str, Any] | None:
    return None if story is None else story.model_dump(mode="json", exclude_none=True)


def _dumps(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
