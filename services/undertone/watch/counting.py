"""One mention into the state of its subject: its story, its class, its voice, its evidence."""

from __future__ import annotations

from undertone.alerting.evidence import TippingStory, is_wanted, offer, weight
from undertone.records import Evidence, Mention, MentionStatus, trusted
from undertone.trends.panes import Counts, pack
from undertone.trends.stories import STORIES_PER_AUTHOR_HOUR
from undertone.trends.windows import HOUR_MS
from undertone.watch.state import Hour, SubjectState
from undertone.watchlist.voice_weights import VoiceWeights

# What is counted, as packed counts.
_MENTION = pack(Counts(mentions=1))
_UNSCORED = pack(Counts(unscored=1))
_STORY = pack(Counts(stories=1))
_NEGATIVE = pack(Counts(negative=1))
_NEUTRAL = pack(Counts(neutral=1))
_POSITIVE = pack(Counts(positive=1))
_SCORE_MILLI = pack(Counts(score_millis=1))
_SCORE_SQUARE_MILLI = pack(Counts(score_square_millis=1))


def count(
    state: SubjectState, mention: Mention, pane: int, kind: str, weights: VoiceWeights | None
) -> None:
    """Count a mention in the pane of its event time; one that is not heard as a mention alone."""
    hour = state.hour(pane)
    counts = _MENTION
    if mention.status is MentionStatus.UNSCORED:
        counts += _UNSCORED
    author = mention.author
    if weights is None or weights.hears(mention.source, author, state.credits_millis):
        voice = f"{mention.source}/{author}" if author else mention.source
        scored = _classify(mention)
        is_negative = scored & _NEGATIVE != 0
        hour.hear(kind, voice, pane, is_negative=is_negative)
        if not _is_copy(state, hour, mention, pane):
            counts += _STORY + scored
            state.last = _keep_evidence(state, hour, mention)
            if is_negative:
                state.last_negative = state.last
    state.last_model = mention.model
    state.count(pane, kind, counts)


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


def _classify(mention: Mention) -> int:
    """Packed counts of a story's likeliest class and its score, none where it was not read.

    Ties go to neutral, then negative.
    """
    negative, neutral, positive = mention.p_negative, mention.p_neutral, mention.p_positive
    if negative is None or neutral is None or positive is None:
        return 0
    if negative > neutral and negative >= positive:
        likeliest = _NEGATIVE
    elif positive > neutral:
        likeliest = _POSITIVE
    else:
        likeliest = _NEUTRAL
    millis = round(1000 * (positive - negative))
    return likeliest + millis * _SCORE_MILLI + millis * millis // 1000 * _SCORE_SQUARE_MILLI


def _keep_evidence(state: SubjectState, hour: Hour, mention: Mention) -> TippingStory:
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
        state.note_evidence()
    return trusted(TippingStory, ingested_at=mention.ingested_at, evidence=evidence)
