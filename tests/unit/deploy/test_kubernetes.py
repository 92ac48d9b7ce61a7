"""deploy/kubernetes: valid by Kubernetes' schemas, contained, in step with settings and code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deployed import DEPLOY, KUBERNETES, ROOT, documents, parse_command_line
from undertone.checking import Status, check_settings, check_watchlist
from undertone.settings import load_settings
from undertone.transport.topics import TopicNames, topic_specs
from undertone.watch.changelog import changelog_spec

BASE = KUBERNETES / "base"
SETTINGS = load_settings(BASE / "undertone.yaml")
MANIFESTS = [
    (path, document)
    for path in [*sorted(BASE.glob("*.yaml")), KUBERNETES / "components/notify/notify.yaml"]
    for document in documents(path)
    if {"apiVersion", "kind"} <= document.keys() and document["kind"] != "Kustomization"
]
WORKLOADS = {
    document["metadata"]["name"]: document
    for _, document in MANIFESTS
    if document["kind"] in ("Deployment", "StatefulSet")
}
each_workload = pytest.mark.parametrize("name", sorted(WORKLOADS))
# What each service answers; score and watch: telemetry.py.
HEALTH_PATHS = {"/livez", "/readyz", "/healthz"}


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = WORKLOADS[name]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    return dict(only)


def validate(document: dict[str, Any]) -> None:
    """By Kubernetes' own schemas; unknown fields are errors."""
    kubernetes_validate.validate(document, "1.30", strict=True)
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(
    "document", [each for _, each in MANIFESTS], ids=[path.stem for path, _ in MANIFESTS]
)
def test_each_manifest_is_valid_by_the_schemas(document: dict[str, Any]) -> None:
    validate(document)


def test_an_unknown_field_is_noticed() -> None:
    wrong = {**WORKLOADS["undertone-score"], "spce": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)


