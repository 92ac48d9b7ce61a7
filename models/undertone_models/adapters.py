"""Fine-tuning few weights beside frozen ones (peft): LoRA, AdaLoRA, prefix tuning.

LoRA and AdaLoRA add low-rank products to the weights of linear layers, so at the end they are
merged into an ordinary model. A prefix is keys and values that every layer attends to beside the
text's own: no weight of the encoder can say the same, so it stays an adapter, in the folder
`adapter` of the checkpoint, and torch alone runs it. The head is always trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import torch
from peft.utils import ModulesToSaveWrapper

from undertone_models.checkpoint import ADAPTER, Checkpoint, CheckpointError
from undertone_models.training_settings import TrainingError, TrainingSettings

_NAME = "default"  # as peft calls the only adapter of a model


def adapted(model: Any, settings: TrainingSettings, steps_total: int) -> Any:
    """The model with the adapter of `settings.method` around it; `full` is the model itself.

    Raises TrainingError where peft cannot adapt this architecture.
    """
    if settings.method == "full":
        return model
    try:
        return peft.get_peft_model(model, _configuration(settings, steps_total))
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingError(
            f"method {settings.method}: does not work with {type(model).__name__}: {error}",
            hint="train it with --method full",
        ) from error


def _configuration(settings: TrainingSettings, steps_total: int) -> Any:
    if settings.method == "prefix":
        return peft.PrefixTuningConfig(
            task_type="SEQ_CLS", num_virtual_tokens=settings.virtual_tokens
        )
    common = {
        "task_type": "SEQ_CLS",
        "target_modules": "all-linear",
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.adapter_dropout,
    }
    if settings.method == "lora":
        return peft.LoraConfig(r=settings.rank, **common)
    # It starts with twice the ranks and gives the half up between a tenth and seven tenths of the
    # way (Zhang et al. 2023).
    return peft.AdaLoraConfig(
        init_r=2 * settings.rank,
        target_r=settings.rank,
        total_step=max(steps_total, 10),
        tinit=max(steps_total, 10) // 10,
        tfinal=3 * max(steps_total, 10) // 10,
        deltaT=max(1, steps_total // 100),
        **common,
    )


def merged(model: Any) -> Any:
    """An ordinary model with the adapter's effect in its weights; a prefix stays around it."""
    if not isinstance(model, peft.PeftModel) or is_prefix_tuned(model):
        return model
    return model.merge_and_unload()


def is_prefix_tuned(model: Any) -> bool:
    """Whether this model has a prefix, which no merge takes away."""
    return isinstance(model, peft.PeftModel) and bool(model.active_peft_config.is_prompt_learning)


class RankAllocation:
    """AdaLoRA's share-out of ranks, and the penalty that keeps them comparable."""

    def __init__(self, model: Any) -> None:
        self._adalora = model.base_model
        self._configuration = model.peft_config[_NAME]
        self._factors = [
            parameter
            for name, parameter in model.named_parameters()
            if "lora_A" in name or "lora_B" in name
        ]

    def penalty(self) -> torch.Tensor:
        """How far the low-rank factors are from orthogonal (Zhang et al. 2023, equation 4)."""
        gaps = []
        for factor in self._factors:
            wide = factor if factor.shape[0] <= factor.shape[1] else factor.T
            gaps.append(torch.norm(wide @ wide.T - torch.eye(len(wide), device=wide.device)))
        return self._configuration.orth_reg_weight * torch.stack(gaps).mean()

    def after_step(self, step: int) -> None:
        """Move ranks to where they count; the gradients of the step must still be there."""
        self._adalora.update_and_allocate(step)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs, as plain values and tensors."""
        allocator = self._adalora.rankallocator
        return {
            "rank_pattern": self._configuration.rank_pattern,
            "importance": [allocator.ipt, allocator.exp_avg_ipt, allocator.exp_avg_unc],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up `state`."""
        allocator = self._adalora.rankallocator
        self._configuration.rank_pattern = state["rank_pattern"]
        allocator.ipt, allocator.exp_avg_ipt, allocator.exp_avg_unc = state["importance"]


def rank_allocation(model: Any) -> RankAllocation | None:
    """The share-out of ranks of an AdaLoRA model; None of any other."""
    if isinstance(model, peft.PeftModel) and isinstance(
        model.peft_config[_NAME], peft.AdaLoraConfig
    ):
        return RankAllocation(model)
    return None


def write_prefix(model: Any, out: Path) -> Any:
    """Write the prefix of a prefix-tuned model below `out`; return its encoder with the head."""
    model.save_pretrained(out / ADAPTER)
    described = out / ADAPTER / "adapter_config.json"
    fields = json.loads(described.read_text("utf-8"))
    fields["base_model_name_or_path"] = None  # a path of this machine
    described.write_text(json.dumps(fields, indent=2) + "\n", "utf-8")
    (out / ADAPTER / "README.md").unlink(missing_ok=True)  # peft's empty form of a card
    encoder = model.get_base_model()
    for name, module in list(encoder.named_children()):
        if isinstance(module, ModulesToSaveWrapper):
            setattr(encoder, name, module.modules_to_save[_NAME])
    return encoder


def with_prefix(model: Any, checkpoint: Checkpoint) -> Any:
    """The model with this checkpoint's prefix around it. Raises CheckpointError."""
    try:
        return peft.PeftModel.from_pretrained(model, str(checkpoint.prefix_path)).eval()
    except Exception as error:  # peft, safetensors and json each raise their own
        raise CheckpointError(f"{checkpoint.prefix_path}: cannot be read: {error}") from error
