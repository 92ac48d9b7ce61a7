"""deploy/compose.yaml: valid by the published schema, contained, and in step with the code."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deployed import DEPLOY, ROOT, bind_mounts, compose, demo_variables, parse_command_line
from servers import binary
from undertone.checking import Status, check_settings, check_watchlist
from undertone.settings import load_settings
from undertone.simulate.scenarios import build_scenario
from undertone.transport.broker_jars import kafka_version

STACK = compose()
DEMO = compose(demo_variables())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"].startswith("undertone:")}
ONCE = {"ingest", "demo", "demo-stream"}
LASTING = SERVICES.keys() - ONCE
all_services = pytest.mark.parametrize("name", sorted(SERVICES))


def test_it_is_valid_by_the_published_schema() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(document)


@all_services
def test_every_image_is_pinned(name: str) -> None:
    repository, _, tag = SERVICES[name]["image"].rpartition(":")
    assert repository
    assert tag[:1].isdigit() or tag[:1] == "v"
    assert "." in tag


@all_services
def test_every_service_is_contained(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] not in ("", "0", "root")
    assert service["read_only"] is (name != "kafka")
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert "privileged" not in service


@all_services
def test_ports_are_open_on_this_machine_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@all_services
def test_what_is_mounted_is_there(name: str) -> None:
    for stack in (STACK, DEMO):
        for source, _, mode in bind_mounts(stack["services"][name]):
            assert source.exists()
            assert source.is_relative_to(ROOT)
            assert mode == "ro"
        named = [v.split(":")[0] for v in SERVICES[name].get("volumes", []) if v[0] not in "./"]
        assert set(named) <= STACK["volumes"].keys()


@all_services
def test_what_it_waits_for_can_be_healthy(name: str) -> None:
    for other, needed in (SERVICES[name].get("depends_on") or {}).items():
        if needed["condition"] == "service_healthy":
            assert (
                "healthcheck" in SERVICES[other] or "HEALTH_URL" in SERVICES[other]["environment"]
            )


@pytest.mark.parametrize("name", sorted(LASTING))
def test_what_lasts_has_a_health_check_and_is_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or "HEALTH_URL" in service["environment"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_commands_know_their_options(name: str) -> None:
    parse_command_line(OURS[name]["command"])


def test_an_unknown_option_is_noticed() -> None:
    with pytest.raises(Exception, match="--no-such-option"):
        parse_command_line(["score", "--no-such-option"])


def test_kafka_is_the_version_that_is_tested() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


@pytest.mark.parametrize("stack", [STACK, DEMO], ids=["live", "demo"])
def test_the_settings_that_are_mounted_are_right(
    stack: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = {target: source for source, target, _ in bind_mounts(stack["services"]["watch"])}
    findings, settings = check_settings(
        at["/etc/undertone/undertone.yaml"], prefix=None, bootstrap=None
    )
    assert [finding.status for finding in findings] == [Status.OK]
    assert settings is not None
    assert settings.kafka.bootstrap == "kafka:9092"
    assert settings.metrics.host == settings.serving.host == settings.board.host == "0.0.0.0"
    found, _ = check_watchlist(at["/etc/undertone/watchlist.yaml"])
    assert not [finding for finding in found if finding.status in (Status.WRONG, Status.DOWN)]


def test_health_is_asked_on_the_ports_of_the_settings() -> None:
    settings = load_settings(DEPLOY / "compose" / "undertone.yaml")
    ports = {
        "score": settings.metrics.score_port,
        "watch": settings.metrics.watch_port,
        "serve": settings.serving.port,
        "board": settings.board.port,
        "notify": settings.notify.port,
    }
    for name, port in ports.items():
        assert f":{port}/" in SERVICES[name]["environment"]["HEALTH_URL"]
    for name in ("board", "serve"):
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{ports[name]}:{ports[name]}"]


def test_the_demo_watches_what_its_stream_is_about() -> None:
    assert "demo" in DEMO["services"]["demo"]["profiles"]
    watchlist = yaml.safe_load((DEPLOY / "compose" / "demo-watchlist.yaml").read_text())
    assert watchlist == build_scenario("demo", seed=1).watchlist


def test_prometheus_differs_from_the_shipped_one_by_addresses_alone() -> None:
    ours = _without_addresses(DEPLOY / "compose" / "prometheus.yml")
    shipped = _without_addresses(DEPLOY / "prometheus" / "prometheus.yml")
    shipped_jobs = [job["job_name"] for job in shipped["scrape_configs"]]
    ours["scrape_configs"] = [
        job for job in ours["scrape_configs"] if job["job_name"] in shipped_jobs
    ]
    assert ours == shipped


def _without_addresses(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    for job in document["scrape_configs"]:
        for how in ("static_configs", "dns_sd_configs"):
            job.pop(how, None)
    del document["alerting"]["alertmanagers"]
    return document


def test_alertmanager_routes_and_mutes_as_the_shipped_one() -> None:
    ours = yaml.safe_load((DEPLOY / "compose" / "alertmanager.yml").read_text())
    shipped = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    for part in ("global", "templates", "route", "inhibit_rules"):
        assert ours[part] == shipped[part]
    here = yaml.safe_dump(ours["receivers"][1:]).replace("http://notify:", "http://127.0.0.1:")
    assert here == yaml.safe_dump(shipped["receivers"][1:])
    assert ours["receivers"][0] == {"name": "team"}


@pytest.mark.prometheus
def test_prometheus_and_alertmanager_accept_their_files(tmp_path: Path) -> None:
    for source, target, _ in bind_mounts(SERVICES["prometheus"]):
        (tmp_path / Path(target).name).write_bytes(source.read_bytes())
    _accepts(binary("promtool"), "check", "config", str(tmp_path / "prometheus.yml"))
    for source, target, _ in bind_mounts(SERVICES["alertmanager"]):
        inside = tmp_path / Path(target).relative_to("/etc/alertmanager")
        if source.is_dir():
            shutil.copytree(source, inside)
        else:
            inside.write_bytes(source.read_bytes())
    _accepts(binary("amtool"), "check-config", str(tmp_path / "alertmanager.yml"))


def _accepts(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_their_servers_know_the_options(name: str) -> None:
    program = binary(f"prometheus-{name}", name)
    said = subprocess.run([program, "--help-man"], capture_output=True, text=True, check=False)
    help_text = (said.stdout + said.stderr).replace("\\-", "-")
    for option in SERVICES[name]["command"]:
        assert option.partition("=")[0] in help_text, option