@pytest.mark.parametrize("folder", ["base", "overlays/gpu", "overlays/notify"])
def test_kustomize_builds_it_and_the_result_is_valid(folder: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    built = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    built_documents = list(yaml.safe_load_all(built.stdout))
    for document in built_documents:
        validate(document)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "undertone"
    (made,) = [d for d in built_documents if d["kind"] == "ConfigMap"]
    assert set(made["data"]) == {"undertone.yaml", "watchlist.yaml"}
    scorer = next(
        d
        for d in built_documents
        if (d["kind"], d["metadata"]["name"]) == ("Deployment", "undertone-score")
    )
    spec = scorer["spec"]["template"]["spec"]
    assert spec["volumes"][0]["configMap"]["name"] == made["metadata"]["name"]
    gpus = spec["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
    assert (gpus is not None) is (folder == "overlays/gpu")
    assert spec["containers"][0]["image"].endswith("-cuda") is (folder == "overlays/gpu")


def test_kustomizations_name_files_that_are_there() -> None:
    for path in KUBERNETES.rglob("kustomization.yaml"):
        (document,) = documents(path)
        named = [*document.get("resources", []), *document.get("components", [])]
        for generator in document.get("configMapGenerator", []):
            named += generator["files"]
        for name in named:
            assert (path.parent / name).exists(), f"{path}: {name}"


@each_workload
def test_its_command_knows_its_options(name: str) -> None:
    parse_command_line(container(name)["args"])


@each_workload
def test_it_is_contained(name: str) -> None:
    secured = container(name)["securityContext"]
    assert secured["readOnlyRootFilesystem"] is True
    assert secured["allowPrivilegeEscalation"] is False
    assert secured["capabilities"] == {"drop": ["ALL"]}
    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    assert pod(name)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(name)["automountServiceAccountToken"] is False
    assert "memory" in container(name)["resources"]["limits"]
    assert {"cpu", "memory"} <= container(name)["resources"]["requests"].keys()


@each_workload
def test_its_user_is_that_of_the_image(name: str) -> None:
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert f"USER {pod(name)['securityContext']['runAsUser']}\n" in dockerfile


@each_workload
def test_the_cluster_sets_none_of_our_variables(name: str) -> None:
    """Kubernetes' variables for services would begin with UNDERTONE_."""
    assert pod(name)["enableServiceLinks"] is False


@each_workload
def test_it_has_the_password_that_settings_with_sasl_want(name: str) -> None:
    secrets = [each["secretRef"]["name"] for each in container(name)["envFrom"]]
    assert "undertone-kafka" in secrets


@each_workload
def test_probes_ask_what_is_answered(name: str) -> None:
    ports = {port["name"] for port in container(name)["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container(name)[probe]["httpGet"]
        assert asked["path"] in HEALTH_PATHS
        assert asked["port"] in ports
    assert container(name)["livenessProbe"]["httpGet"]["path"] != "/readyz"


def test_ports_are_those_of_the_settings() -> None:
    expected = {
        "undertone-score": SETTINGS.metrics.score_port,
        "undertone-watch": SETTINGS.metrics.watch_port,
        "undertone-serve": SETTINGS.serving.port,
        "undertone-board": SETTINGS.board.port,
        "undertone-notify": SETTINGS.notify.port,
    }
    for name, port in expected.items():
        assert [each["containerPort"] for each in container(name)["ports"]] == [port]


def test_the_settings_and_the_watchlist_are_right() -> None:
    findings, settings = check_settings(BASE / "undertone.yaml", prefix=None, bootstrap=None)
    assert [finding.status for finding in findings] == [Status.OK]
    assert settings is not None and settings.watchlist is not None
    found, _ = check_watchlist(settings.watchlist)
    assert [finding.status for finding in found] == [Status.OK]


def test_no_worker_is_idle() -> None:
    raw = sum(topic.partitions for topic in SETTINGS.effective_raw_topics)
    assert WORKLOADS["undertone-score"]["spec"]["replicas"] <= raw
    assert WORKLOADS["undertone-watch"]["spec"]["replicas"] <= SETTINGS.mentions_partitions


def test_each_watcher_is_a_static_member_under_its_pods_name() -> None:
    watch = WORKLOADS["undertone-watch"]
    assert watch["kind"] == "StatefulSet"
    (variable,) = container("undertone-watch")["env"]
    assert variable["name"] == "UNDERTONE_WATCH__INSTANCE_ID"
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert SETTINGS.watch.session_timeout >= 30_000  # longer than a pod takes to come back


def test_budgets_and_services_select_pods_that_there_are() -> None:
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in WORKLOADS.values()]
    for _, document in MANIFESTS:
        if document["kind"] == "PodDisruptionBudget":
            assert document["spec"]["selector"]["matchLabels"] in pods
        elif document["kind"] == "Service":
            assert document["spec"]["selector"] in pods


def test_scaling_follows_the_lag_of_our_group_up_to_its_partitions() -> None:
    (scaled,) = documents(KUBERNETES / "snippets" / "keda.yaml")
    assert scaled["spec"]["scaleTargetRef"]["name"] in WORKLOADS
    topics = {topic.name: topic.partitions for topic in SETTINGS.effective_raw_topics}
    assert scaled["spec"]["maxReplicaCount"] == sum(topics.values())
    triggers = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    assert {trigger["topic"] for trigger in triggers} == topics.keys()
    for trigger in triggers:
        assert trigger["consumerGroup"] == TopicNames(SETTINGS.prefix).score_group
        assert trigger["bootstrapServers"] == SETTINGS.kafka.bootstrap


def test_the_operators_topics_are_those_that_undertone_would_create() -> None:
    found = {
        topic["metadata"]["name"]: (
            topic["spec"]["partitions"],
            {n: v for n, v in topic["spec"]["config"].items() if n != "min.insync.replicas"},
        )
        for topic in documents(KUBERNETES / "snippets" / "strimzi.yaml")
    }
    specs = [*topic_specs(SETTINGS), changelog_spec(SETTINGS)]
    assert found == {spec.name: (spec.partitions, dict(spec.configs)) for spec in specs}


def test_what_the_operator_scrapes_are_services_of_ours_under_the_rules_names() -> None:
    (monitor,) = documents(KUBERNETES / "snippets" / "prometheus-operator.yaml")
    (expression,) = monitor["spec"]["selector"]["matchExpressions"]
    services = {
        document["metadata"]["labels"][monitor["spec"]["jobLabel"]]: document
        for _, document in MANIFESTS
        if document["kind"] == "Service"
    }
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert {job["job_name"] for job in scraped["scrape_configs"]} >= set(expression["values"])
    for job in expression["values"]:
        ports = {port["name"] for port in services[job]["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


def test_the_command_of_the_docs_makes_a_rule_of_the_operators() -> None:
    docs = (ROOT / "docs" / "deployment.md").read_text()
    (command,) = re.findall(r"```sh\n\s*(\{ printf .*?)\| kubectl apply -f -\n", docs, re.DOTALL)
    made = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rules = list(yaml.safe_load_all(made.stdout))
    assert [rule["kind"] for rule in rules] == ["PrometheusRule", "PrometheusRule"]
    for rule in rules:
        name = rule["metadata"]["name"].removeprefix("undertone-")
        shipped: Path = DEPLOY / "prometheus" / f"{name}.rules.yml"
        assert rule["spec"] == yaml.safe_load(shipped.read_text())
