"""A checkpoint: a folder with a Hugging Face sequence classifier, and how it is read.

    config.json                          architecture; id2label names the columns of the output
    tokenizer.json, tokenizer_config.json
    model.safetensors                    the weights (torch engine)
    model.onnx                           the same as int8 (ONNX Runtime engine)
    adapter/                             the prefix, of a prefix-tuned model (torch engine alone)
    undertone.json                       name, version, temperature, smoothing, max_tokens,
                                         target_markers
    README.md                            the model card

Any other sequence classifier serves, by folder or hub name: then `undertone.json` may be missing,
and so may one of the two weights files. Pickled weights and code of a checkpoint are never loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from undertone_models.calibration import Calibration
from undertone_models.marking import TargetMarkers

BUNDLED_NAME = "undertone-minilm"
DEFAULT_MAX_TOKENS = 128
ADAPTER = "adapter"
CONFIG, TOKENIZER, WEIGHTS, ONNX, DETAILS, CARD = (
    "config.json",
    "tokenizer.json",
    "model.safetensors",
    "model.onnx",
    "undertone.json",
    "README.md",
)

LabelColumns = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Which outputs of a model are negative, neutral, positive; none where it lacks that label."""

# Names by rank from worst to best; only such as can mean nothing else.
_NAMES_BY_RANK = (
    ("very negative", "1 star"),
    ("negative", "neg", "bearish", "负面", "負面", "消极", "消極", "2 stars"),
    ("neutral", "neu", "中性", "中立", "3 stars"),
    ("positive", "pos", "bullish", "正面", "积极", "積極", "4 stars"),
    ("very positive", "5 stars"),
)
_RANKS = {name: rank for rank, names in enumerate(_NAMES_BY_RANK) for name in names}
_NEUTRAL_RANK = 2
_READABLE_RANKS = ([1, 2, 3], [1, 3], [0, 1, 2, 3, 4])
# By model_type: RoBERTa and its kin, whose first position is the padding's id + 1. A list, since
# nothing else in config.json tells; architectures with rotary positions have no such habit.
COUNT_FROM_PADDING = frozenset(
    (
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "layoutlmv3",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    )
)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", ONNX]


class CheckpointError(Exception):
    """A checkpoint is missing, incomplete, corrupt, or of a kind that cannot be used."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


@dataclass(frozen=True)
class Checkpoint:
    """What the engines need to know of a checkpoint folder, besides its weights."""

    path: Path
    name: str  # name@version
    label_columns: LabelColumns
    calibration: Calibration
    max_tokens: int
    max_tokens_limit: int  # the most that the architecture has positions for
    pad_id: int
    target_markers: TargetMarkers | None = None  # tokens that mark the target in the text

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint's description. Raises CheckpointError; reads no weights."""
        if not path.is_dir():
            raise CheckpointError(
                f"{path}: no such checkpoint folder", hint="leave --model out for the bundled one"
            )
        config = _read_json(path / CONFIG)
        details = _read_json(path / DETAILS) if (path / DETAILS).exists() else {}
        limit = _positions(config)
        return cls(
            path=path,
            name=_name(path, details),
            label_columns=label_columns(config, path / CONFIG),
            calibration=Calibration(
                _number(details, "temperature", 1.0, path / DETAILS),
                _number(details, "smoothing", 0.0, path / DETAILS, least=0.0),
            ),
            max_tokens=min(
                limit, int(_number(details, "max_tokens", DEFAULT_MAX_TOKENS, path / DETAILS))
            ),
            max_tokens_limit=limit,
            pad_id=int(config.get("pad_token_id") or 0),
            target_markers=_markers(details, path / DETAILS),
        )

    @property
    def label_note(self) -> str | None:
        """What a person should know of this model's labels, where they are not ours one to one."""
        negative, neutral, positive = self.label_columns
        if not neutral:
            return f"{self.name} tells negative from positive only: p_neutral is always 0"
        if len(negative) > 1 or len(positive) > 1:
            return f"{self.name} has five labels: each of p_negative and p_positive is a sum of two"
        return None

    @property
    def onnx_path(self) -> Path:
        """Where the ONNX model is, if it is there."""
        return self.path / ONNX

    @property
    def prefix_path(self) -> Path:
        """Where the prefix of a prefix-tuned model is, if it is there."""
        return self.path / ADAPTER

    def require_no_prefix(self, purpose: str) -> None:
        """Raise CheckpointError for a prefix-tuned model: its prefix runs in torch alone."""
        if self.prefix_path.exists():
            raise CheckpointError(
                f"{self.path}: {purpose}: not for a prefix-tuned model",
                hint="use --engine torch, or train it with --method full, lora or adalora",
            )

    @property
    def weights_path(self) -> Path:
        """Where the safetensors are, if they are in one file."""
        return self.path / WEIGHTS

    def limited(self, max_tokens: int | None) -> int:
        """The tokens to read of a pair, when a caller asks for `max_tokens`."""
        if max_tokens is None:
            return self.max_tokens
        if not 8 <= max_tokens <= self.max_tokens_limit:
            raise CheckpointError(
                f"max_tokens: {self.name} reads 8 to {self.max_tokens_limit}, not {max_tokens}"
            )
        return max_tokens

    def tokenizer(self) -> Tokenizer:
        """The tokenizer; one without `tokenizer.json` is converted by transformers, if present."""
        path = self.path / TOKENIZER
        try:
            if path.exists():
                return Tokenizer.from_file(str(path))
            return _converted_tokenizer(self.path)
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path}: cannot be read: {error}") from error


