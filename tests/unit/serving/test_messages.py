"""Messages over HTTP: what is refused and how it is named, and which records are written."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from undertone.records import Kind, RawMessage
from undertone.serving.app import build_app
from undertone.serving.batcher import UnavailableError
from undertone.serving.gate import TooLargeError, WrongFieldError
from undertone.serving.messages import (
    VALUE_LIMIT_BYTES,
    Position,
    SentMessage,
    SentMessages,
    raw_records,
)
from undertone.serving.messages_route import add_messages
from undertone.serving.metrics import ServeMetrics
from undertone.serving.model_thread import ModelThread
from undertone.serving.raw_writer import MAX_WAITING, RawWriter
from undertone.settings import KafkaSettings, RawTopic, ServingSettings, Settings
from undertone.transport.codec import decode_raw
from undertone_models.classifier import StubClassifier

MESSAGES = "/v1/messages"
ONE = {"source": "wire", "published_at": "2026-01-31T09:30:00Z", "text": "Acme sinks"}
NEWS, SOCIAL = RawTopic(name="n", kind=Kind.NEWS), RawTopic(name="s", kind=Kind.SOCIAL)
NOWHERE = KafkaSettings(bootstrap="127.0.0.1:1")


class Service:
    """An application that takes messages, and has no Kafka."""

    def __init__(self, **serving: Any) -> None:
        settings = Settings(
            kafka=NOWHERE, serving=ServingSettings(**serving), raw_topics=(NEWS, SOCIAL)
        )
        self.registry = CollectorRegistry()
        metrics = ServeMetrics(self.registry)
        model = ModelThread(StubClassifier, metrics, queue_pairs=4096)
        self.app = build_app(settings.serving, model, metrics, self.registry)
        self.writer = RawWriter(settings, metrics)
        add_messages(self.app, settings, self.writer)

    def post(self, body: Any, path: str = MESSAGES, **headers: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            told = {"Content-Type": "application/json", **headers}
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.post(path, content=json.dumps(body), headers=told)

        return asyncio.run(asked())


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    started = Service(max_messages=3, max_body_bytes=1 << 20, timeout="300ms")
    yield started
    started.writer.close(0)


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"source": None}, "source", "expected a string"),
        ({"source": ""}, "source", "at least 1 character"),
        ({"kind": "gossip"}, "kind", "news"),
        ({"published_at": "yesterday"}, "published_at", "cannot read 'yesterday' as a time"),
        ({"published_at": "2026-01-31T09:30:00"}, "published_at", "names no time zone"),
        ({"text": " "}, "text", "is empty"),
        ({"text": "a\x00b"}, "text", "NUL"),
        ({"text": "\ud800"}, "text", "half a surrogate pair"),
        ({"text": "x" * 40_000, "title": "y" * 40_000}, "text", "80000 bytes"),
        ({"author": "\ud800"}, "author", "half a surrogate pair"),
        ({"subjects": "acme"}, "subjects", "expected a list"),
        ({"audience": -1}, "audience", "greater than or equal to 0"),
        ({"arrived_at": "2026-01-31T09:30:00Z"}, "arrived_at", "is for files"),
        ({"publishedAt": 1}, "publishedAt", "unknown field"),
        ({"schema": "mention/1"}, "schema", "raw-message/1"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_with_its_index(
    service: Service, wrong: dict[str, Any], field: str, said: str
) -> None:
    one = service.post(ONE | wrong)
    many = service.post({"messages": [ONE, ONE | wrong]})
    for response, expected in ((one, field), (many, f"messages.1.{field}")):
        assert response.status_code == 422
        assert response.json()["error"]["field"] == expected
        assert said in response.json()["error"]["message"]
        assert response.json()["error"]["message"].startswith(f"{expected}: ")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": [ONE] * 4}, "messages"),
        ({"messages": [ONE, ONE | {"text": "é" * 40_000}]}, "messages.1.text"),
        (ONE | {"title": "x" * 70_000}, "title"),
        ({"messages": [ONE | {"subjects": ["x" * 60_000] * 10}]}, "messages.0"),
        (ONE | {"text": "x" * (1 << 20)}, None),
    ],
    ids=["messages", "text", "title", "subjects", "body"],
)
def test_too_much_is_refused(service: Service, body: Any, field: str | None) -> None:
    response = service.post(body)
    assert response.status_code == 413
    assert response.json()["error"].get("field") == field


@pytest.mark.parametrize("body", [{}, [], None, "text", {"messages": []}, {"messages": {}}])
def test_what_is_no_message_is_told(service: Service, body: Any) -> None:
    assert service.post(body).status_code == 422


def test_an_unknown_topic_is_refused(service: Service) -> None:
    response = service.post(ONE, f"{MESSAGES}?topic=undertone.alerts")
    assert (response.status_code, response.json()["error"]["field"]) == (422, "topic")


def test_without_kafka_messages_are_refused_for_now(service: Service) -> None:
    for _ in range(2):
        response = service.post(ONE)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "127.0.0.1" not in response.text


def test_a_token_is_asked_for() -> None:
    service = Service(token="s3cret", timeout="300ms")
    assert service.post(ONE).status_code == 401
    assert service.post({}, Authorization="Bearer s3cret").status_code == 422
    sample = service.registry.get_sample_value
    assert sample("undertone_serve_message_requests_total", {"status": "401"}) == 1
    assert sample("undertone_serve_requests_total", {"status": "401"}) == 0
    service.writer.close(0)


def test_the_route_is_described() -> None:
    told = Service().app.openapi()
    operation = told["paths"][MESSAGES]["post"]
    assert {"202", "413", "422", "503"} <= set(operation["responses"])
    assert operation["parameters"][0]["name"] == "topic"
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        body = example["value"]
        assert SentMessages.model_validate(body if "messages" in body else {"messages": [body]})
    assert told["components"]["schemas"]["SentMessage"]["properties"]["published_at"] == {
        "type": "string",
        "format": "date-time",
        "title": "Published At",
        "description": "ISO 8601 with Z or an offset.",
    }


def test_requests_beyond_those_that_may_wait_are_refused_and_none_waits_for_ever() -> None:
    entered, released = threading.Event(), threading.Event()

    def held() -> float:
        entered.set()
        assert released.wait(60)
        return 0.0

    settings = Settings(kafka=NOWHERE, serving=ServingSettings.model_validate({"timeout": "300ms"}))
    writer = RawWriter(settings, ServeMetrics(CollectorRegistry()), clock=held)
    records = raw_records(SentMessage.model_validate(ONE), [NEWS], only=None, max_messages=1)
    waiting = [writer.submit(records)]
    assert entered.wait(60)
    waiting += [writer.submit(records) for _ in range(MAX_WAITING - 1)]
    with pytest.raises(UnavailableError, match="too many"):
        writer.submit(records)
    released.set()
    for future in waiting:
        assert isinstance(future.exception(60), UnavailableError)
    writer.close(0)
    with pytest.raises(UnavailableError, match="stopping"):
        writer.submit(records)


def planned(*messages: dict[str, Any], only: str | None = None, **clocks: Any) -> Any:
    topics = [
        topic.model_copy(update={"clock": clocks.get(topic.name, "live")})
        for topic in (NEWS, SOCIAL)
    ]
    body = SentMessages.model_validate({"messages": messages})
    return raw_records(body, topics, only=only, max_messages=100)


def test_each_message_goes_to_the_first_topic_of_its_kind_or_to_the_one_named() -> None:
    kinds = [{**ONE, "kind": kind} for kind in ("social", "news", "other")]
    assert [record.topic for record in planned(*kinds, ONE)] == ["s", "n", "n", "n"]
    assert {record.topic for record in planned(*kinds, only="s")} == {"s"}


def test_a_message_that_names_no_kind_takes_its_topics() -> None:
    values = [
        json.loads(record.value) for record in planned(ONE, {**ONE, "kind": "other"}, only="s")
    ]
    assert [value["kind"] for value in values] == ["social", "other"]


def test_a_topic_of_recorded_time_takes_none() -> None:
    with pytest.raises(WrongFieldError, match="topic n keeps recorded time") as refused:
        planned({**ONE, "kind": "social"}, ONE, n="recorded")
    assert refused.value.field == "messages.1.kind"
    with pytest.raises(WrongFieldError) as refused:
        planned(ONE, only="s", s="recorded")
    assert refused.value.field == "topic"


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)


@given(
    st.fixed_dictionaries(
        {"source": names.filter(lambda s: len(s) <= 256), "text": names.filter(str.strip)},
        optional={
            "id": names.filter(lambda s: len(s) <= 512),
            "title": names,
            "audience": st.integers(0, 2**53),
            "subjects": st.lists(names, max_size=3),
            "language": st.just("zh"),
        },
    )
)
def test_what_is_written_reads_back_as_it_was_sent(fields: dict[str, Any]) -> None:
    (record,) = planned({**ONE, **fields})
    read = decode_raw(record.value, topic="n", partition=record.partition, offset=7)
    sent = RawMessage.model_validate({**ONE, "kind": "news", **fields})
    assert read.model_copy(update={"id": None}) == sent.model_copy(update={"id": None})
    assert record.at(7) == Position(
        id=str(read.id), topic="n", partition=record.partition, offset=7
    )
    assert 0 <= record.partition < NEWS.partitions
    assert planned({**ONE, **fields}) == [record]


def test_a_record_that_kafka_would_refuse_is_too_large() -> None:
    subjects = ["x" * 60_000] * (VALUE_LIMIT_BYTES // 60_000 + 1)
    with pytest.raises(TooLargeError):
        planned({**ONE, "subjects": subjects})
