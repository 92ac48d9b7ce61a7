"""What is sent to `POST /v1/sentiment` and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Body
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from undertone_models.answers import Scores, answer_of
from undertone_models.pairs import Pair

# Pydantic's types of error, where its own words are those of a programmer.
_EXPECTED = {
    "missing": "is missing",
    "string_type": "expected a string",
    "string_unicode": "is not valid Unicode (half a surrogate pair)",
    "int_type": "expected a whole number",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "too_short": "expected at least one",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "union_tag_not_found": "expected an object: one, or a list of many",
    "extra_forbidden": "unknown field",
}


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SentimentPair(_Sent):
    """A text, and optionally whose sentiment in it is asked for."""

    text: str = Field(description="What was said.")
    target: str | None = Field(
        default=None, description="Whose sentiment: words of the text. Without it, the whole text."
    )
    start: int | None = Field(
        default=None,
        validate_default=True,
        description="Where the target begins in the text, in Unicode characters; with `end`.",
    )
    end: int | None = Field(
        default=None,
        validate_default=True,
        description="Where the target ends in the text (exclusive); with `start`.",
    )

    @field_validator("text", "target")
    @classmethod
    def _is_words(cls, value: str | None) -> str | None:
        if value is not None:
            if not value.strip():
                raise ValueError("is empty")
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("is not valid Unicode (half a surrogate pair)") from None
        return value

    @field_validator("start")
    @classmethod
    def _start_is_in_the_text(cls, value: int | None, info: ValidationInfo) -> int | None:
        text = info.data.get("text")
        if value is not None and text is not None:
            if "target" in info.data and info.data["target"] is None:
                raise ValueError("is given without target")
            if not 0 <= value < len(text):
                raise ValueError(f"expected 0 to {len(text) - 1}, a character of the text")
        return value

    @field_validator("end")
    @classmethod
    def _end_is_behind_the_start(cls, value: int | None, info: ValidationInfo) -> int | None:
        if "start" in info.data and "text" in info.data:
            start, length = info.data["start"], len(info.data["text"])
            if (value is None) != (start is None):
                raise ValueError("start and end are given together or not at all")
            if value is not None and not start < value <= length:
                raise ValueError(f"expected {start + 1} to {length}, behind start and in the text")
        return value

    @property
    def pair(self) -> Pair:
        """What a classifier reads."""
        span = None if self.start is None or self.end is None else (self.start, self.end)
        return Pair(self.text, self.target, span)


class SentimentPairs(_Sent):
    """Many pairs at once."""

    pairs: list[SentimentPair] = Field(min_length=1)


def _shape(body: object) -> str | None:
    if isinstance(body, SentimentPairs) or (isinstance(body, dict) and "pairs" in body):
        return "many"
    return "one" if isinstance(body, dict | SentimentPair) else None


SentimentBody = Annotated[
    Annotated[SentimentPair, Tag("one")] | Annotated[SentimentPairs, Tag("many")],
    Discriminator(_shape),
    Body(
        openapi_examples={
            "one": {
                "summary": "one pair",
                "value": {"text": "Acme beats, Bolt sinks", "target": "Bolt"},
            },
            "many": {
                "summary": "many pairs",
                "value": {
                    "pairs": [
                        {"text": "Acme beats, Bolt sinks", "target": "Acme", "start": 0, "end": 4},
                        {"text": "What a lovely day"},
                    ]
                },
            },
        }
    ),
]


class Problem(BaseModel):
    """What is wrong."""

    message: str
    field: str | None = Field(default=None, description="Where in the body: `pairs.3.text`.")


class ErrorAnswer(BaseModel):
    """Every error has this shape."""

    error: Problem


class Sentiment(BaseModel):
    """One pair's sentiment; probabilities to three decimals."""

    label: str = Field(description="The likeliest: negative, neutral or positive.")
    p_negative: float
    p_neutral: float
    p_positive: float
    score: float = Field(description="p_positive less p_negative: -1 to 1.")


class SentimentAnswer(BaseModel):
    """The results in the order of the pairs; a pair that the model failed on has an `error`."""

    model: str = Field(description="name@version of the checkpoint.")
    results: list[Sentiment | ErrorAnswer]


def result_of(scores: Scores | None) -> dict[str, Any]:
    """One entry of `results`."""
    if scores is None:
        return {"error": {"message": "the model failed on this pair"}}
    answer = answer_of(scores)
    return {**answer, "score": round(answer["p_positive"] - answer["p_negative"], 3)}


def finding_of(errors: Sequence[Any]) -> tuple[str, str | None]:
    """Pydantic's first finding as (message, field), without anything of the input."""
    finding = errors[0]
    place = [str(step) for step in finding["loc"] if step != "body"]
    field = ".".join(place[1:] if place[:1] in (["one"], ["many"]) else place) or None
    wrong = _EXPECTED.get(finding["type"]) or finding["msg"].removeprefix("Value error, ")
    if wrong.startswith("text: "):  # found of a whole message
        field, wrong = f"{field}.text" if field else "text", wrong.removeprefix("text: ")
    return f"{field or 'the body'}: {wrong}", field
