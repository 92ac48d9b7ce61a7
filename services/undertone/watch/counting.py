"""One mention into the state of its subject: its story, its class, its voice, its evidence."""

from __future__ import annotations

from undertone.alerting.evidence import TippingStory, is_wanted, offer, weight
from undertone.records import Evidence, Mention, MentionStatus, trusted
from undertone.trends.panes import Counts
from undertone.trends.stories import STORIES_PER_AUTHOR_HOUR
from undertone.trends.windows import HOUR_MS
from undertone.watch.state import Hour, SubjectState
from undertone.watchlist.voice_weights import VoiceWeights


def count(
    state: SubjectState, mention: Mention, pane: int, kind: str, weights: VoiceWeights | None
) -> None:
    """Count a mention in the pane of its event time; one that is not heard as a mention alone."""
    hour = state.hour(pane)
    counts = Counts(mentions=1)
    if mention.status is MentionStatus.UNSCORED:
        counts.unscored = 1
    if weights is None or weights.hears(mention.source, mention.author, state.credits_millis):
        voice = f"{mention.source}/{mention.author}" if mention.author else mention.source
        hour.hear(kind, voice, pane, is_negative=_is_negative(mention))
        if not _is_copy(state, hour, mention, pane):
            _count_story(state, hour, mention, counts)
    state.last_model = mention.model
    state.count(pane, kind, counts)


def _count_story(state: SubjectState, hour: Hour, mention: Mention, counts: Counts) -> None:
    counts.stories = 1
    _classify(mention, counts)
    state.last = _keep_evidence(hour, mention)
    if counts.negative:
        state.last_negative = state.last


def _is_negative(mention: Mention) -> bool:
    """Whether negative is the likeliest class, as `_classify` counts it."""
    negative, neutral, positive = mention.p_negative, mention.p_neutral, mention.p_positive
    if negative is None or neutral is None or positive is None:
        return False
    return negative > neutral and negative >= positive


def _is_copy(state: SubjectState, hour: Hour, mention: Mention, pane: int) -> bool:
    """Whether a mention repeats a known story, or comes from an author who has said enough."""
    fingerprint = int(mention.fingerprint, 16)
    if state.stories.is_copy(fingerprint):
        return True
    state.stories.add(pane // HOUR_MS, fingerprint)
    if not mention.author:
        return False
    spoken = hour.authors.get(mention.author, 0)
    hour.authors[mention.author] = spoken + 1
    return spoken >= STORIES_PER_AUTHOR_HOUR


def _classify(mention: Mention, counts: Counts) -> None:
    """Count a story under its likeliest class; ties go to neutral, then negative."""
    negative, neutral, positive = mention.p_negative, mention.p_neutral, mention.p_positive
    if negative is None or neutral is None or positive is None:
        return
    top = max(negative, neutral, positive)
    if neutral == top:
        counts.neutral = 1
    elif negative == top:
        counts.negative = 1
    else:
        counts.positive = 1
    millis = round(1000 * (positive - negative))
    counts.score_millis = millis
    counts.score_square_millis = millis * millis // 1000


def _keep_evidence(hour: Hour, mention: Mention) -> TippingStory:
    """Offer a story as evidence of its hour; return it, as it may tip a rule."""
    evidence = trusted(
        Evidence,
        message_id=mention.message_id,
        excerpt=mention.excerpt,
        url=mention.url,
        source=mention.source,
        published_at=mention.published_at,
        p_negative=mention.p_negative,
        raw=mention.raw,
    )
    weighs = weight(mention.p_negative, mention.relevance)
    if is_wanted(hour.candidates, weighs, mention.published_at):
        offer(hour.candidates, weighs, evidence)
    return trusted(TippingStory, ingested_at=mention.ingested_at, evidence=evidence)
