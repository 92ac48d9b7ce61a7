"""Quantising: every architecture answers as torch does, and as it does alone in any batch."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiny_architectures import ARCHITECTURES, write_tiny_architecture
from tiny_models import MAX_POSITIONS, VOCABULARY
from undertone_models.checkpoint import Checkpoint, CheckpointError, resolve
from undertone_models.classifier import SentimentClassifier, load_classifier
from undertone_models.encoding import padded
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import Pair
from undertone_models.quantisation_loss import measure_loss, work_of

pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

WORDS = VOCABULARY[5:]
OFTEN = ("bert", "roberta")  # each export takes seconds: the others are marked slow
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES if name not in OFTEN]
LARGEST_DIFFERENCE = 0.002

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=50).map(" ".join)
pairs = st.builds(Pair, texts, st.none() | st.sampled_from(["bank", "the good shop"]))


def made_up_pairs(number: int) -> list[Pair]:
    choose = random.Random(1)
    return [
        Pair(
            " ".join(choose.choices(WORDS, k=choose.randint(1, 40))), choose.choice([None, "bank"])
        )
        for _ in range(number)
    ]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a quantised tiny checkpoint; each architecture is made once."""
    from undertone_models.quantisation import quantise_checkpoint

    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = write_tiny_architecture(name, tmp_path_factory.mktemp(name))
            quantise_checkpoint(Checkpoint.load(made[name]))
        return made[name]

    return folder


def engine(name: str, folder: Path) -> SentimentClassifier:
    if name == "torch":
        return load_classifier("torch", folder, threads=1, device="cpu")
    return load_classifier("onnx", folder, threads=1)


@pytest.mark.parametrize("architecture", [*OFTEN, *SLOW])
def test_int8_answers_as_torch_does(architecture: str, folder_of: Callable[[str], Path]) -> None:
    folder, some = folder_of(architecture), made_up_pairs(100)
    exact = engine("torch", folder).classify(some)
    quantised = engine("onnx", folder).classify(some)
    assert float(exact.std(axis=0).max()) > 0.02  # else agreement would say nothing
    assert float(np.abs(exact - quantised).mean()) < 0.015
    assert float(np.abs(exact - quantised).max()) < 0.06


@pytest.mark.parametrize("architecture", [*OFTEN, *SLOW])
def test_every_layers_products_are_int8(
    architecture: str, folder_of: Callable[[str], Path]
) -> None:
    graph = onnx.load(folder_of(architecture) / "model.onnx").graph
    constants = {tensor.name for tensor in graph.initializer}
    operators = [node.op_type for node in graph.node]
    assert operators.count("MatMulIntegerToFloat") >= 8
    assert not [n for n in graph.node if n.op_type == "MatMul" and n.input[1] in constants]


def test_layers_that_share_weights_store_them_once(folder_of: Callable[[str], Path]) -> None:
    graph = onnx.load(folder_of("bert") / "model.onnx").graph
    names = [tensor.name for tensor in graph.initializer]
    read = {name for node in graph.node for name in node.input}
    assert len(names) == len(set(names))
    assert set(names) <= read


def test_the_last_layers_products_read_one_token_alone(folder_of: Callable[[str], Path]) -> None:
    graph = onnx.load(folder_of("bert") / "model.onnx").graph
    assert [n for n in graph.node if n.op_type == "Gather" and n.output[0].startswith("pool/")]
    assert not [n for n in graph.node if n.op_type == "Transpose"]


@pytest.mark.parametrize("runner", ["onnx", "torch"])
@pytest.mark.parametrize("architecture", OFTEN)
def test_a_pairs_answer_is_its_own(
    architecture: str, runner: str, folder_of: Callable[[str], Path]
) -> None:
    classifier = engine(runner, folder_of(architecture))

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(batch=st.lists(pairs, min_size=1, max_size=12), data=st.data())
    def holds(batch: list[Pair], data: st.DataObject) -> None:
        order = data.draw(st.permutations(range(len(batch))))
        encoded = classifier.tokenise(batch)
        together = classifier.forward([encoded[index] for index in order])
        for row, index in enumerate(order):
            alone = classifier.forward([encoded[index]])[0]
            assert float(np.abs(together[row] - alone).max()) <= LARGEST_DIFFERENCE

    holds()


