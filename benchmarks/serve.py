"""What HTTP takes of the model's throughput: `undertone serve` beside classify(), same pairs.

Prints JSON: `sixteen_clients_per_classify` is pairs a second of 16 concurrent clients, each asking
for one pair at a time, ÷ those of classify() in one process; `one_client_per_classify_alone` is the
same with one client ÷ classify() called for one pair at a time; `batch_pairs` is how many of the
sixteen clients' pairs shared a batch on average. Medians of three interleaved rounds, the service
a process of its own on the int8 CPU engine. Texts come from the simulator.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from undertone.simulate.scenarios import build_scenario
from undertone_models.classifier import Pair, load_classifier

PAIRS = 384
ALONE_PAIRS = 64
CLIENTS = 16
ROUNDS = 3
THREADS = 1


def pairs() -> list[Pair]:
    """Texts of the scripted demo, short posts and longer news mixed."""
    entries = build_scenario("demo", seed=1).entries
    messages = [entry.message for entry in entries if entry.message is not None]
    step = len(messages) // PAIRS
    return [
        Pair(" ".join(filter(None, (message.title, message.text))), "Halvermoor")
        for message in messages[::step][:PAIRS]
    ]


@contextmanager
def service() -> Iterator[str]:
    """The address of a service that is ready."""
    command = [sys.executable, "-m", "undertone", "serve", "--port", "0", "--engine", "onnx"]
    variables = {**os.environ, "UNDERTONE_MODEL__THREADS": str(THREADS)}
    process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split()[1]
        while not httpx.get(f"{url}/readyz").is_success:
            time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


async def ask(url: str, asked: list[Pair], clients: int) -> float:
    """Wall time in which so many clients ask for all pairs, one at a time."""
    left = iter(asked)

    async def one_client(client: httpx.AsyncClient) -> None:
        for pair in left:
            body = {"text": pair.text, "target": pair.target}
            (await client.post("/v1/sentiment", json=body)).raise_for_status()

    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        began = time.perf_counter()
        await asyncio.gather(*(one_client(client) for _ in range(clients)))
        return time.perf_counter() - began


def batches(url: str) -> float:
    """Batches so far."""
    found = re.search(
        r"^undertone_serve_batches_total (\S+)", httpx.get(f"{url}/metrics").text, re.M
    )
    assert found is not None
    return float(found[1])


def main() -> None:
    """Print the medians."""
    asked = pairs()
    classifier = load_classifier("onnx", threads=THREADS)
    sixteen, one, shared = [], [], []
    with service() as url:
        asyncio.run(ask(url, asked[:32], CLIENTS))
        classifier.classify(asked[:32])
        for _ in range(ROUNDS):
            began, before = time.perf_counter(), batches(url)
            classifier.classify(asked)
            together = time.perf_counter() - began
            sixteen.append(together / asyncio.run(ask(url, asked, CLIENTS)))
            shared.append(len(asked) / (batches(url) - before))
            began = time.perf_counter()
            for pair in asked[:ALONE_PAIRS]:
                classifier.classify([pair])
            alone = time.perf_counter() - began
            one.append(alone / asyncio.run(ask(url, asked[:ALONE_PAIRS], 1)))
    print(
        json.dumps(
            {
                "sixteen_clients_per_classify": round(statistics.median(sixteen), 2),
                "one_client_per_classify_alone": round(statistics.median(one), 2),
                "batch_pairs": round(statistics.median(shared), 1),
            }
        )
    )


if __name__ == "__main__":
    main()
