"""Both engines keep one protocol: probabilities in order, whatever shares the batch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from undertone_models.classifier import (
    Pair,
    SentimentClassifier,
    StubClassifier,
    load_classifier,
)

SUBJECTS = ("Acme", "Northbrae Bank", "Halvermoor", "the harbour authority")
SAYINGS = (
    "{} shares plunge after the fraud investigation widens",
    "{} posts record profit and raises its dividend",
    "{} to hold its annual meeting on Thursday",
    "Customers of {} are furious about frozen accounts",
    "Great service from {} today, they fixed it within an hour!",
    "{} names a new head of logistics",
    "Analysts warn that {} may default on its debt",
    "{} wins a large contract for the northern line",
    "Investors sue {} over misleading statements about safety, and the shares fall further "
    "while regulators in three countries open inquiries of their own",
    "{} opens an office in Lisbon",
    "Nobody was hurt when a warehouse of {} burnt down",
    "Apple beats forecasts while {} disappoints",
    "meh, {}",
    "{} 大幅下跌",
    "It is hard to say anything bad about {}",
)
PAIRS = [Pair(saying.format(subject), subject) for saying in SAYINGS for subject in SUBJECTS]


@pytest.fixture(scope="module", params=["onnx", "onnx, a batch a thread", "torch", "stub"])
def classifier(request: pytest.FixtureRequest) -> Iterator[SentimentClassifier]:
    if request.param == "torch":
        pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")
        yield load_classifier("torch", threads=2, device="cpu", token_budget=512)
    elif request.param == "onnx, a batch a thread":
        yield load_classifier("onnx", threads=2, batch_a_thread=True)
    else:
        yield load_classifier(request.param, threads=2)


def test_rows_are_distributions(classifier: SentimentClassifier) -> None:
    result = classifier.classify(PAIRS)
    assert result.shape == (len(PAIRS), 3)
    assert result.dtype == np.float32
    assert np.all(result >= 0)
    np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-5)


def test_nothing_in_gives_nothing_out(classifier: SentimentClassifier) -> None:
    assert classifier.classify([]).shape == (0, 3)


def test_a_pair_is_read_the_same_alone_and_in_any_batch(classifier: SentimentClassifier) -> None:
    together = classifier.classify(PAIRS)
    backwards = classifier.classify(PAIRS[::-1])[::-1]
    alone = np.concatenate([classifier.classify([pair]) for pair in PAIRS])
    assert float(np.abs(together - alone).max()) <= 0.002
    assert float(np.abs(together - backwards).max()) <= 0.002


def test_the_halves_of_classify_give_what_it_gives(classifier: SentimentClassifier) -> None:
    some = PAIRS[:8]
    halves = classifier.forward(classifier.tokenise(some))
    np.testing.assert_allclose(halves, classifier.classify(some), atol=0.002)


def test_forwards_at_once_give_what_one_after_the_other_gives(
    classifier: SentimentClassifier,
) -> None:
    encoded = classifier.tokenise(PAIRS)
    batches = [encoded[low : low + 10] for low in range(0, len(encoded), 10)]
    one_by_one = [classifier.forward(batch) for batch in batches]
    with ThreadPoolExecutor(max(2, classifier.forwards_at_once)) as threads:
        at_once = list(threads.map(classifier.forward, batches))
    np.testing.assert_array_equal(np.concatenate(at_once), np.concatenate(one_by_one))


def test_odd_texts_are_read_too(classifier: SentimentClassifier) -> None:
    odd = [Pair("x" * 60_000, "x"), Pair("\u0000\ud7ff😡", None), Pair(" ", "y"), Pair("a", "")]
    result = classifier.classify(odd)
    assert np.all(np.isfinite(result))


def test_the_engines_agree() -> None:
    pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")
    exact = load_classifier("torch", threads=2, device="cpu").classify(PAIRS)
    quantised = load_classifier("onnx", threads=2).classify(PAIRS)
    assert float(np.abs(exact - quantised).mean()) < 0.02
    assert float((exact.argmax(1) == quantised.argmax(1)).mean()) >= 0.93


def test_the_target_decides_whose_mood_is_read() -> None:
    text = "Apple profit soars to a record while Samsung plunges on heavy losses"
    apple, samsung = load_classifier("onnx", threads=2).classify(
        [Pair(text, "Apple"), Pair(text, "Samsung")]
    )
    assert apple[2] > apple[0]
    assert samsung[0] > samsung[2]


def test_the_stub_knows_good_words_from_bad() -> None:
    bad, good = StubClassifier().classify([Pair("fraud and crisis"), Pair("great success")])
    assert bad.argmax() == 0
    assert good.argmax() == 2
