"""Tiny random sequence classifiers of many architectures, made on the spot (needs torch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import processors

from tiny_models import MAX_POSITIONS, VOCABULARY, tiny_tokenizer

LABELS_BY_COLUMN = {0: "positive", 1: "negative", 2: "neutral"}  # not in the order of LABELS
SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_POSITIONS,
    "initializer_range": 0.2,
}
# Counts positions from the padding's id + 1, and has one kind of segment.
ROBERTA = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "type_vocab_size": 1}
# What each adds to SIZES, by the name that `config.json` has in `model_type`.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "electra": {"embedding_size": 16},
    "albert": {"embedding_size": 16},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "type_vocab_size": 0,
        "share_att_key": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
    },
    "mpnet": ROBERTA,
    # Its padding has an id far above its positions, and counts for none of them.
    "modernbert": {
        "local_attention": 16,
        "global_attn_every_n_layers": 2,
        "vocab_size": 50_368,
        "pad_token_id": 50_283,
    },
}


def write_tiny_architecture(model_type: str, folder: Path, *, seed: int = 5, **more: Any) -> Path:
    """Write a random classifier of this architecture and a tokenizer for it."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(seed)
    own = {**SIZES, "pad_token_id": 0, **ARCHITECTURES[model_type], **more}
    config = AutoConfig.for_model(
        model_type,
        **own,
        id2label=LABELS_BY_COLUMN,
        label2id={name: column for column, name in LABELS_BY_COLUMN.items()},
    )
    model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    if getattr(config, "type_vocab_size", 1) in (0, 1):
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B [SEP]",
            special_tokens=[(name, VOCABULARY.index(name)) for name in ("[CLS]", "[SEP]")],
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