@pytest.mark.parametrize("runner", ["onnx", "torch"])
def test_padding_decides_nothing(
    runner: str, folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = engine(runner, folder_of("roberta"))
    encoded = classifier.tokenise([Pair("good shop is bad", "bank")])
    narrow = classifier.forward(encoded)
    module = type(classifier).__module__

    def wide(batch: list, pad_id: int, *multiple: int) -> tuple:
        ids, mask, types = padded(batch, pad_id, *multiple)
        more = ((0, 0), (0, 24))
        return np.pad(ids, more, constant_values=pad_id), np.pad(mask, more), np.pad(types, more)

    monkeypatch.setattr(f"{module}.padded", wide)
    assert float(np.abs(classifier.forward(encoded) - narrow).max()) <= LARGEST_DIFFERENCE


def test_a_text_is_cut_at_max_tokens(folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("roberta")
    long = Pair(" ".join(["good"] * 500), "bank")
    (whole,) = engine("onnx", folder).tokenise([long])
    assert len(whole.ids) == MAX_POSITIONS - 2  # RoBERTa's positions begin at 2
    short = load_classifier("onnx", folder, threads=1, max_tokens=12)
    (cut,) = short.tokenise([long])
    assert len(cut.ids) == 12
    assert np.isfinite(short.classify([long])).all()
    with pytest.raises(CheckpointError, match="max_tokens"):
        load_classifier("onnx", folder, threads=1, max_tokens=MAX_POSITIONS)


def test_no_pairs_give_no_rows(folder_of: Callable[[str], Path]) -> None:
    assert engine("onnx", folder_of("bert")).classify([]).shape == (0, 3)


def test_what_cannot_be_exported_is_told_with_its_architecture(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from undertone_models import onnx_export

    folder = folder_of("bert")
    before = (folder / "model.onnx").read_bytes()

    def refuses(*_: object) -> None:
        raise RuntimeError("no such operator\nand a page of explanation")

    monkeypatch.setattr(onnx_export, "_export", refuses)
    with pytest.raises(CheckpointError) as caught:
        onnx_export.exported(Checkpoint.load(folder))
    assert "architecture bert: cannot be exported to ONNX: no such operator" in str(caught.value)
    assert "page" not in str(caught.value)
    assert "--engine torch" in str(caught.value.hint)
    assert (folder / "model.onnx").read_bytes() == before


def test_the_file_tells_nothing_of_the_machine_that_made_it(
    folder_of: Callable[[str], Path],
) -> None:
    for checkpoint in (Checkpoint.load(folder_of("bert")), Checkpoint.load(resolve(None))):
        assert b"site-packages" not in checkpoint.onnx_path.read_bytes()


def test_the_loss_is_measured_by_source(folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("bert")
    rows = [
        LabelledRow(pair.text, pair.target, number % 3, ("news", "social")[number % 2], None)
        for number, pair in enumerate(made_up_pairs(60))
    ]
    done: list[int] = []
    loss = measure_loss(engine("torch", folder), engine("onnx", folder), rows, on_rows=done.append)
    assert sum(done) == work_of(rows)
    assert set(loss.per_source) == {"news", "social"}
    assert loss.overall.n == 60
    assert loss.batch_within_limit
    for figures in (loss.overall, *loss.per_source.values()):
        lost = 100 * (figures.torch_accuracy - figures.int8_accuracy)
        assert figures.loss_points == pytest.approx(lost, abs=0.01)
        assert figures.within_limit == (figures.loss_points <= 0.5)
