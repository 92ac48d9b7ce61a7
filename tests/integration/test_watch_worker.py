"""The watch worker on a real broker: starting, going on, refusing, and what it does with faults."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka import TopicPartition

from integration.counting_core import BREAKS_CORE, GIANT, counting_settings
from integration.watch_workers import Scene, revisions
from undertone.errors import StateError
from undertone.records import DeadLetter
from undertone.transport.clients import admin_client
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.watch.rebuild import delete_state
from undertone.watch.worker import open_log

pytestmark = pytest.mark.kafka


@pytest.fixture
def scene(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(broker.bootstrap, prefix, tmp_path, partitions=2)
    yield made
    made.close()


def test_a_worker_goes_on_where_the_last_one_ended(scene: Scene) -> None:
    scene.send(300)
    scene.start()
    scene.wait_until_done()
    scene.workers[0].terminate()
    assert scene.workers[0].wait(30) == 0
    written = len(scene.read(scene.names.trends))
    scene.send(300)
    scene.start()
    scene.wait_until_done()
    scene.workers[1].send_signal(signal.SIGINT)
    assert scene.workers[1].wait(30) == 0
    assert (written, len(scene.read(scene.names.trends))) == (300, 600)
    assert revisions(scene) == {s: set(range(1, n + 1)) for s, n in scene.sent.items()}


def test_a_worker_opens_no_port(scene: Scene) -> None:
    worker = scene.start()
    scene.wait_for(0, "ready")
    listening = [
        connection.laddr
        for connection in psutil.Process(worker.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == []


def test_records_that_break_the_watcher_are_kept_and_it_goes_on(scene: Scene) -> None:
    scene.send(60)
    scene.send_bytes("s00", b"no json")
    scene.send_bytes("s00", None)
    scene.send(2, excerpt=BREAKS_CORE)
    scene.send(58)
    scene.start()
    scene.wait_until_done()
    letters = [DeadLetter.from_json(r.value) for r in scene.read(scene.names.dead_letters)]
    assert {letter.stage for letter in letters} == {"watch"}
    assert len({(letter.partition, letter.offset) for letter in letters}) == 4
    _, counts, sums = scene.state()
    assert counts == sums == dict(scene.sent)


def test_state_larger_than_a_usual_record_is_written_and_read_again(scene: Scene) -> None:
    scene.send(40, subjects=4, name=GIANT)
    scene.start()
    scene.wait_until_done()
    scene.workers[0].kill()
    scene.workers[0].wait()
    scene.send(40, subjects=4, name=GIANT)
    scene.start()
    scene.wait_until_done()
    _, counts, sums = scene.state()
    assert counts == sums == dict(scene.sent)


def test_a_cursor_behind_the_log_ends_the_worker_with_the_command_to_run(scene: Scene) -> None:
    scene.send(60)
    scene.start()
    scene.wait_until_done()
    scene.workers[0].terminate()
    scene.workers[0].wait(30)
    scene.send(60)
    parts = [TopicPartition(scene.names.mentions, partition) for partition in range(2)]
    with admin_client(scene.settings.kafka) as admin:
        admin.delete_records(dict.fromkeys(parts, -1))
    scene.start()
    assert scene.workers[1].wait(60) == 1
    said = scene.output(1).read_text()
    assert "the watcher stands at offset" in said
    assert "undertone watch --rebuild" in said


def test_a_recreated_mentions_topic_ends_the_worker_with_the_command_to_run(scene: Scene) -> None:
    scene.send(20)
    scene.start()
    scene.wait_until_done()
    scene.workers[0].terminate()
    scene.workers[0].wait(30)
    with admin_client(scene.settings.kafka) as admin:
        admin.delete_topics([scene.names.mentions])
        scene.wait(lambda: scene.names.mentions not in admin.list_topics(), "the deletion")
    scene.start()
    assert scene.workers[1].wait(60) == 1
    said = scene.output(1).read_text()
    assert "the topic was recreated" in said
    assert "undertone watch --rebuild" in said
    assert "Traceback" not in said


def test_a_rebuild_waits_for_the_workers_to_end_and_then_reads_all_again(scene: Scene) -> None:
    scene.send(120)
    worker = scene.start()
    scene.wait_until_done()
    with pytest.raises(StateError, match="Stop every watch worker first"):
        delete_state(scene.settings)
    worker.terminate()
    worker.wait(30)
    assert len(delete_state(scene.settings)) == 2
    scene.start()
    scene.wait_until_done()
    _, counts, _ = scene.state()
    assert counts == dict(scene.sent)
    assert len(scene.read(scene.names.trends)) == 2 * 120
    assert revisions(scene) == {s: set(range(1, n + 1)) for s, n in scene.sent.items()}


def test_a_rebuild_of_what_never_ran_deletes_nothing(broker: EmbeddedBroker, prefix: str) -> None:
    assert delete_state(counting_settings(broker.bootstrap, prefix, 2)) == []


def test_a_changelog_of_another_size_is_refused(scene: Scene) -> None:
    settings = scene.settings.model_copy(update={"mentions_partitions": 3})
    with admin_client(settings.kafka) as admin:
        admin.delete_topics([scene.names.mentions, scene.names.trends])
        scene.wait(lambda: scene.names.trends not in admin.list_topics(), "the deletion")
    with pytest.raises(StateError, match="--rebuild"):
        open_log(settings)


@pytest.mark.slow
def test_without_a_broker_it_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERTONE_KAFKA__PATIENCE", "0s")
    watchlist = tmp_path / "watchlist.yaml"
    watchlist.write_text("subjects:\n  - {id: acme, name: Acme, type: company, terms: [Acme]}\n")
    ended = subprocess.run(
        [
            *(sys.executable, "-c", "from undertone.cli.main import main; main()"),
            *("watch", "--metrics-port", "0"),
            *("--bootstrap", "127.0.0.1:1", "--watchlist", str(watchlist)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_static_member_that_comes_back_in_time_disturbs_nobody(scene: Scene) -> None:
    def taken_up(worker: int) -> int:
        return scene.output(worker).read_text().count("at offset")

    scene.send(100)
    scene.start(instance="watch-0", session_seconds=60)
    scene.wait(lambda: taken_up(0) == 2, "both partitions")
    gone = scene.start(instance="watch-1", session_seconds=60)
    scene.wait(lambda: (taken_up(0), taken_up(1)) == (3, 1), "one partition each")
    gone.terminate()
    assert gone.wait(30) == 0
    scene.send(100)
    scene.start(instance="watch-1", session_seconds=60)
    scene.wait_until_done()
    assert (taken_up(0), taken_up(2)) == (3, 1)
    _, counts, sums = scene.state()
    assert counts == sums == dict(scene.sent)
