"""Labelled files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from undertone_models.labelled import (
    LabelledFileError,
    LabelledRow,
    read_labelled,
    read_pairs,
    rows_of_split,
)
from undertone_models.pairs import Pair

ROW = {"text": "Sales rose", "target": "Sales", "label": "positive", "source": "a", "split": "s"}
READ = LabelledRow("Sales rose", "Sales", 2, "a", "s")


def test_json_lines_and_csv_read_alike_also_as_gzip(tmp_path: Path) -> None:
    lines = json.dumps(ROW) + "\n\n"
    table = ",".join(ROW) + "\n" + ",".join(ROW.values()) + "\n"
    for name, content in (("a.jsonl", lines), ("a.csv", table)):
        (tmp_path / name).write_text(content, encoding="utf-8")
        with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8") as stream:
            stream.write(content)
        assert read_labelled([tmp_path / name]) == [READ]
        assert read_labelled([tmp_path / f"{name}.gz"]) == [READ]


def test_target_source_and_split_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "Fine.", "label": "neutral"}', encoding="utf-8")
    assert read_labelled([path]) == [LabelledRow("Fine.", None, 1, "unknown", None)]


def test_a_teachers_probabilities_are_read_where_a_row_has_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "text,label,p_negative,p_neutral,p_positive\nFine.,neutral,0.2,0.5,0.301\nOh.,neutral,,,\n",
        encoding="utf-8",
    )
    taught, untaught = read_labelled([path])
    assert taught.soft == pytest.approx((0.2, 0.5, 0.3), abs=1e-3)
    assert sum(taught.soft or ()) == pytest.approx(1)
    assert untaught.soft is None


def test_pairs_need_no_label(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "Fine."}\n{"text": "So", "target": "it"}', encoding="utf-8")
    assert read_pairs(path) == [Pair("Fine.", None), Pair("So", "it")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "a.jsonl:2: not JSON"),
        ("[1]", "a.jsonl:2: expected an object"),
        ('{"label": "neutral"}', "a.jsonl:2: field text"),
        ('{"text": " ", "label": "neutral"}', "a.jsonl:2: field text"),
        ('{"text": "x"}', "a.jsonl:2: field label: expected negative, neutral, positive"),
        ('{"text": "x", "label": 1}', "a.jsonl:2: field label"),
        ('{"text": "x", "label": ["neutral"]}', "a.jsonl:2: field label"),
        ('{"text": "x", "label": "neutral", "target": 5}', "a.jsonl:2: field target"),
        ('{"text": "x", "label": "neutral", "p_neutral": 1}', "a.jsonl:2: fields p_negative"),
        (
            '{"text": "x", "label": "neutral", "p_negative": 2, "p_neutral": 5, "p_positive": 3}',
            "a.jsonl:2: fields p_negative, p_neutral, p_positive: expected three probabilities",
        ),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n{line}\n", encoding="utf-8")
    with pytest.raises(LabelledFileError, match=message):
        read_labelled([path])


@pytest.mark.parametrize("name", ["absent.jsonl", "bad.jsonl", "bad.jsonl.gz", "bad.csv"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    if name != "absent.jsonl":
        (tmp_path / name).write_bytes(b"text,label\n\xff\xfe,neutral\n")
    with pytest.raises(LabelledFileError, match=name):
        read_labelled([tmp_path / name])


def test_the_split_defaults_to_validation_where_rows_have_one() -> None:
    rows = [READ._replace(split=split) for split in ("train", "validation")]
    assert rows_of_split(rows, None) == rows[1:]
    assert rows_of_split(rows, "train") == rows[:1]
    unsplit = [READ._replace(split=None)]
    assert rows_of_split(unsplit, None) == unsplit
