"""`undertone serve`: the model as a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from undertone.cli.http_services import require_packages, run_until_stopped, with_options
from undertone.cli.options import (
    BootstrapOption,
    ConfigOption,
    EngineName,
    HostOption,
    PortOption,
    PrefixOption,
)

if TYPE_CHECKING:
    from undertone_models.classifier import SentimentClassifier

err = Console(stderr=True)


def command(
    *,
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
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
    require_packages("serve", ("fastapi", "uvicorn"), extra="serve")
    from undertone.cli.classifiers import load_named
    from undertone.cli.model_errors import model_errors
    from undertone.serving.service import ServeService
    from undertone.settings import DEFAULT_MODEL, load_settings
    from undertone.telemetry import configure_logging

    configure_logging(verbose=verbose)
    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    serving = with_options(settings.serving, host=host, port=port)

    def load() -> SentimentClassifier:
        path = model or settings.model_paths[DEFAULT_MODEL]
        with model_errors():
            return load_named(settings.model, engine, path)

    deployment = settings.model_copy(update={"serving": serving}) if serving.messages else None
    service = ServeService(serving, load, deployment=deployment)
    err.print(f"listening: {service.url}  (how to ask: {service.url}/docs)", soft_wrap=True)
    run_until_stopped(service, serving, err)
