"""The route `POST /v1/messages`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.responses import JSONResponse, Response

from undertone.serving.batcher import UnavailableError
from undertone.serving.bodies import ErrorAnswer
from undertone.serving.gate import MESSAGES
from undertone.serving.messages import MessagesBody, PositionsAnswer, raw_records
from undertone.serving.raw_writer import RawWriter
from undertone.settings import Settings

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The token is missing or wrong.",
        408: "The body has not arrived in time.",
        413: "The body, a text or the number of messages is too large.",
        415: "The body is not announced as JSON.",
        422: "A field is wrong; `error.field` names it. Nothing was written.",
        503: "Kafka has not acknowledged all: send them again, with the same ids. See Retry-After.",
    }.items()
}


def add_messages(app: FastAPI, settings: Settings, writer: RawWriter) -> None:
    """Let the application take messages for the raw topics."""
    topics, serving = settings.effective_raw_topics, settings.serving

    @app.post(
        MESSAGES,
        status_code=202,
        response_model=PositionsAnswer,
        response_description="Kafka has acknowledged every message.",
        responses=_ERRORS,
        tags=["messages"],
    )
    async def messages(
        body: MessagesBody,
        topic: Annotated[
            str | None, Query(description="One raw topic for all; else each goes by its kind.")
        ] = None,
    ) -> Response:
        """One news item or post, or many, into the raw topics: all of them or none is refused."""
        records = raw_records(body, topics, only=topic, max_messages=serving.max_messages)
        try:
            future = asyncio.wrap_future(writer.submit(records))
            positions = await asyncio.wait_for(future, serving.timeout / 1000)
        except TimeoutError:
            raise UnavailableError("Kafka has not acknowledged the messages in time") from None
        answer = PositionsAnswer(messages=positions)
        return JSONResponse(answer.model_dump(), status_code=202)
