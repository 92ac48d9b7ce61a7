"""`undertone notify`: Alertmanager's notifications to group robots of WeCom and DingTalk."""

from __future__ import annotations

import signal
import time
from importlib.util import find_spec
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.options import INTERRUPTED, ConfigOption
from undertone.errors import RobotError, UndertoneError

err = Console(stderr=True)


def command(
    *,
    config: ConfigOption = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on (default: 127.0.0.1).")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Send a trial message to each robot and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Receive Alertmanager's webhook and post to group robots, until stopped.

    POST /v1/wecom and /v1/dingtalk. SIGTERM and Ctrl-C finish what is in flight; the exit status is
    then 0 and 130.
    """
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise UndertoneError(
                f"undertone notify: {package} is not installed",
                hint='install the extra: pip install "undertone[serve]"',
            )
    from undertone.notifications.service import NotifyService, try_robots
    from undertone.settings import load_settings
    from undertone.telemetry import configure_logging

    configure_logging(verbose=verbose)
    given = {"host": host, "port": port}
    settings = load_settings(config).notify.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    if test:
        _report(try_robots(settings, clock_ms=time.time_ns() // 1_000_000))
        return
    service = NotifyService(settings)
    err.print(f"listening: {service.url}", soft_wrap=True)
    if settings.is_open_to_all:
        err.print(f"warning: {settings.host} may be reached by others, and no token is set")
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        service.stop()

    # The server puts its own handlers over these while it runs, and hands signals on at its end.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    service.run()
    if signal.SIGINT in received:
        raise typer.Exit(INTERRUPTED)


def _report(tried: dict[str, str | None]) -> None:
    """Say what became of each trial. Raises RobotError where one failed."""
    for name, wrong in tried.items():
        if wrong is None:
            print(f"{name}: sent")
    if failed := [wrong for wrong in tried.values() if wrong is not None]:
        raise RobotError("; ".join(failed))
