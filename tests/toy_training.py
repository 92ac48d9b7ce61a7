"""A tiny encoder and rows of a dozen words that it can learn in seconds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from undertone_models.labelled import LabelledRow
from undertone_models.training_settings import TrainingSettings

BAD, GOOD, PLAIN = ["awful", "broken", "bad"], ["lovely", "great", "fine"], ["table", "door", "on"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SETTINGS = TrainingSettings(
    epochs=4, batch_size=8, learning_rate=3e-3, save_every_steps=3, max_tokens=16
)


def write_toy_base(folder: Path) -> str:
    """Write a tiny BERT with random weights and a vocabulary of a dozen words (needs torch)."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    vocabulary = {word: n for n, word in enumerate([*SPECIAL, *BAD, *GOOD, *PLAIN])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    BertForSequenceClassification(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2,
            num_attention_heads=2, intermediate_size=64, max_position_embeddings=64,
            pad_token_id=0,
            initializer_range=0.2,  # with the usual 0.02 so small a model may learn two labels only
        )
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


def toy_rows(count: int, seed: int, *, source: str = "toy") -> list[LabelledRow]:
    """Rows whose label is that of their one word that is not plain."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        label = draw.randrange(3)
        words = [draw.choice((BAD, PLAIN, GOOD)[label]), *draw.choices(PLAIN, k=3)]
        draw.shuffle(words)
        made.append(LabelledRow(" ".join(words), draw.choice([None, "door"]), label, source, None))
    return made


def weights_of(model: Any) -> np.ndarray:
    """All parameters of a model, one after another."""
    return np.concatenate([value.detach().numpy().ravel() for value in model.parameters()])
