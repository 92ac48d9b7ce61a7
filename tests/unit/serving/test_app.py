"""The application, asked in this process: answers, limits, errors, token, health, metrics."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from undertone.serving.app import build_app
from undertone.serving.metrics import ServeMetrics
from undertone.serving.model_thread import ModelThread
from undertone.settings import ServingSettings
from undertone_models.classifier import EncodedPair, FloatArray, Pair, StubClassifier

SENTIMENT = "/v1/sentiment"
NEGATIVE = {
    "label": "negative",
    "p_negative": 0.75,
    "p_neutral": 0.167,
    "p_positive": 0.083,
    "score": -0.667,
}
RECALL = {"text": "Acme recalls toxic toys", "target": "Acme"}
DEADLINE_SECONDS = 60


class Gated(StubClassifier):
    """Counts its batches, and holds each until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.entered, self.released = threading.Event(), threading.Event()

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        self.batches.append(len(batch))
        self.entered.set()
        assert self.released.wait(DEADLINE_SECONDS)
        return super().forward(batch)


class Poisoned(StubClassifier):
    def tokenise(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        if any("poison" in pair.text for pair in pairs):
            raise RuntimeError("a secret of the tokeniser")
        return super().tokenise(pairs)


class Mortal(StubClassifier):
    """Reads while its device lives."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = False

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        if self.dead:
            raise RuntimeError("a secret of the device")
        return super().forward(batch)


class Service:
    """An application and the thread behind it."""

    def __init__(self, app: FastAPI, model: ModelThread) -> None:
        self.app, self.model = app, model

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://service")

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **options)

        return asyncio.run(asked())

    def post(self, body: Any, **options: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return self.ask("POST", SENTIMENT, content=json.dumps(body), headers=headers, **options)

    def sample(self, name: str) -> float:
        lines = self.ask("GET", "/metrics").text.splitlines()
        (line,) = [line for line in lines if line.startswith(name + " ")]
        return float(line.split()[-1])


def built(
    load: Callable[[], StubClassifier],
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> Service:
    registry = CollectorRegistry()
    metrics = ServeMetrics(registry)
    serving = ServingSettings(**settings)
    model = ModelThread(load, metrics, queue_pairs=serving.queue_pairs, clock=clock)
    return Service(build_app(serving, model, metrics, registry), model)


def wait_ready(service: Service) -> None:
    while service.model.unready():
        threading.Event().wait(0.002)


@contextmanager
def running(classifier: StubClassifier, **settings: Any) -> Iterator[Service]:
    """A service whose model is loaded."""
    service = built(lambda: classifier, **settings)
    service.model.start()
    wait_ready(service)
    try:
        yield service
    finally:
        if isinstance(classifier, Gated):
            classifier.released.set()
        service.model.stop()
        service.model.join(DEADLINE_SECONDS)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(StubClassifier(), max_pairs=4, max_body_bytes=4096, max_text_bytes=100) as started:
        yield started


def test_one_pair_gets_one_result(service: Service) -> None:
    response = service.post(RECALL)
    assert (response.status_code, response.json()) == (
        200,
        {"model": "stub@1", "results": [NEGATIVE]},
    )


def test_many_pairs_get_their_results_in_order(service: Service) -> None:
    pairs = [{**RECALL, "start": 0, "end": 4}, {"text": "What a lovely day", "target": None}]
    results = service.post({"pairs": pairs}).json()["results"]
    assert results[0] == NEGATIVE
    assert (results[1]["label"], results[1]["score"]) == ("positive", 0.5)


def test_the_classifier_reads_text_target_and_span() -> None:
    read: list[Pair] = []

    class Reading(StubClassifier):
        def tokenise(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
            read.extend(pairs)
            return super().tokenise(pairs)

    with running(Reading()) as service:
        service.post({"pairs": [{**RECALL, "start": 0, "end": 4}, {"text": "é🙂"}]})
    assert read == [Pair(RECALL["text"], "Acme", (0, 4)), Pair("é🙂")]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "text", "is missing"),
        ({"text": ""}, "text", "is empty"),
        ({"text": " \n"}, "text", "is empty"),
        ({"text": 5}, "text", "expected a string"),
        ({"text": None}, "text", "expected a string"),
        ({"text": "a", "target": 3}, "target", "expected a string"),
        ({"text": "a", "target": " "}, "target", "is empty"),
        ({"text": "a", "label": "x"}, "label", "unknown field"),
        ({"text": "abc", "start": 0, "end": 1}, "start", "without target"),
        ({"text": "abc", "target": "a", "start": 0}, "end", "together"),
        ({"text": "abc", "target": "a", "end": 1}, "end", "together"),
        ({"text": "abc", "target": "a", "start": -1, "end": 1}, "start", "0 to 2"),
        ({"text": "abc", "target": "a", "start": 3, "end": 4}, "start", "0 to 2"),
        ({"text": "abc", "target": "a", "start": 1, "end": 1}, "end", "2 to 3"),
        ({"text": "abc", "target": "a", "start": 1, "end": 4}, "end", "2 to 3"),
        ({"text": "abc", "target": "a", "start": "1", "end": 2}, "start", "whole number"),
        ({"text": "abc", "target": "a", "start": True, "end": 2}, "start", "whole number"),
        ({"text": "abc", "target": "a", "start": 0.0, "end": 2}, "start", "whole number"),
        ({"pairs": []}, "pairs", "at least one"),
        ({"pairs": {}}, "pairs", "expected a list"),
        ({"pairs": ["a"]}, "pairs.0", "expected an object"),
        ({"pairs": [{"text": "a"}, {"text": "b", "target": []}]}, "pairs.1.target", "a string"),
        ({"pairs": [{"text": "a"}], "text": "b"}, "text", "unknown field"),
        ([], None, "expected an object"),
        ("text", None, "expected an object"),
        (None, None, "the body"),
    ],
    ids=json.dumps,
)
def test_a_wrong_field_is_named(service: Service, body: Any, field: str | None, said: str) -> None:
    response = service.post(body)
    assert response.status_code == 422
    error = response.json()["error"]
    assert error.get("field") == field
    assert said in error["message"]
    assert error["message"].startswith(field or "the body")


@pytest.mark.parametrize(
    "content",
    [b"{", b'{"text": "\xff"}', b"[" * 4000, b'{"text": "a"} x', b"NaN,"],
    ids=["cut", "not UTF-8", "deep", "more behind", "no JSON"],
)
def test_what_is_not_json_is_told(service: Service, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = service.ask("POST", SENTIMENT, content=content, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("the body is not JSON")


def test_an_empty_body_and_half_a_surrogate_pair_are_told(service: Service) -> None:
    headers = {"Content-Type": "application/json"}
    empty = service.ask("POST", SENTIMENT, content=b"", headers=headers)
    assert (empty.status_code, empty.json()["error"]["message"]) == (422, "the body: is missing")
    half = service.ask("POST", SENTIMENT, content=rb'{"text": "\ud800"}', headers=headers)
    assert (half.status_code, half.json()["error"]["field"]) == (422, "text")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_what_is_not_announced_as_json_is_refused(service: Service, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    response = service.ask("POST", SENTIMENT, content=b'{"text": "a"}', headers=headers)
    assert response.status_code == 415
    assert "application/json" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "a " * 3000}, None),
        ({"pairs": [{"text": "a"}] * 5}, "pairs"),
        ({"text": "é" * 51}, "text"),
        ({"pairs": [{"text": "a"}, {"text": "b", "target": "c" * 101}]}, "pairs.1.target"),
    ],
    ids=["body", "pairs", "text", "target"],
)
def test_too_much_is_refused(service: Service, body: Any, field: str | None) -> None:
    response = service.post(body)
    assert response.status_code == 413
    assert response.json()["error"].get("field") == field


def test_a_body_of_unknown_length_is_limited_too(service: Service) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    async def asked() -> httpx.Response:
        async with service.client() as client:
            headers = {"Content-Type": "application/json"}
            return await client.post(SENTIMENT, content=chunks(), headers=headers)

    assert asyncio.run(asked()).status_code == 413


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    told: list[Any] = []

    async def never() -> Any:
        await asyncio.Event().wait()

    async def tell(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http", "method": "POST", "path": SENTIMENT, "query_string": b"",
        "headers": [(b"content-type", b"application/json")], "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(built(StubClassifier, timeout="10ms").app(scope, never, tell))
    assert told[0]["status"] == 408


def test_other_methods_and_paths_are_told_as_errors_too(service: Service) -> None:
    wrong = service.ask("GET", SENTIMENT)
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
    for response in (wrong, service.ask("POST", "/nowhere"), service.ask("GET", "/v1")):
        assert response.json()["error"]["message"] in ("Method Not Allowed", "Not Found")


def test_a_poisoned_pair_fails_alone_and_tells_no_secret() -> None:
    with running(Poisoned()) as service:
        mixed = service.post({"pairs": [RECALL, {"text": "poison"}]})
        alone = service.post({"text": "poison"})
    assert mixed.status_code == 200
    assert mixed.json()["results"] == [
        NEGATIVE,
        {"error": {"message": "the model failed on this pair"}},
    ]
    assert alone.status_code == 500
    assert "secret" not in mixed.text + alone.text


def test_an_unforeseen_fault_tells_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_row: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("undertone.serving.app.result_of", fail)
    with running(StubClassifier()) as service:
        response = service.post(RECALL)
        assert response.status_code == 500
        assert list(response.json()) == ["error"]
        assert "secret" not in response.text and "Traceback" not in response.text
        assert service.sample('undertone_serve_requests_total{status="500"}') == 1


def test_requests_that_come_while_the_model_works_share_its_next_batch() -> None:
    classifier = Gated()

    async def asked(service: Service) -> list[httpx.Response]:
        async with service.client() as client:
            first = asyncio.create_task(client.post(SENTIMENT, json=RECALL))
            await asyncio.to_thread(classifier.entered.wait, DEADLINE_SECONDS)
            texts = ["bad " * n for n in range(1, 21)]
            rest = [
                asyncio.create_task(client.post(SENTIMENT, json={"text": text})) for text in texts
            ]
            while service.model.waiting() < len(rest):
                await asyncio.sleep(0)
            classifier.released.set()
            return await asyncio.gather(first, *rest)

    with running(classifier) as service:
        responses = asyncio.run(asked(service))
    assert classifier.batches == [1, 20]
    told = [response.json()["results"][0]["p_negative"] for response in responses[1:]]
    expected = StubClassifier().classify([Pair("bad " * n) for n in range(1, 21)])[:, 0]
    assert told == [round(float(value), 3) for value in expected]


def test_a_full_queue_refuses_until_there_is_room() -> None:
    classifier = Gated()

    async def asked(service: Service) -> list[httpx.Response]:
        async with service.client() as client:
            first = asyncio.create_task(client.post(SENTIMENT, json=RECALL))
            await asyncio.to_thread(classifier.entered.wait, DEADLINE_SECONDS)
            second = asyncio.create_task(client.post(SENTIMENT, json={"pairs": [RECALL] * 2}))
            while service.model.waiting() < 2:
                await asyncio.sleep(0)
            refused = await client.post(SENTIMENT, json=RECALL)
            classifier.released.set()
            return [await first, await second, refused, await client.post(SENTIMENT, json=RECALL)]

    with running(classifier, queue_pairs=2, max_pairs=2) as service:
        responses = asyncio.run(asked(service))
    assert [response.status_code for response in responses] == [200, 200, 503, 200]
    assert int(responses[2].headers["Retry-After"]) > 0
    assert "waiting" in responses[2].json()["error"]["message"]


def test_a_model_that_does_not_answer_keeps_nobody_for_ever() -> None:
    with running(Gated(), timeout="50ms") as service:
        response = service.post(RECALL)
    assert response.status_code == 504
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("state", ["loading", "not loaded", "ended", "stopping"])
def test_each_way_of_being_unready_is_told(state: str) -> None:
    def fail() -> StubClassifier:
        raise OSError

    class OutOfMemory(StubClassifier):
        def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
            raise MemoryError

    service = built(fail if state == "not loaded" else OutOfMemory)
    if state == "stopping":
        service.model.stop()
    elif state != "loading":
        service.model.start()
        if state == "ended":
            while service.model.unready():
                threading.Event().wait(0.002)
            assert service.post(RECALL).status_code == 503  # it ends the thread
        service.model.join(DEADLINE_SECONDS)
    assert service.ask("GET", "/healthz").status_code == 200
    for response in (service.ask("GET", "/readyz"), service.post(RECALL)):
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert re.search("loading|stopp", response.json()["error"]["message"])


def test_a_model_that_dies_is_named_and_ready_again_when_it_answers() -> None:
    now, classifier = [0.0], Mortal()
    with running(classifier, clock=lambda: now[0]) as service:
        classifier.dead = True
        assert service.post(RECALL).status_code == 500
        ready, refused = service.ask("GET", "/readyz"), service.post(RECALL)
        assert service.ask("GET", "/healthz").status_code == 200
        classifier.dead = False
        now[0] = 1.0
        wait_ready(service)
        assert service.ask("GET", "/readyz").json() == {"status": "ready", "model": "stub@1"}
        assert service.post(RECALL).json()["results"] == [NEGATIVE]
    for response in (ready, refused):
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert "stub@1 does not answer" in response.json()["error"]["message"]
        assert "secret" not in response.text


def test_a_loaded_model_is_ready(service: Service) -> None:
    assert service.ask("GET", "/readyz").json() == {"status": "ready", "model": "stub@1"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Service]:
    with running(StubClassifier(), token="a token: é") as started:
        yield started


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", "Bearer a token", "Basic a token: é", "Bearer a token: éé"],
)
def test_without_the_token_nothing_is_answered(guarded: Service, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given.encode()}
    for method, path in (("POST", SENTIMENT), ("GET", "/metrics"), ("GET", "/openapi.json"),
                         ("GET", "/nowhere")):  # fmt: skip
        response = guarded.ask(method, path, headers=headers, json=RECALL)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert "Bearer" in response.json()["error"]["message"]


def test_with_the_token_all_is_answered(guarded: Service) -> None:
    headers = {"Authorization": "bearer a token: é".encode()}
    assert guarded.post(RECALL, headers=headers).status_code == 200
    assert guarded.ask("GET", "/metrics", headers=headers).status_code == 200


def test_health_and_the_page_need_no_token(guarded: Service) -> None:
    for path in ("/healthz", "/readyz", "/docs"):
        assert guarded.ask("GET", path).status_code == 200


def test_requests_pairs_and_latency_are_counted() -> None:
    with running(StubClassifier()) as service:
        service.post({"pairs": [RECALL, RECALL]})
        service.post({"text": 5})
        service.ask("GET", "/healthz")
        assert service.sample('undertone_serve_requests_total{status="200"}') == 1
        assert service.sample('undertone_serve_requests_total{status="422"}') == 1
        assert service.sample('undertone_serve_requests_total{status="503"}') == 0
        assert service.sample("undertone_serve_request_seconds_count") == 2
        assert service.sample('undertone_serve_pairs_total{outcome="scored"}') == 2
        assert service.sample("undertone_serve_batches_total") == 1
        assert service.sample("undertone_serve_queue_items") == 0


def test_the_document_describes_what_is_answered(service: Service) -> None:
    document = service.ask("GET", "/openapi.json").json()
    operation = document["paths"][SENTIMENT]["post"]
    assert set(operation["responses"]) == {
        "200", "400", "401", "408", "413", "415", "422", "500", "503", "504",
    }  # fmt: skip
    schemas = document["components"]["schemas"]
    references = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))
    assert set(references) == set(schemas) - {"HTTPValidationError", "ValidationError"}
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        answer = service.post(example["value"])
        assert answer.status_code == 200
        assert set(answer.json()) == set(schemas["SentimentAnswer"]["properties"])
        assert set(answer.json()["results"][0]) == set(schemas["Sentiment"]["properties"])


def test_the_page_needs_nothing_from_elsewhere(service: Service) -> None:
    response = service.ask("GET", "/docs")
    assert not re.search(r"(src|href|url\()\s*=?\s*[\"']?(https?:)?//", response.text)
    assert "innerHTML" not in response.text
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', response.text))
    assert f"script-src 'nonce-{nonce}'" in response.headers["Content-Security-Policy"]
    assert service.ask("GET", "/docs").text != response.text  # another nonce each time
    assert service.ask("GET", "/").headers["Location"] == "docs"
