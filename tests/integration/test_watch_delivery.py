"""Nothing lost, nothing counted twice: watch workers that die, pause, join and leave."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.watch_workers import SESSION_SECONDS, Scene, revisions
from undertone.transport.embedded_broker import EmbeddedBroker

pytestmark = pytest.mark.kafka


@pytest.fixture
def scene(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(broker.bootstrap, prefix, tmp_path)
    yield made
    made.close()


def assert_exact(scene: Scene, *, restarts: int = 0) -> None:
    """Each subject was counted once for each of its mentions, and said so each time."""
    scene.wait_until_done(restarts=restarts)
    _, counts, sums = scene.state()
    assert counts == dict(scene.sent)
    assert sums == dict(scene.sent)
    assert revisions(scene) == {s: set(range(1, n + 1)) for s, n in scene.sent.items()}


def test_counts_are_exact_after_kills_and_rebalances(scene: Scene) -> None:
    scene.send(600)
    with scene.sending(per_second=600):
        first = scene.start()
        scene.wait_for(0, "ready")
        scene.start()
        scene.wait_for(1, "ready")
        first.kill()
        scene.start()
        scene.wait_for(2, "ready")
        scene.workers[1].terminate()
        scene.workers[1].wait(30)
    assert_exact(scene)
    assert scene.workers[1].returncode == 0


def test_the_group_commits_again_after_a_kill_that_left_the_cursor_ahead(scene: Scene) -> None:
    scene.send(400)
    scene.start()
    scene.wait_until_done()
    scene.workers[0].terminate()
    assert scene.workers[0].wait(30) == 0
    cursors = {number: cursor.offset for number, cursor in scene.state()[0].items()}
    # A kill between the cursor's write and the next commit leaves the group so.
    scene.commit({number: offset - 20 for number, offset in cursors.items()})
    scene.start()
    scene.wait_for(1, "ready")
    scene.wait(lambda: scene.committed() == cursors, "the commit of what had been applied before")
    scene.send(400)

    def committed() -> bool:
        now = {number: cursor.offset for number, cursor in scene.state()[0].items()}
        return now != cursors and scene.committed() == now

    scene.wait(committed, "the group's commits")
    assert_exact(scene)


@pytest.mark.slow
def test_a_paused_worker_does_no_harm_when_it_wakes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTING_CORE_STUCK", "15")
    with scene.sending(per_second=600):
        sleeper = scene.start()
        scene.wait_for(0, "ready")
        scene.start()
        scene.wait_for(1, "ready")
        sleeper.send_signal(signal.SIGSTOP)
        before = scene.output(0).read_text().count("at offset")
        scene.wait(
            lambda: scene.output(1).read_text().count("at offset") > 4, "the partitions' move"
        )
        sleeper.send_signal(signal.SIGCONT)
        # Faust's client does not always come back to its group; then the worker notices that it
        # stands still, and ends, and its supervisor starts it again.
        scene.wait(
            lambda: (
                scene.output(0).read_text().count("at offset") > before
                or sleeper.poll() is not None
            ),
            "the return",
            seconds=120,
        )
        if sleeper.poll() is not None:
            assert sleeper.returncode != 0
            scene.start()
    assert_exact(scene, restarts=2)


@pytest.mark.slow
@pytest.mark.chaos
def test_counts_are_exact_after_many_kills(scene: Scene) -> None:
    scene.send(6_000)
    scene.start()
    scene.start()
    with scene.sending(per_second=1_000):
        for kill in range(7):
            time.sleep(1.5 * SESSION_SECONDS + kill / 3)
            scene.workers[kill].kill()
            scene.start()
    assert_exact(scene)
