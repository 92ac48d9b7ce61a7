"""`undertone serve`: the model as a service."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from undertone.cli.options import (
    INTERRUPTED,
    BootstrapOption,
    ConfigOption,
    EngineName,
    PrefixOption,
)
from undertone.errors import UndertoneError

if TYPE_CHECKING:
    from undertone_models.classifier import SentimentClassifier

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
    engine: Annotated[
        EngineName | None, typer.Option("--engine", help="What runs the model.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Checkpoint (default: the bundled one).")
    ] = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Answer POST /v1/sentiment over HTTP, and take messages at POST /v1/messages, until stopped.

    The page /docs tells how to ask. Kafka is looked for at the first messages, and not before.

    SIGTERM and Ctrl-C finish what is in flight; the exit status is then 0 and 130.
    """
    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise UndertoneError(
                f"undertone serve: {package} is not installed",
                hint='install the extra: pip install "undertone[serve]"',
            )
    from undertone.cli.model_errors import model_errors
    from undertone.serving.service import ServeService
    from undertone.settings import DEFAULT_MODEL, load_settings
    from undertone.telemetry import configure_logging

    configure_logging(verbose=verbose)
    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    given = {"host": host, "port": port}
    serving = settings.serving.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )

    def load() -> SentimentClassifier:
        from undertone_models.classifier import load_classifier

        with model_errors():
            return load_classifier(
                engine.value if engine else settings.model.engine,
                model or settings.model_paths[DEFAULT_MODEL],
                threads=settings.model.threads,
                max_tokens=settings.model.max_tokens,
                token_budget=settings.model.token_budget,
            )

    deployment = settings.model_copy(update={"serving": serving}) if serving.messages else None
    service = ServeService(serving, load, deployment=deployment)
    err.print(f"listening: {service.url}  (how to ask: {service.url}/docs)", soft_wrap=True)
    if serving.is_open_to_all:
        err.print(f"warning: {serving.host} may be reached by others, and no token is set")
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
