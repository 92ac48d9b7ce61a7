"""The commands of examples/ are run as they are written there; the broker's address is ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from readme_commands import commands, run
from servers import free_port
from tiny_models import write_tiny_base
from topic_logs import values_of
from undertone.records import Mention, RawMessage
from undertone.settings import load_settings
from undertone.transport import clients
from undertone.transport.codec import decode_watch_record
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import TopicNames
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import load_watchlist

EXAMPLES = Path(__file__).parents[2] / "examples"
DEADLINE_SECONDS = 120
SHOP_MENTIONS = {"kettle-one": 6, "lampora": 3, "delivery": 2}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables of the person who runs the tests."""
    for name in os.environ:
        if name.startswith("UNDERTONE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[list[str]]]:
    """Copy an example, go there, and return its commands."""

    def copy(name: str) -> list[list[str]]:
        shutil.copytree(EXAMPLES / name, tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        return commands(Path("README.md").read_text(encoding="utf-8"))

    return copy


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@contextmanager
def service(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A service that runs until stopped; at the block's end it is, and must end well."""
    process = subprocess.Popen([sys.executable, "-m", *words])
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0, words
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)


@pytest.mark.slow
@pytest.mark.kafka
def test_reviews_of_a_shop_are_read_from_its_own_topic(
    broker: EmbeddedBroker, prefix: str, copied: Callable[[str], list[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("starlette", reason="starlette is not installed (the extra `board`)")
    check, *services, produce, letters = copied("own-kafka")
    assert [words[1] for words in services] == ["score", "watch", "board"]
    for file in (Path("undertone.yaml"), Path("produce.py")):
        text = file.read_text().replace("127.0.0.1:9092", broker.bootstrap)
        file.write_text(text.replace("shop.reviews", f"{prefix}.reviews"))
    settings = load_settings(Path("undertone.yaml"), prefix=prefix)
    port = free_port()
    for name, value in {
        "PREFIX": prefix,
        "MODEL__ENGINE": "stub",
        "BOARD__PORT": port,
        "METRICS__SCORE_PORT": 0,
        "METRICS__WATCH_PORT": 0,
    }.items():
        monkeypatch.setenv(f"UNDERTONE_{name}", str(value))

    assert f"{prefix}.reviews" in run(check)
    with ExitStack() as running:
        for words in services:
            running.enter_context(service(words))
        with clients.admin_client(settings.kafka) as admin:
            wait_until(lambda: f"{prefix}.reviews" in admin.list_topics(), "score makes the topic")
        subprocess.run([sys.executable, *produce[1:]], check=True, timeout=DEADLINE_SECONDS)
        url = f"http://127.0.0.1:{port}/api/subjects"
        wait_until(lambda: heard_of(url) == SHOP_MENTIONS.keys(), "the board shows all subjects")
    records = [
        decode_watch_record(value)
        for value in values_of(settings, TopicNames(settings.prefix).mentions)
    ]
    mentions = [record for record in records if isinstance(record, Mention)]
    assert Counter(mention.subject for mention in mentions) == SHOP_MENTIONS
    told = {mention.message_id: mention for mention in mentions}
    assert (told["r4"].source, told["r4"].author, told["r4"].audience) == ("shop", "dan", 640)
    assert told["r4"].excerpt.startswith("Awful Bought a Kettle One")
    assert "published_at" in run(letters)


def heard_of(url: str) -> set[str]:
    """The subjects that the board has trends of; none while it does not answer yet."""
    try:
        answer = httpx.get(url).raise_for_status().json()
    except httpx.HTTPError:
        return set()
    return {subject["id"] for subject in answer["subjects"] if subject["windows"]}


@pytest.mark.slow
def test_a_model_is_trained_measured_and_named(
    tmp_path: Path, copied: Callable[[str], list[list[str]]]
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")
    torch.set_num_threads(1)
    train, evaluate, quantise, classify, check = copied("own-model")
    with Path("remarks.csv").open(encoding="utf-8") as rows:
        words = sorted({word.strip(",.?!\"'").lower() for row in rows for word in row.split()})
    train[train.index("--base") + 1] = str(write_tiny_base(tmp_path / "base", words))
    assert run(train).strip() == "my-model"
    assert "unknown" in run(evaluate)
    Path("my-model/model.onnx").unlink()
    run(quantise)
    assert Path("my-model/model.onnx").exists()
    (result,) = json.loads(run([*classify, "--json"]))["results"]
    assert result["target"] == "Corvana"
    assert "my-model@1" in run(check)


def test_chinese_messages_find_their_subjects(copied: Callable[[str], list[list[str]]]) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra `replay`)")
    check, replay = copied("chinese")
    assert "5 subjects" in run(check)
    matcher = Matcher(load_watchlist(Path("watchlist.yaml")))
    lines = Path("messages.jsonl").read_text(encoding="utf-8").splitlines()
    messages = [RawMessage.model_validate_json(line) for line in lines]
    found = {
        message.id: [match.subject_id for match in matcher.match(message.text, message.title, [])]
        for message in messages
    }
    assert found == {
        "z1": ["changqiao"], "z2": ["changqiao"], "z3": [], "z4": ["haifeng"],
        "z5": ["changqiao", "huaxing"], "z6": [], "z7": ["qingshan"], "z8": [],
        "z9": ["data-breach", "haifeng"],
    }  # fmt: skip
    run(replay)
    report = json.loads(Path("report/report.json").read_bytes())
    assert (report["messages"], report["mentions"], report["rejected"]) == (9, 8, 0)
    assert "长桥汽车" in Path("report/report.html").read_text(encoding="utf-8")


def test_the_notebook_runs_on_a_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra `replay`)")
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed (`plots`)")
    matplotlib.use("Agg")
    notebook = json.loads((EXAMPLES / "trends.ipynb").read_bytes())
    texts = {
        kind: ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]
        for kind in ("markdown", "code")
    }
    monkeypatch.chdir(tmp_path)
    simulate, replay = commands(texts["markdown"][0])
    run(simulate)
    run([*replay, "--engine", "stub"])
    names: dict[str, Any] = {}
    for source in texts["code"]:
        exec(compile(source, "trends.ipynb", "exec"), names)
    assert names["subject"] == "halvermoor-foods"
    assert names["alerts"] and names["points"].num_rows > 100
    drawn = [len(axes.lines) for axes in names["figure"].axes]
    told = Counter(alert["subject"] for alert in names["alerts"])["halvermoor-foods"]
    assert drawn == [3 + told, 2 + told]


def test_the_notebook_holds_no_outputs() -> None:
    notebook = json.loads((EXAMPLES / "trends.ipynb").read_bytes())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert {(len(cell["outputs"]), cell["execution_count"]) for cell in code} == {(0, None)}
