"""A Faust worker that does to each message, as it comes, what `undertone score` does in batches.

    python faust_agent.py BOOTSTRAP PREFIX WATCHLIST

The same core reads the message and makes the mentions; the stub classifies; Faust reads and sends.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import faust

from undertone.records import Kind, RawPosition
from undertone.scoring.pipeline import RawRecord, Reader, Reading, mentions_of
from undertone.settings import ModelSettings, RawTopic
from undertone.transport.topics import TopicNames
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import load_watchlist
from undertone_models.answers import valid_scores
from undertone_models.classifier import StubClassifier


def application(bootstrap: str, prefix: str, watchlist: Path, folder: str) -> Any:
    """The worker's application: one agent, at its defaults; its data folder."""
    raw, names = f"{prefix}.raw", TopicNames(prefix)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = faust.App(
        f"{prefix}.faust",
        broker=f"kafka://{bootstrap}",
        value_serializer="raw",
        key_serializer="raw",
        topic_disable_leader=True,
        web_host="127.0.0.1",
        web_port=port,
        datadir=folder,
    )
    source = app.topic(raw, value_type=bytes, value_serializer="raw")
    mentions = app.topic(names.mentions, value_type=bytes, value_serializer="raw")
    topic = RawTopic(name=raw, kind=Kind.NEWS)
    reader = Reader(Matcher(load_watchlist(watchlist)), [topic], {}, ModelSettings().max_tokens)
    stub = StubClassifier()

    @app.agent(source)
    async def score(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            record = RawRecord(
                raw, message.partition, message.offset, int(message.timestamp * 1000), event.value
            )
            reading = reader.read(record)
            if not isinstance(reading, Reading) or not reading.drafts:
                continue
            rows = stub.classify(reading.pairs).tolist()
            for mention in mentions_of(
                reading,
                RawPosition(topic=raw, partition=message.partition, offset=message.offset),
                dict(zip(reading.pairs, map(valid_scores, rows), strict=True)),
                ingested_at=record.timestamp_ms,
                scored_at=record.timestamp_ms,
                model=stub.name,
            ):
                await mentions.send(key=mention.subject.encode(), value=mention.to_json())

    return app


def main() -> None:
    """Work until ended by a signal."""
    bootstrap, prefix, watchlist = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        faust.Worker(
            application(bootstrap, prefix, Path(watchlist), folder), loglevel="error"
        ).execute_from_commandline()


if __name__ == "__main__":
    main()
