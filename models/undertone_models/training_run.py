"""The state of one training, and its steps: weights, their average, optimiser, best so far."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from undertone_models.batching import forward_packed
from undertone_models.checkpoint import CheckpointError
from undertone_models.encoding import padded
from undertone_models.pairs import EncodedPair, FloatArray
from undertone_models.schedules import rate_share
from undertone_models.training_settings import TrainingError, TrainingSettings

if TYPE_CHECKING:
    from undertone_models.adapters import RankAllocation

EVALUATION_TOKEN_BUDGET, EVALUATION_PASS_TOKENS = 4096, 32
STATE_VERSION = 2

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TrainingRun:
    """One training run: `advance` takes a step, `save` and `load` carry it over a kill.

    The weights that count are `average`, the exponential moving average of those that are trained,
    or, once an evaluation has been the best, the average as it was then.
    """

    def __init__(
        self,
        model: Any,
        settings: TrainingSettings,
        steps_total: int,
        *,
        device: str = "cpu",
        identity: str = "",
    ) -> None:
        """`identity` names the data and base, so that another run's state is not taken up."""
        self.settings, self.steps_total, self.step = settings, steps_total, 0
        self.device, self.identity = torch.device(device), identity
        self.reads_type_ids = "token_type_ids" in inspect.signature(model.forward).parameters
        self._ranks: RankAllocation | None = None
        if settings.method != "full":
            from undertone_models import adapters  # peft takes seconds to import

            model = adapters.adapted(model, settings, steps_total)
            self._ranks = adapters.rank_allocation(model)
        self.model = model.to(self.device)
        # Tensors that the optimiser changes in place: looked up once, not at every step.
        self._live = {
            name: parameter.detach()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self.average = {name: value.clone() for name, value in self._live.items()}
        self.optimiser = torch.optim.AdamW(parameter_groups(model, settings), fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate_share(step, steps_total, settings)
        )
        self._trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        # Gradients in float16 would vanish below 6e-8: the loss is scaled up, the step down.
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=settings.precision == "float16"
        )
        self.best: dict[str, torch.Tensor] | None = None
        self.best_score = float("-inf")
        self.evaluations_without_rise = 0

    @property
    def learning_rate(self) -> float:
        """The rate of the next step, of the head."""
        return max(group["lr"] for group in self.optimiser.param_groups)

    def advance(
        self,
        pairs: Sequence[EncodedPair],
        targets: torch.Tensor,
        pad_id: int,
        weights: torch.Tensor | None = None,
    ) -> float:
        """Take one optimiser step on a batch and return its loss.

        `targets` are label indices (n,) or probabilities (n, 3); `weights` (n,) are those of the
        rows in the loss. With `accumulate`, the batch is computed in so many parts.
        """
        self.model.train()
        weights = torch.ones(len(pairs)) if weights is None else weights
        weights_total = float(weights.sum())
        self.optimiser.zero_grad(set_to_none=True)
        part_rows = -(-len(pairs) // self.settings.accumulate)
        loss_total = 0.0
        for start in range(0, len(pairs), part_rows):
            part = slice(start, start + part_rows)
            logits = self._logits(self.model, pairs[part], pad_id)
            losses = cross_entropy(
                logits,
                targets[part].to(self.device),
                label_smoothing=self.settings.label_smoothing,
                reduction="none",
            )
            loss = (losses * weights[part].to(self.device)).sum() / weights_total
            loss_total += float(loss.detach())
            if self._ranks and start == 0:
                loss = loss + self._ranks.penalty()
            self._scaler.scale(loss).backward()
        self._scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self._trained, self.settings.clip_norm)
        self._scaler.step(self.optimiser)
        self._scaler.update()
        self.schedule.step()
        self.step += 1
        if self._ranks:
            self._ranks.after_step(self.step)
        self._update_average()
        return loss_total

    def _logits(self, model: Any, pairs: Sequence[EncodedPair], pad_id: int) -> torch.Tensor:
        precision = _AUTOCAST.get(self.settings.precision)
        with torch.autocast(self.device.type, dtype=precision, enabled=precision is not None):
            logits: torch.Tensor = model(**self._inputs(pairs, pad_id)).logits
        return logits.float()

    def _inputs(self, pairs: Sequence[EncodedPair], pad_id: int) -> dict[str, torch.Tensor]:
        ids, mask, type_ids = (
            torch.from_numpy(array).to(self.device) for array in padded(pairs, pad_id)
        )
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self.reads_type_ids:
            inputs["token_type_ids"] = type_ids
        return inputs

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early steps count for less, or the average would remember the untrained head.
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), list(self._live.values()), 1 - decay)

    def probabilities(self, pairs: Sequence[EncodedPair], pad_id: int) -> FloatArray:
        """What the averaged weights answer, shape (n, 3); the run is left as it was."""
        self.model.eval()

        def averaged_model(**inputs: torch.Tensor) -> Any:
            return functional_call(self.model, self.average, kwargs=inputs)

        def forward(batch: Sequence[EncodedPair]) -> FloatArray:
            logits = self._logits(averaged_model, batch, pad_id)
            answers: FloatArray = logits.softmax(dim=-1).cpu().numpy()
            return answers

        with torch.no_grad():
            return forward_packed(pairs, EVALUATION_TOKEN_BUDGET, EVALUATION_PASS_TOKENS, forward)

    def judge(self, score: float) -> bool:
        """Take note of an evaluation; with `patience`, keep the best and say whether to stop."""
        if self.settings.patience is None:
            return False
        if score > self.best_score:
            self.best_score, self.evaluations_without_rise = score, 0
            self.best = {name: value.clone() for name, value in self.average.items()}
        else:
            self.evaluations_without_rise += 1
        return self.is_stopped

    @property
    def is_stopped(self) -> bool:
        """Whether `patience` is used up."""
        patience = self.settings.patience
        return patience is not None and self.evaluations_without_rise >= patience

    def averaged(self) -> Any:
        """The model with the weights that count, in evaluation mode, on the CPU.

        It is an ordinary one (LoRA is merged), except with a prefix. The run ends with it.
        """
        with torch.no_grad():
            for name, value in (self.best or self.average).items():
                self._live[name].copy_(value)
        model = self.model.eval().cpu()
        if self.settings.method == "full":
            return model
        from undertone_models.adapters import merged

        return merged(model)

    def save(self, path: Path) -> None:
        """Write the state in one move, so that a kill leaves the last good one."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "version": STATE_VERSION,
                "settings": asdict(self.settings),
                "identity": self.identity,
                "steps_total": self.steps_total,
                "step": self.step,
                "weights": self._live,
                "average": self.average,
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": self._scaler.state_dict(),
                "ranks": self._ranks.state() if self._ranks else None,
                "best": self.best,
                "best_score": self.best_score,
                "evaluations_without_rise": self.evaluations_without_rise,
                "random": self._random_states(),
            },
            partial,
        )
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Take up a saved state; it must be of the same settings, rows and base.

        Raises CheckpointError where it is not, or cannot be read.
        """
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:  # torch, zipfile and pickle each raise their own
            raise CheckpointError(
                f"{path}: cannot be read: {error}", hint="begin again with --overwrite"
            ) from error
        ours = (STATE_VERSION, asdict(self.settings), self.identity, self.steps_total)
        kept = ("version", "settings", "identity", "steps_total")
        if tuple(state.get(name) for name in kept) != ours:
            raise CheckpointError(
                f"{path}: was written by a run with other settings or rows",
                hint="give the same data and options, or begin again with --overwrite",
            )
        with torch.no_grad():
            for name, value in state["weights"].items():
                self._live[name].copy_(value)
        self.average, self.best = state["average"], state["best"]
        self.best_score = state["best_score"]
        self.evaluations_without_rise = state["evaluations_without_rise"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        if self._ranks:
            self._ranks.restore(state["ranks"])
        self.step = state["step"]
        self._set_random_states(state["random"])

    def _random_states(self) -> list[torch.Tensor]:
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self.device))
        return states

    def _set_random_states(self, states: list[torch.Tensor]) -> None:
        torch.set_rng_state(states[0].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(states[1].cpu(), self.device)


def chosen_device(device: str | None, precision: str) -> str:
    """The device to train on (None: CUDA where there is one).

    Raises TrainingError where it is not there or does not know the precision.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise TrainingError(f"device: expected cpu or cuda, not {name}")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError("device cuda: torch finds no CUDA device", hint="leave --device out")
    if precision == "float16" and name == "cpu":
        raise TrainingError(
            "precision float16: is for CUDA", hint="on a CPU: bfloat16, or float32 (the default)"
        )
    return name


def parameter_groups(model: Any, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Layer-wise learning rates: the head learns fastest, the embeddings slowest."""
    layers = int(model.config.num_hidden_layers)
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
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
    for word in ("layer", "layers"):
        if word in parts:
            return 1 + int(parts[parts.index(word) + 1])
    return layers + 1
