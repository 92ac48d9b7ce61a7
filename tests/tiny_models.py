"""A tiny random BERT with its tokenizer, made on the spot: no network, no download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

WORDS = ["good", "bad", "plain", "the", "shop", "phone", "bank", "is", "and", "http", ",", "."]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, *WORDS]
MAX_POSITIONS = 64


def tiny_tokenizer(words: Sequence[str] = WORDS) -> Tokenizer:
    """A WordPiece tokenizer of a few words, with BERT's template for pairs.

    As in BERT each Chinese character is a word, whatever stands beside it.
    """
    ids = {word: number for number, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return tokenizer


def write_tiny_base(
    folder: Path, words: Sequence[str] = WORDS, *, initializer_range: float = 0.02
) -> Path:
    """Write a random two-layer encoder, without a head, and its tokenizer (needs torch).

    To be trained from scratch, so small a model needs a wider `initializer_range`, such as 0.2.
    """
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_POSITIONS,
        pad_token_id=0,
        initializer_range=initializer_range,
    )
    BertModel(config).save_pretrained(folder)
    tiny_tokenizer(words).save(str(folder / "tokenizer.json"))
    return folder