def bundled() -> Path:
    """The folder of the checkpoint that is shipped in this package."""
    return Path(__file__).parent / "checkpoints" / BUNDLED_NAME


def resolve(model: str | Path | None) -> Path:
    """The folder of a checkpoint: the bundled one (None), a path, or one fetched by hub name.

    A path that exists is never looked up elsewhere.
    """
    if model is None:
        return bundled()
    path = Path(model)
    if path.exists() or not is_hub_name(str(model)):
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), allow_patterns=_HUB_FILES))
    except Exception as error:  # network, authorisation and naming errors of several libraries
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{model}: neither a folder here nor a checkpoint that could be fetched: {reason}",
            hint="give a folder, or leave --model out for the bundled checkpoint",
        ) from error


def is_hub_name(model: str) -> bool:
    """Whether this may be a name on the hub, `owner/name`, rather than a path."""
    return _HUB_NAME.fullmatch(model) is not None


def require_torch(purpose: str) -> None:
    """Raise CheckpointError, naming the extra to install, where torch or transformers is absent."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise CheckpointError(
                f"{purpose}: {package} is not installed",
                hint='install the extra: pip install "undertone[torch]"',
            )


def positions_lost(model_type: str | None, pad_id: int | None) -> int:
    """How many of an architecture's positions no token can have."""
    return int(pad_id or 0) + 1 if model_type in COUNT_FROM_PADDING else 0


def label_columns(config: Mapping[str, Any], source: Path) -> LabelColumns:
    """Which outputs of a model are negative, neutral, positive, by the names in `id2label`.

    Three names, two (negative, positive), or five (with `very …`, or one to five stars). Names are
    never guessed: raises CheckpointError for LABEL_0 and the like.
    """
    named = config.get("id2label")
    names = {str(key): str(name) for key, name in named.items()} if isinstance(named, dict) else {}
    # A number that has no name gives -1, as does a name that says nothing.
    ranks = [_RANKS.get(_plain(names.get(str(number), "")), -1) for number in range(len(names))]
    if sorted(ranks) not in _READABLE_RANKS:
        found = ", ".join(f"{key}: {name}" for key, name in sorted(names.items())) or "nothing"
        raise CheckpointError(
            f"{source}: field id2label: expected the names negative, neutral and positive,"
            f" found {found}",
            hint="look up the order in the checkpoint's card and write the names into id2label",
        )
    return (
        tuple(number for number, rank in enumerate(ranks) if rank < _NEUTRAL_RANK),
        tuple(number for number, rank in enumerate(ranks) if rank == _NEUTRAL_RANK),
        tuple(number for number, rank in enumerate(ranks) if rank > _NEUTRAL_RANK),
    )


def write_details(
    path: Path,
    *,
    name: str,
    version: str,
    calibration: Calibration,
    max_tokens: int,
    target_markers: TargetMarkers | None = None,
) -> None:
    """Write `undertone.json`."""
    details: dict[str, Any] = {
        "name": name,
        "version": version,
        "temperature": round(calibration.temperature, 4),
        "smoothing": round(calibration.smoothing, 6),
        "max_tokens": max_tokens,
    }
    if target_markers is not None:
        details["target_markers"] = list(target_markers)
    (path / DETAILS).write_text(json.dumps(details, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent}: not a checkpoint: no {path.name}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return content


def _number(
    details: Mapping[str, Any], field: str, default: float, source: Path, least: float | None = None
) -> float:
    """A number above 0, or from `least` on."""
    value = details.get(field, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (value <= 0 if least is None else value < least):
        wanted = "a number above 0" if least is None else f"a number from {least:g} on"
        raise CheckpointError(f"{source}: field {field}: expected {wanted}, not {value!r}")
    return float(value)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _markers(details: Mapping[str, Any], source: Path) -> TargetMarkers | None:
    value = details.get("target_markers")
    if value is None:
        return None
    if not isinstance(value, list) or [type(token) for token in value] != [str, str]:
        raise CheckpointError(f"{source}: field target_markers: expected two tokens, not {value!r}")
    return TargetMarkers(*value)


def _positions(config: Mapping[str, Any]) -> int:
    positions = int(config.get("max_position_embeddings") or 512)
    return positions - positions_lost(config.get("model_type"), config.get("pad_token_id"))


def _name(path: Path, details: Mapping[str, Any]) -> str:
    if details.get("name") and details.get("version"):
        return f"{details['name']}@{details['version']}"
    digest = hashlib.sha256((path / CONFIG).read_bytes())
    for file in sorted([*path.glob("*.safetensors"), *path.glob("*.onnx")]):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{path.resolve().name}@{digest.hexdigest()[:8]}"


def _converted_tokenizer(path: Path) -> Tokenizer:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise CheckpointError(
            f"{path}: no {TOKENIZER}; converting another format needs transformers",
            hint='install the extra: pip install "undertone[torch]"',
        ) from None
    tokenizer = AutoTokenizer.from_pretrained(
        str(path), local_files_only=True, trust_remote_code=False
    )
    return tokenizer.backend_tokenizer
