"""The Dockerfiles: pinned, contained and whole; and their health check, run outside them.

No image is built here. tests/integration/test_stack.py runs the commands of the containers.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deployed import DEPLOY, ROOT

HEALTHY = DEPLOY / "docker" / "healthy.py"
DOCKERFILES = [DEPLOY / "docker" / name for name in ("Dockerfile", "Dockerfile.cuda")]
both = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, its words) in order; comments gone, continued lines joined."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def last(path: Path, instruction: str) -> str:
    return [words for name, words in instructions(path) if name == instruction][-1]


@both
def test_it_has_two_stages_of_one_pinned_image(path: Path) -> None:
    image = dict(words.split("=") for name, words in instructions(path) if name == "ARG")[
        "PYTHON_IMAGE"
    ]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", image)
    assert [words for name, words in instructions(path) if name == "FROM"] == [
        "${PYTHON_IMAGE} AS build",
        "${PYTHON_IMAGE}",
    ]


@both
def test_it_runs_as_nobody_in_particular_and_tells_its_health(path: Path) -> None:
    assert int(last(path, "USER")) >= 10_000
    assert last(path, "HEALTHCHECK").endswith('CMD ["healthy"]')
    assert last(path, "ENTRYPOINT") == '["undertone"]'


@both
def test_it_installs_the_tested_versions_and_keeps_no_cache(path: Path) -> None:
    installs = [words for name, words in instructions(path) if "pip install" in words]
    assert len(installs) == 1
    assert "-c constraints.txt" in installs[0]
    assert any("PIP_NO_CACHE_DIR=1" in words for name, words in instructions(path) if name == "ENV")


@both
def test_its_extras_exist(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = next(w for n, w in instructions(path) if n == "ARG" and w.startswith("EXTRAS="))
    wanted = set(extras.removeprefix("EXTRAS=").split(","))
    assert wanted <= project["optional-dependencies"].keys()
    assert ("torch" in wanted) is (path.suffix == ".cuda")


def test_both_do_the_same_but_for_what_the_device_needs() -> None:
    cpu, cuda = ({f"{name} {words}" for name, words in instructions(path)} for path in DOCKERFILES)
    assert {line.split()[0] for line in cpu ^ cuda} == {"ARG", "ENV", "HEALTHCHECK"}


def copied(path: Path) -> list[str]:
    """What a Dockerfile copies from the context."""
    words = [words.split() for name, words in instructions(path) if name == "COPY"]
    return [
        source
        for line in words
        if not any(word.startswith("--from") for word in line)
        for source in [word for word in line if not word.startswith("--")][:-1]
    ]


@both
def test_what_it_copies_is_there_and_not_ignored(path: Path) -> None:
    let_through = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for source in copied(path):
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in let_through)


@both
def test_it_copies_all_that_the_wheel_is_built_of(path: Path) -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, there = document["project"], set(copied(path))
    assert {"pyproject.toml", project["readme"], *project["license-files"]} <= there
    for package in document["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]:
        assert package.split("/")[0] in there


class Answering(BaseHTTPRequestHandler):
    """/readyz is well, all else is not."""

    def do_GET(self) -> None:
        well = self.path == "/readyz"
        self.send_response(200 if well else 503)
        self.end_headers()
        self.wfile.write(b"ok" if well else b"it is starting")

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def healthy(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-IS", HEALTHY, *arguments],
        env=variables,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_the_health_check_passes_where_200_is_answered(url: str) -> None:
    assert healthy(HEALTH_URL=f"{url}/readyz").returncode == 0
    assert healthy(f"{url}/readyz").returncode == 0


def test_the_health_check_fails_with_the_reason_that_is_told(url: str) -> None:
    checked = healthy(HEALTH_URL=f"{url}/elsewhere")
    assert (checked.returncode, checked.stderr.strip()) == (1, "503: it is starting")


def test_the_health_check_fails_where_nobody_answers() -> None:
    checked = healthy(HEALTH_URL="http://127.0.0.1:1/readyz")
    assert checked.returncode == 1
    assert "Traceback" not in checked.stderr


def test_the_health_check_uses_no_proxy(url: str) -> None:
    variables = {"HEALTH_URL": f"{url}/readyz", "http_proxy": "http://127.0.0.1:1"}
    assert healthy(**variables).returncode == 0


def test_a_command_that_serves_nothing_is_healthy() -> None:
    assert healthy().returncode == 0
