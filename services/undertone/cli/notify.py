"""`undertone notify`: Alertmanager's notifications to group robots of WeCom and DingTalk."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.http_services import require_packages, run_until_stopped, with_options
from undertone.cli.options import ConfigOption, HostOption, PortOption
from undertone.errors import RobotError

err = Console(stderr=True)


def command(
    *,
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    test: Annotated[
        bool, typer.Option("--test", help="Send a trial message to each robot and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Receive Alertmanager's webhook and post to group robots, until stopped.

    POST /v1/wecom and /v1/dingtalk. SIGTERM and Ctrl-C finish what is in flight; the exit status is
    then 0 and 130.
    """
    require_packages("notify", ("starlette", "uvicorn"), extra="serve")
    from undertone.notifications.service import NotifyService, try_robots
    from undertone.settings import load_settings
    from undertone.telemetry import configure_logging

    configure_logging(verbose=verbose)
    settings = with_options(load_settings(config).notify, host=host, port=port)
    if test:
        _report(try_robots(settings, clock_ms=time.time_ns() // 1_000_000))
        return
    service = NotifyService(settings)
    err.print(f"listening: {service.url}", soft_wrap=True)
    run_until_stopped(service, settings, err)


def _report(tried: dict[str, str | None]) -> None:
    """Say what became of each trial. Raises RobotError where one failed."""
    for name, wrong in tried.items():
        if wrong is None:
            print(f"{name}: sent")
    if failed := [wrong for wrong in tried.values() if wrong is not None]:
        raise RobotError("; ".join(failed))
