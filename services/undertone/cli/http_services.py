"""What the commands that answer over HTTP share: their packages, their options, their end."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TypeVar

from rich.console import Console

from undertone.cli.stopping import stop_on_signals
from undertone.errors import UndertoneError

if TYPE_CHECKING:
    from pydantic import BaseModel

Section = TypeVar("Section", bound="BaseModel")


class HttpService(Protocol):
    """Answers until it is stopped."""

    def run(self) -> None: ...
    def stop(self) -> None: ...


class Listening(Protocol):
    """A section of the settings that says where to listen."""

    @property
    def host(self) -> str: ...
    @property
    def is_open_to_all(self) -> bool: ...


def require_packages(command: str, packages: Iterable[str], *, extra: str) -> None:
    """Raise UndertoneError that names the extra to install where a package is missing."""
    for package in packages:
        if find_spec(package) is None:
            raise UndertoneError(
                f"undertone {command}: {package} is not installed",
                hint=f'install the extra: pip install "undertone[{extra}]"',
            )


def with_options(section: Section, **given: object) -> Section:
    """The section with the options that were given over its fields."""
    return section.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )


def run_until_stopped(service: HttpService, section: Listening, err: Console) -> None:
    """Warn where others may ask without a token; run; exit with 130 after Ctrl-C."""
    if section.is_open_to_all:
        err.print(f"warning: {section.host} may be reached by others, and no token is set")
    # The server puts its own handlers over these while it runs, and hands all signals on at its
    # end: a second one must not end the process then.
    with stop_on_signals(service.stop, second_ends=False):
        service.run()
