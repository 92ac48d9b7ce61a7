"""Which of several models reads a message: the one of its language (setting `models`).

A message's own `language` decides; where it says none, a library tells it from the text. Everything
else is for the default model: other languages, texts too short to tell, and all messages where no
further model is configured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from undertone.errors import ConfigurationError
from undertone.records import RawMessage
from undertone.settings import DEFAULT_MODEL

Detect = Callable[[str], str | None]
"""A text's language as an ISO 639 code, None where it cannot be told."""

CHARACTERS_READ = 1000
# Below it a text is more often of another language than of the one that it looks most like.
LEAST_CONFIDENCE = 0.5

# What else a text may be, when it is not in a language with a model of its own. Without these
# every text would have to be in one of the configured languages, and Japanese be Chinese; with
# every language that the library knows, slang would be Creole.
_WIDESPREAD = """
    ar bg bn cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nl no pl pt ro ru sk sl
    sr sv sw ta te th tl tr uk ur vi zh
"""
# Other codes of the same written language.
_ALIASES = {"cmn": "zh", "zho": "zh", "eng": "en", "in": "id", "iw": "he", "nb": "no", "nn": "no"}
_UNDETERMINED = frozenset({"", "und", "mul", "mis", "zxx"})
# Latin letters in a text of any language.
_NOISE = re.compile(r"https?://\S+|[@#$]\w+", re.ASCII)


class LanguageRouter:
    """Names the model for a message: a language's code, or `default`. Safe in threads."""

    def __init__(
        self, languages: Collection[str] = (), detect: Detect = lambda _text: None
    ) -> None:
        """`languages` are those with a model of their own."""
        self._languages = frozenset(languages) - {DEFAULT_MODEL}
        self._detect = detect

    def route(self, message: RawMessage, text: str) -> str:
        """`text` is what is read of the message, title included."""
        if not self._languages:
            return DEFAULT_MODEL
        language = stated_language(message.language)
        if language is None:
            language = self._detect(_NOISE.sub(" ", text[:CHARACTERS_READ]).strip())
        return language if language in self._languages else DEFAULT_MODEL


def stated_language(tag: str | None) -> str | None:
    """The language of a tag such as `zh-Hant-TW`, `EN_us`; None where it names none."""
    primary = re.split(r"[-_]", (tag or "").strip().lower(), maxsplit=1)[0]
    return None if primary in _UNDETERMINED else _ALIASES.get(primary, primary)


def load_detector(languages: Collection[str]) -> Detect:
    """A detector of these languages among the widespread ones (library: py3langid).

    Raises ConfigurationError where the library is missing or knows no such language. Loading takes
    two seconds and 100 MB.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise ConfigurationError(
            "models: more than one model is configured, and py3langid, which tells languages"
            " apart, is not installed",
            hint='Install the extra: pip install "undertone[languages]"',
        ) from None
    identifier = LanguageIdentifier.from_model_file(
        MODEL_FILE, norm_probs=True, min_confidence=LEAST_CONFIDENCE
    )
    wanted = frozenset(languages) - {DEFAULT_MODEL}
    if unknown := sorted(wanted - set(identifier.labels)):
        raise ConfigurationError(
            f"models: py3langid, which tells languages apart, does not know {', '.join(unknown)}",
            hint=f"It knows {', '.join(sorted(identifier.labels))}.",
        )
    identifier.set_languages(wanted.union(_WIDESPREAD.split()))

    def detect(text: str) -> str | None:
        return stated_language(identifier.classify(text)[0])

    return detect
