"""`undertone serve`: what it needs, and whom it lets ask."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from undertone.cli.main import build_app
from undertone.errors import UndertoneError
from undertone.settings import ServingSettings


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_without_the_extra_it_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "undertone.cli.http_services.find_spec", lambda name: None if name == package else object()
    )
    error = CliRunner().invoke(build_app(["serve"]), ["serve"]).exception
    assert isinstance(error, UndertoneError), error
    assert f"{package} is not installed" in error.message
    assert 'pip install "undertone[serve]"' in str(error.hint)


@pytest.mark.parametrize(
    ("host", "token", "is_open"),
    [
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("0.0.0.0", "secret", False),
    ],
)
def test_an_address_that_others_reach_is_open_without_a_token(
    host: str, token: str | None, is_open: bool
) -> None:
    settings = ServingSettings.model_validate({"host": host, "token": token})
    assert settings.is_open_to_all == is_open
    assert "secret" not in repr(settings)


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ValidationError):
        ServingSettings.model_validate({"token": ""})
