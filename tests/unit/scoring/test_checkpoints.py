"""Which checkpoints are loaded, and when others are meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertone.scoring.checkpoints import Checkpoints
from undertone_models.classifier import SentimentClassifier, StubClassifier


class Settings:
    """What the settings say, and what was loaded."""

    def __init__(self, paths: dict[str, str | None]) -> None:
        self.paths, self.loaded = paths, list[str | None]()

    def load(self, path: str | None) -> SentimentClassifier:
        self.loaded.append(path)
        return StubClassifier()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "undertone.json").write_text("{}")
    return tmp_path


def test_a_checkpoint_that_reads_several_languages_is_loaded_once(folder: Path) -> None:
    settings = Settings({"default": str(folder), "de": str(folder)})
    loaded = Checkpoints(lambda: settings.paths, settings.load).load()
    assert settings.loaded == [str(folder)]
    assert loaded["default"] is loaded["de"]


def test_nothing_has_changed_while_paths_and_files_are_the_same(folder: Path) -> None:
    settings = Settings({"default": str(folder)})
    checkpoints = Checkpoints(lambda: settings.paths, settings.load)
    checkpoints.load()
    checkpoints.taken_up()
    assert not checkpoints.changed()


def test_another_path_is_another_checkpoint(folder: Path) -> None:
    settings = Settings({"default": str(folder)})
    checkpoints = Checkpoints(lambda: settings.paths, settings.load)
    checkpoints.load()
    checkpoints.taken_up()
    settings.paths = {"default": None}
    assert checkpoints.changed()
    checkpoints.load()
    checkpoints.taken_up()
    assert not checkpoints.changed()


def test_what_was_loaded_and_not_taken_up_is_still_another_checkpoint(folder: Path) -> None:
    settings = Settings({"default": str(folder)})
    checkpoints = Checkpoints(lambda: settings.paths, settings.load)
    checkpoints.load()
    checkpoints.taken_up()
    settings.paths = {"default": None}
    checkpoints.load()
    assert checkpoints.changed()


def test_another_file_in_the_folder_is_another_checkpoint(folder: Path) -> None:
    settings = Settings({"default": str(folder)})
    checkpoints = Checkpoints(lambda: settings.paths, settings.load)
    checkpoints.load()
    checkpoints.taken_up()
    (folder / "undertone.json").write_text('{"version": "2"}')
    assert checkpoints.changed()
