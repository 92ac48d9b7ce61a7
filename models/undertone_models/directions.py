"""Made-up headlines whose mood hangs on a direction, not on a word: "loss narrows", "ends its run
of gains", "fell less than feared".

Labelled sets hold few of them, so a small model learns that "loss" is bad and "profit" good, and
stops there. Every sentence here is composed from the lists below, about made-up names, and none is
among the cases that `evaluate --robustness` asks.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from undertone_models.labelled import LabelledRow
from undertone_models.pairs import LABELS

SOURCE = "directions"
NEGATIVE, NEUTRAL, POSITIVE = range(len(LABELS))

_GOOD = (
    "profit", "net income", "revenue", "turnover", "sales", "earnings", "operating margin",
    "order intake", "deliveries", "demand", "market share", "output", "cash flow", "bookings",
    "exports", "subscriber growth", "footfall", "customer satisfaction", "backlog", "share price",
    "credit rating", "productivity", "approval rating", "same-store sales", "passenger traffic",
)  # fmt: skip
_BAD = (
    "loss", "quarterly loss", "losses", "net loss", "operating loss", "debt", "debt burden",
    "bad loans", "costs", "complaints", "defects", "credit risk", "default rate", "layoffs",
    "outages", "delays", "customer churn", "injuries", "write-downs", "borrowing costs", "recalls",
    "legal claims", "fraud cases", "absenteeism", "unsold stock", "arrears", "funding gap",
)  # fmt: skip
_UP = ("rises", "climbs", "jumps", "increases", "grows", "surges", "edges up", "doubles")
_DOWN = ("falls", "drops", "declines", "shrinks", "slides", "decreases", "edges down", "halves")
_NARROWER = (*_DOWN, "narrows", "eases", "recedes")
_WIDER = (*_UP, "widens", "swells", "mounts")
_WHEN = (
    "in the third quarter", "in March", "year on year", "for a second month", "in 2013",
    "after the merger", "in the first half", "this week", "over the holidays", "in Asia",
    "in a weak market", "at the half-year mark", "in its first year",
)  # fmt: skip
_HOW_FAR = ("by {percent}%", "{percent}% in a year", "to {percent} mln", "{percent} percent")
_START = ("Tal", "Vor", "Ner", "Lum", "Kes", "Bran", "Od", "Mir", "Sal", "Cor", "Het", "Pell", "Un")
_END = ("vex", "dana", "ingo", "tek", "more", "wick", "ora", "field", "zan", "ister", "gate", "by")
_KIND = ("", "", "", " Foods", " Bank", " Air", " Energy", " Group", " Motors", " Pharma", " Rail")

_TOLD_OF_ONE: tuple[tuple[int, tuple[str, ...]], ...] = (
    (POSITIVE, (
        "{t} is no longer losing money, {when}", "{t} returns to the black {when}",
        "{t} snaps its losing run {when}", "{t} escapes insolvency {when}",
        "{t} avoids a strike {when}", "{t} cleared of wrongdoing {when}",
        "{t} pays back its debts ahead of plan {when}", "{t} stops the rot {when}",
        "Nothing to complain about at {t} {when}", "You cannot fault {t} {when}",
        "{t} has never done better than {when}", "{t} proves the doubters wrong {when}",
        "{t} is not as bad as people say, {when}", "{t} puts its troubles behind it {when}",
        "Fears about {t} turn out unfounded {when}", "{t} shakes off the slump {when}",
        "Analyst lifts {t} from sell to buy {when}", "{t} raises its forecast {when}",
        "{t} tops estimates it had lowered, {when}", "Fewer customers are leaving {t} {when}",
        "Regulator drops its case against {t} {when}", "{t} wins back clients it had lost {when}",
    )),
    (NEGATIVE, (
        "{t} is no longer making money, {when}", "{t} slips into the red {when}",
        "{t} sees its record run of gains end {when}", "{t} fails to find a buyer {when}",
        "{t} fails to halt the decline {when}", "{t} cannot win back trust {when}",
        "Nothing good to report from {t} {when}", "{t} did not keep its promise {when}",
        "{t} has seldom done worse than {when}", "{t} proves its critics right {when}",
        "{t} is not as good as people say, {when}", "Hopes for {t} fade {when}",
        "Hopes for {t} turn out misplaced {when}", "{t} loses its lead {when}",
        "Analyst cuts {t} from buy to sell {when}", "{t} trims its forecast {when}",
        "{t} falls short of estimates it had raised, {when}",
        "More customers are leaving {t} {when}", "Regulator reopens its case against {t} {when}",
        "{t} scraps its dividend {when}", "{t} was not up to the task {when}",
    )),
    (NEUTRAL, (
        "{t} to publish its figures {when}", "{t} holds its annual meeting {when}",
        "{t} names a new head of finance {when}", "{t} moves its office {when}",
        "{t} leaves its forecast as it was, {when}", "{t} will present its plans {when}",
        "{t} {good} unchanged {when}", "{t} {bad} about the same {when}",
        "{t} changes its auditor {when}", "{t} to speak at a conference {when}",
    )),
)  # fmt: skip

_TOLD_OF_TWO: tuple[str, ...] = (  # good for {a}, bad for {b}
    "{a} {good} {up} {when} while {b} {good} {down}",
    "{a} {bad} {narrower} while that of {b} {wider} {when}",
    "{a} takes the contract, {b} comes away empty-handed {when}",
    "{a} gains at the cost of {b} {when}",
    "{b} loses ground to {a} {when}",
    "Customers leave {b} for {a} {when}",
    "Analyst prefers {a} to {b} {when}",
    "{a} pulls ahead of {b} {when}",
    "{b} must pay damages to {a} {when}",
    "{a} up, {b} down {when}",
    "Unlike {b}, {a} keeps its promise {when}",
    "{a} hires the staff that {b} lays off {when}",
)


def made_up_rows(count: int, seed: int) -> list[LabelledRow]:
    """`count` rows of source `directions`, each about a target, the same for the same seed."""
    draw = Random(seed)
    makers: tuple[Callable[[Random], LabelledRow], ...] = (_moved, _measured, _of_one, _of_two)
    return [draw.choice(makers)(draw) for _ in range(count)]


def _moved(draw: Random) -> LabelledRow:
    """Something good or bad goes up or down."""
    good, up = draw.random() < 0.5, draw.random() < 0.5
    noun = draw.choice(_GOOD if good else _BAD)
    verb = draw.choice((_UP if good else _WIDER) if up else (_DOWN if good else _NARROWER))
    frame = draw.choice(
        (
            "{t} {noun} {verb} {when}", "{t}' {noun} {verb} {when}", "{noun} at {t} {verb} {when}",
            "UPDATE 1-{t} says {noun} {verb} {when}", "{t}: {noun} {verb} {far}",
            "{t} {noun} {verb} {far} {when}",
        )
    )  # fmt: skip
    label = POSITIVE if good == up else NEGATIVE
    return _row(draw, frame, label, noun=noun, verb=_agreeing(noun, verb))


def _measured(draw: Random) -> LabelledRow:
    """It went less far than was feared, or than was hoped: the hope or the fear decides."""
    good, feared = draw.random() < 0.5, draw.random() < 0.5
    noun = draw.choice(_GOOD if good else _BAD)
    # What was feared went the bad way, only less far; what was hoped for the good way.
    verb = draw.choice(_UP if good != feared else _DOWN)
    less = draw.choice(("less than", "not as much as", "more slowly than"))
    how = draw.choice(("feared", "dreaded") if feared else ("hoped", "promised", "planned"))
    frame = "{t} {noun} {verb} {less} {how} {when}"
    label = POSITIVE if feared else NEGATIVE
    return _row(draw, frame, label, noun=noun, verb=_agreeing(noun, verb), less=less, how=how)


def _of_one(draw: Random) -> LabelledRow:
    label, frames = draw.choice(_TOLD_OF_ONE)
    return _row(draw, draw.choice(frames), label)


def _of_two(draw: Random) -> LabelledRow:
    winner, loser = _name(draw), _name(draw)
    asked_of_winner = draw.random() < 0.5
    text = draw.choice(_TOLD_OF_TWO)
    text = text.format(a=winner, b=loser, when=_when(draw), **_words(draw))
    target, label = (winner, POSITIVE) if asked_of_winner else (loser, NEGATIVE)
    return LabelledRow(text, target, label, SOURCE, "train")


def _row(draw: Random, frame: str, label: int, **words: str) -> LabelledRow:
    target = _name(draw)
    frame = frame.replace("{t}'", "{t}'" if target.endswith("s") else "{t}'s")
    text = frame.format(t=target, when=_when(draw), **(_words(draw) | words))
    return LabelledRow(text[0].upper() + text[1:], target, label, SOURCE, "train")


def _words(draw: Random) -> dict[str, str]:
    good, bad = draw.choice(_GOOD), draw.choice(_BAD)
    return {
        "good": good,
        "bad": bad,
        "up": _agreeing(good, draw.choice(_UP)),
        "down": _agreeing(good, draw.choice(_DOWN)),
        "wider": draw.choice(_WIDER),
        "narrower": _agreeing(bad, draw.choice(_NARROWER)),
        "far": draw.choice(_HOW_FAR).format(percent=draw.randint(2, 60)),
    }


def _agreeing(noun: str, verb: str) -> str:
    """The verb in the number of its noun: "profit falls", "sales fall"."""
    if not noun.endswith("s") or noun.endswith("ss"):
        return verb
    first, _, rest = verb.partition(" ")
    return f"{first.removesuffix('s')} {rest}".rstrip()


def _when(draw: Random) -> str:
    return draw.choice(_WHEN)


def _name(draw: Random) -> str:
    return draw.choice(_START) + draw.choice(_END) + draw.choice(_KIND)
