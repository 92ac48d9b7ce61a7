"""`undertone serve` over real sockets: many clients at once, the real model, start and end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from undertone.errors import ModelError
from undertone.serving.service import ServeService
from undertone.settings import ServingSettings
from undertone_models.checkpoint import bundled
from undertone_models.classifier import (
    EncodedPair,
    FloatArray,
    Pair,
    StubClassifier,
    load_classifier,
)

DEADLINE_SECONDS = 60
TEXTS = ["bad " * (n % 7) + "good " * (n // 7) + "day" for n in range(50)]


class Served:
    """A real `undertone serve` process."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def end(self, number: signal.Signals) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)


def environment(**variables: str) -> dict[str, str]:
    """The variables of this process, without undertone's."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("UNDERTONE_")}
    return {**mine, **variables}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "undertone", "serve", *arguments]


@contextmanager
def served(folder: Path, *arguments: str, **variables: str) -> Iterator[Served]:
    """A process that is ready, ended with the block."""
    process = subprocess.Popen(
        command("--port", "0", *arguments),
        cwd=folder,
        env=environment(**variables),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        assert first.startswith("listening: http://127.0.0.1:"), first
        url = first.split()[1]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not httpx.get(f"{url}/readyz").is_success:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Served(process, url)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.skipif(not (bundled() / "model.onnx").exists(), reason="no checkpoint is bundled")
def test_the_bundled_model_answers_as_in_process(tmp_path: Path) -> None:
    text = "Acme beats expectations while Bolt sinks into bankruptcy"
    pairs = [Pair(text, "Acme", (0, 4)), Pair(text, "Bolt", (30, 34)), Pair("What a lovely day")]
    asked = [
        {"text": text, "target": "Acme", "start": 0, "end": 4},
        {"text": text, "target": "Bolt", "start": 30, "end": 34},
        {"text": "What a lovely day"},
    ]
    variables = {"UNDERTONE_MODEL__THREADS": "1"}
    with served(tmp_path, "--engine", "onnx", **variables) as service:
        many = httpx.post(f"{service.url}/v1/sentiment", json={"pairs": asked}).json()
        alone = [
            httpx.post(f"{service.url}/v1/sentiment", json=pair).json()["results"][0]
            for pair in asked
        ]
    classifier = load_classifier("onnx", threads=1)
    assert many["model"] == classifier.name
    for results in (many["results"], alone):
        for result, row in zip(results, classifier.classify(pairs).tolist(), strict=True):
            told = [result[f"p_{label}"] for label in ("negative", "neutral", "positive")]
            assert told == pytest.approx(row, abs=0.003)
            assert result["score"] == pytest.approx(row[2] - row[0], abs=0.005)


def test_fifty_clients_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    async def asked(url: str) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as client:
            posts = [client.post("/v1/sentiment", json={"text": text}) for text in TEXTS]
            return [response.json() for response in await asyncio.gather(*posts)]

    with served(tmp_path, "--engine", "stub") as service:
        answers = asyncio.run(asked(service.url))
        metrics = httpx.get(f"{service.url}/metrics").text
    expected = StubClassifier().classify([Pair(text) for text in TEXTS])[:, 2]
    told = [answer["results"][0]["p_positive"] for answer in answers]
    assert told == [round(float(value), 3) for value in expected]
    assert 'undertone_serve_pairs_total{outcome="scored"} 50.0' in metrics
    assert 'undertone_serve_requests_total{status="200"} 50.0' in metrics


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals, status: int) -> None:
    with (
        served(tmp_path, "--engine", "stub") as service,
        httpx.Client(base_url=service.url) as client,  # its idle connection must not hold it up
    ):
        assert client.get("/healthz").is_success
        assert service.end(number) == status
        assert service.process.stderr is not None
        assert "Traceback" not in service.process.stderr.read()


def test_the_token_comes_from_a_variable(tmp_path: Path) -> None:
    with served(tmp_path, "--engine", "stub", UNDERTONE_SERVING__TOKEN="s3cret") as service:
        url = f"{service.url}/v1/sentiment"
        assert httpx.post(url, json={"text": "good"}).status_code == 401
        headers = {"Authorization": "Bearer s3cret"}
        assert httpx.post(url, json={"text": "good"}, headers=headers).status_code == 200
        assert httpx.get(f"{service.url}/healthz").status_code == 200


def test_a_large_body_is_refused_with_an_answer_that_arrives(tmp_path: Path) -> None:
    with served(tmp_path, "--engine", "stub") as service:
        response = httpx.post(f"{service.url}/v1/sentiment", json={"text": "x" * (8 << 20)})
        assert response.status_code == 413
        assert "bytes" in response.json()["error"]["message"]


def test_a_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            command("--engine", "stub", "--port", port),
            cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert f"cannot serve on 127.0.0.1:{port}" in result.stderr
    assert "--port" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "said"),
    [
        (["--model", "absent", "--engine", "onnx"], {}, 1, "absent"),
        (["--host", "no.such.host.invalid"], {}, 1, "cannot serve on no.such.host.invalid"),
        (["--engine", "magic"], {}, 2, "magic"),
        ([], {"UNDERTONE_SERVING__MAX_PAIRS": "0"}, 2, "UNDERTONE_SERVING__MAX_PAIRS"),
        ([], {"UNDERTONE_SERVING__QUEUE_PAIRS": "9"}, 2, "queue_pairs must not be less"),
    ],
    ids=["model", "host", "engine", "setting", "queue"],
)
def test_wrong_use_is_told_in_a_message(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], status: int, said: str
) -> None:
    result = subprocess.run(
        command("--port", "0", *arguments),
        cwd=tmp_path, env=environment(**variables), capture_output=True, text=True, check=False,
        timeout=DEADLINE_SECONDS,
    )  # fmt: skip
    assert result.returncode == status, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr


class Gated(StubClassifier):
    """Holds its forward pass until it is released; then it may fail."""

    def __init__(self, fault: BaseException | None = None) -> None:
        super().__init__()
        self._fault = fault
        self.entered, self.released = threading.Event(), threading.Event()

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        self.entered.set()
        assert self.released.wait(DEADLINE_SECONDS)
        if self._fault is not None:
            raise self._fault
        return super().forward(batch)


class InThread:
    """A service that runs in a thread, with one request in flight."""

    def __init__(self, classifier: Gated) -> None:
        self._classifier = classifier
        self.service = ServeService(ServingSettings(port=0), lambda: classifier)
        self.fault: BaseException | None = None
        self.response: httpx.Response | None = None
        self._threads = [threading.Thread(target=self._run), threading.Thread(target=self._ask)]

    def __enter__(self) -> InThread:
        for thread in self._threads:
            thread.start()
        assert self._classifier.entered.wait(DEADLINE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._classifier.released.set()
        self.service.stop()
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive()

    def _run(self) -> None:
        try:
            self.service.run()
        except BaseException as fault:
            self.fault = fault

    def _ask(self) -> None:
        while not httpx.get(f"{self.service.url}/readyz").is_success:
            time.sleep(0.01)
        url = f"{self.service.url}/v1/sentiment"
        self.response = httpx.post(url, json={"text": "good"}, timeout=DEADLINE_SECONDS)


def test_what_is_in_flight_when_it_is_stopped_is_answered() -> None:
    classifier = Gated()
    with InThread(classifier) as running:
        running.service.stop()
    assert running.response is not None
    assert running.response.status_code == 200
    assert running.fault is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.service.url}/healthz")


def test_a_fault_of_the_model_is_told_to_the_client_and_ends_the_service() -> None:
    with InThread(Gated(MemoryError())) as running:
        pass
    assert running.response is not None
    assert running.response.status_code == 503
    assert isinstance(running.fault, ModelError)
    assert "out of memory" in str(running.fault)
