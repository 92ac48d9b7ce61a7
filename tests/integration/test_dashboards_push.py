"""Pushing with the real client against a stand-in for Grafana (no real one was at hand)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from typer.testing import CliRunner

from grafana_standin import (
    ADMIN_TOKEN,
    PASSWORD,
    USER,
    VIEWER_TOKEN,
    Answer,
    Grafana,
    grafana,
)
from servers import free_port
from undertone.cli.main import build_app
from undertone.dashboards.client import (
    GrafanaAccessError,
    GrafanaClient,
    GrafanaConflictError,
    GrafanaRefusalError,
    GrafanaUnavailableError,
)
from undertone.dashboards.push import PushResult, differences, push
from undertone.dashboards.shipped import shipped_dashboards
from undertone.errors import GrafanaError, UndertoneError
from undertone.settings import GrafanaSettings

PROMETHEUS = "http://prometheus:9090"
UIDS = [f"undertone-{name}" for name in ("backtest", "overview", "pipeline", "subject")]


@pytest.fixture
def standin() -> Iterator[Grafana]:
    with grafana() as held:
        yield held


def pushed(standin: Grafana, *, token: str = ADMIN_TOKEN, **options: Any) -> PushResult:
    settings = GrafanaSettings.model_validate({"url": standin.url, "token": token})
    options = {"folder": "Undertone", "prometheus_url": PROMETHEUS} | options
    with closing(GrafanaClient(settings)) as client:
        return push(client, shipped_dashboards(), **options)


def actions(result: PushResult) -> set[str]:
    return {change.action for change in result.changes}


def changed(result: PushResult) -> dict[str, tuple[str, ...]]:
    return {each.uid: each.differences for each in result.changes if each.action != "unchanged"}


def failing(status: int, message: str, when: str = "") -> Callable[[str, str], Answer | None]:
    return lambda method, path: (
        (status, {"message": message}) if f"{method} {path}".startswith(when) else None
    )


def test_a_push_creates_the_folder_the_data_source_and_the_dashboards(standin: Grafana) -> None:
    result = pushed(standin)
    assert actions(result) == {"created"}
    assert standin.folders["undertone"]["title"] == "Undertone"
    source = standin.data_sources["undertone-prometheus"]
    assert (source["url"], source["type"], source["access"]) == (PROMETHEUS, "prometheus", "proxy")
    assert sorted(standin.dashboards) == UIDS
    assert {held["meta"]["folderUid"] for held in standin.dashboards.values()} == {"undertone"}
    for variable in standin.dashboards["undertone-subject"]["dashboard"]["templating"]["list"][:1]:
        assert variable["current"]["value"] == "undertone-prometheus"


def test_a_second_push_writes_nothing(standin: Grafana) -> None:
    pushed(standin)
    standin.writes.clear()
    assert actions(pushed(standin)) == {"unchanged"}
    assert standin.writes == []


def test_what_grafana_adds_itself_is_no_difference(standin: Grafana) -> None:
    pushed(standin)
    dashboard = standin.dashboards["undertone-overview"]["dashboard"]
    dashboard |= {"schemaVersion": 42, "preload": False}
    dashboard["panels"][0]["pluginVersion"] = "12.1.0"
    assert actions(pushed(standin)) == {"unchanged"}


def test_a_dry_run_tells_each_difference_and_writes_nothing(standin: Grafana) -> None:
    assert actions(pushed(standin, dry_run=True)) == {"created"}
    assert standin.writes == []
    pushed(standin)
    standin.writes.clear()
    dashboard = standin.dashboards["undertone-overview"]["dashboard"]
    dashboard["panels"][0]["title"] = "Renamed by hand"
    dashboard["panels"].pop()
    standin.dashboards["undertone-subject"]["meta"]["folderUid"] = "elsewhere"
    result = pushed(standin, dry_run=True, folder="Mood")
    assert changed(result)["undertone"] == ('title: "Undertone" → "Mood"',)
    assert changed(result)["undertone-subject"] == ('folder: "elsewhere" → "undertone"',)
    count = len(dashboard["panels"])
    assert changed(result)["undertone-overview"] == (
        f"panels: {count} items → {count + 1} items",
        'panels[0].title: "Renamed by hand" → "Open alerts"',
    )
    assert standin.writes == []


def test_what_was_changed_by_hand_is_brought_back_as_a_new_version(standin: Grafana) -> None:
    pushed(standin)
    held = standin.dashboards["undertone-overview"]["dashboard"]
    held["title"], held["version"] = "Mine", 7
    standin.dashboards["undertone-subject"]["meta"]["folderUid"] = "elsewhere"
    assert set(changed(pushed(standin))) == {"undertone-overview", "undertone-subject"}
    stored = standin.dashboards["undertone-overview"]["dashboard"]
    assert (stored["title"], stored["version"]) == ("Undertone / Overview", 8)
    assert standin.dashboards["undertone-subject"]["meta"]["folderUid"] == "undertone"
    assert actions(pushed(standin)) == {"unchanged"}


def test_a_data_source_keeps_what_is_not_ours(standin: Grafana) -> None:
    pushed(standin)
    source = standin.data_sources["undertone-prometheus"]
    source |= {"basicAuthUser": "reader", "secureJsonFields": {"basicAuthPassword": True}}
    source["jsonData"]["tlsSkipVerify"] = False
    pushed(standin, prometheus_url="http://elsewhere:9090")
    source = standin.data_sources["undertone-prometheus"]
    assert source["url"] == "http://elsewhere:9090"
    assert source["basicAuthUser"] == "reader"
    assert source["secureJsonFields"] == {"basicAuthPassword": True}
    assert source["jsonData"]["tlsSkipVerify"] is False


def test_without_an_address_of_prometheus_no_data_source_is_touched(standin: Grafana) -> None:
    pushed(standin, prometheus_url=None)
    assert standin.data_sources == {}


def test_a_change_that_comes_between_reading_and_writing_is_not_overwritten(
    standin: Grafana,
) -> None:
    pushed(standin)
    held = standin.dashboards["undertone-overview"]["dashboard"]
    held["title"] = "Mine"

    def edit(method: str, path: str) -> None:
        if method == "POST" and path == "/api/dashboards/db":
            held["version"] += 1

    standin.disturb = edit
    with pytest.raises(GrafanaConflictError, match="changed by someone else") as caught:
        pushed(standin)
    assert "--dry-run" in str(caught.value)
    assert held["title"] == "Mine"


def test_the_folder_has_versions_too(standin: Grafana) -> None:
    pushed(standin)

    def edit(method: str, _path: str) -> None:
        if method == "PUT":
            standin.folders["undertone"]["version"] += 1

    standin.disturb = edit
    with pytest.raises(GrafanaConflictError, match="412: the folder has been changed"):
        pushed(standin, folder="Mood")


def test_a_name_that_is_taken_is_told(standin: Grafana) -> None:
    standin.data_sources["other"] = {"uid": "other", "name": "undertone"}
    with pytest.raises(GrafanaConflictError, match="409: data source with the same name"):
        pushed(standin)


@pytest.mark.parametrize("kind", ["dashboard", "data source"])
def test_what_is_provisioned_from_files_is_left_to_its_files(standin: Grafana, kind: str) -> None:
    pushed(standin)
    standin.dashboards["undertone-overview"]["meta"]["provisioned"] = True
    standin.data_sources["undertone-prometheus"]["readOnly"] = True
    assert actions(pushed(standin)) == {"unchanged"}
    if kind == "dashboard":
        standin.dashboards["undertone-overview"]["dashboard"]["title"] = "Old"
    else:
        standin.data_sources["undertone-prometheus"]["url"] = "http://old:9090"
    with pytest.raises(GrafanaError, match=f"the {kind} .* is provisioned from files"):
        pushed(standin)


def test_other_dashboards_with_our_tag_are_named_and_left_alone(standin: Grafana) -> None:
    pushed(standin)
    mine = {"uid": "mine", "title": "Copy", "tags": ["undertone"], "id": 9, "version": 1}
    standin.dashboards["mine"] = {"dashboard": mine, "meta": {}}
    assert pushed(standin).left_alone == ["mine"]


def test_below_a_path_and_with_a_password(standin: Grafana) -> None:
    with grafana("/monitoring/grafana") as below:
        settings = GrafanaSettings.model_validate(
            {"url": f"{below.url}/", "user": USER, "password": PASSWORD}
        )
        with closing(GrafanaClient(settings)) as client:
            push(client, shipped_dashboards(), folder="Undertone")
        assert sorted(below.dashboards) == UIDS


@pytest.mark.parametrize(
    ("token", "status", "hint"),
    [("wrong", 401, "UNDERTONE_GRAFANA__TOKEN"), (VIEWER_TOKEN, 403, "service account")],
)
def test_without_the_right_it_says_what_is_needed(
    standin: Grafana, token: str, status: int, hint: str
) -> None:
    with pytest.raises(GrafanaAccessError, match=f"answered {status}") as caught:
        pushed(standin, token=token)
    assert hint in str(caught.value)
    assert token not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_that_may_pass_is_told_as_one(standin: Grafana, status: int) -> None:
    standin.disturb = failing(status, "later")
    with pytest.raises(GrafanaUnavailableError, match=f"answered {status}: later"):
        pushed(standin)


def test_an_address_where_nothing_listens_is_told() -> None:
    with pytest.raises(GrafanaUnavailableError, match="no Grafana answers at"):
        pushed(Grafana(url=f"http://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize(
    "answer", ["<html>Log in</html>", (200, []), (400, None), (502, "<html>Bad gateway</html>")]
)
def test_a_server_that_is_not_grafana_is_told(standin: Grafana, answer: Any) -> None:
    standin.disturb = lambda _method, _path: answer
    with pytest.raises((GrafanaRefusalError, GrafanaUnavailableError)) as caught:
        pushed(standin)
    assert standin.url in str(caught.value)


def test_a_refused_dashboard_is_told_in_grafanas_words(standin: Grafana) -> None:
    standin.disturb = failing(400, "Dashboard title cannot be empty", "POST /api/dashboards")
    with pytest.raises(GrafanaRefusalError, match="400: Dashboard title cannot be empty"):
        pushed(standin)


def test_null_and_nothing_are_equal() -> None:
    assert list(differences({"a": None, "b": {"c": 1}}, {"b": {"c": 1, "d": 2}})) == []
    assert list(differences({"b": {"c": 1}}, {"b": {}})) == ["b.c: nothing → 1"]


# The command.


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTONE_GRAFANA__TOKEN", ADMIN_TOKEN)
    return monkeypatch


def run(*arguments: str) -> Any:
    return CliRunner().invoke(build_app(["dashboards"]), ["dashboards", *arguments])


def test_the_command_pushes_and_prints_one_object(
    standin: Grafana, environment: pytest.MonkeyPatch
) -> None:
    done = run("push", "--grafana", standin.url, "--prometheus", PROMETHEUS, "--json")
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    assert told["dry_run"] is False and told["left_alone"] == []
    assert [change["action"] for change in told["changes"]] == ["created"] * 6


def test_the_command_shows_the_difference(
    standin: Grafana, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("UNDERTONE_GRAFANA__URL", standin.url)
    assert "dashboard undertone-overview: created" in run("push").stdout
    environment.setenv("UNDERTONE_GRAFANA__FOLDER", "Mood")
    done = run("push", "--dry-run")
    assert 'folder undertone: would be updated\n  title: "Undertone" → "Mood"\n' in done.stdout
    assert "dashboard undertone-overview: unchanged" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no Grafana is named"),
        (["--grafana", "grafana:3000"], "--grafana: expected an address"),
        (["--grafana", "http://me:secret@grafana:3000"], "leave user and password out"),
        (["--grafana", "http://grafana:99999"], "no such port"),
    ],
)
def test_wrong_use_is_told_in_one_message(
    environment: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    error = run("push", *arguments).exception
    assert isinstance(error, UndertoneError), error
    assert error.exit_status == 2
    assert said in str(error)
    assert "secret" not in str(error)


def test_without_credentials_it_says_where_they_go(
    standin: Grafana, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("UNDERTONE_GRAFANA__TOKEN")
    error = run("push", "--grafana", standin.url).exception
    assert "UNDERTONE_GRAFANA__TOKEN" in str(error)
