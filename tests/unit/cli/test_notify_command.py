"""`undertone notify`: what it needs, and what it never shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from undertone.cli.main import build_app
from undertone.errors import ConfigurationError, UndertoneError
from undertone.settings import NotifySettings, load_settings

KEY = "sesame"


def fault(*arguments: str) -> UndertoneError:
    """What the command ends with."""
    error = CliRunner().invoke(build_app(["notify"]), ["notify", *arguments]).exception
    assert isinstance(error, UndertoneError), error
    return error


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_it_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "undertone.cli.http_services.find_spec", lambda name: None if name == package else object()
    )
    assert 'pip install "undertone[serve]"' in str(fault().hint)


@pytest.mark.parametrize("arguments", [(), ("--test",)])
def test_without_a_robot_there_is_nothing_to_do(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = fault(*arguments)
    assert isinstance(error, ConfigurationError)
    assert "notify.wecom.url" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        f"notify: {{wecom: {{url: 'ftp://robot.example?key={KEY}'}}}}",
        f"notify: {{wecom: {{url: 'https://robot.example/ ?key={KEY}'}}}}",
        f"notify: {{wecom: {{url: 'https://u:{KEY}@robot.example/'}}}}",
        f"notify: {{wecom: {{url: [{KEY}]}}}}",
        f"notify: {{wecom: {{link: 'https://robot.example?key={KEY}'}}}}",
        f"notify: {{dingtalk: {{secret: {KEY}}}}}",
    ],
)
def test_a_mistake_in_an_address_does_not_show_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "undertone.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"notify\.") as caught:
        load_settings(path)
    assert KEY not in str(caught.value)


def test_settings_do_not_show_what_is_secret() -> None:
    robots = {
        "token": KEY,
        "wecom": {"url": f"https://robot.example/send?key={KEY}"},
        "dingtalk": {"url": f"https://robot.example/send?access_token={KEY}", "secret": KEY},
    }
    settings = NotifySettings.model_validate(robots)
    assert KEY not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("host", "token", "is_open"),
    [("127.0.0.1", None, False), ("0.0.0.0", None, True), ("0.0.0.0", "secret", False)],
)
def test_an_address_that_others_reach_is_open_without_a_token(
    host: str, token: str | None, is_open: bool
) -> None:
    assert NotifySettings.model_validate({"host": host, "token": token}).is_open_to_all == is_open
