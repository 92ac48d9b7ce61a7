"""The settings' security options as Faust wants them, and what the environment must not change."""

from __future__ import annotations

import ssl

import pytest
from faust.types import TP

from undertone.settings import KafkaSettings
from undertone.watch.cursor import Log
from undertone.watch.faust_app import WatchApp, build_app, credentials


def built_app(kafka: KafkaSettings) -> WatchApp:
    async def place() -> dict[TP, int]:
        return {}

    app, _ = build_app(
        "p.watch",
        kafka,
        log=Log("p.mentions", "id", 4),
        place=place,
        cursors=dict,
        on_revoked=lambda: None,
        session_timeout_seconds=10,
    )
    return app


def test_plain_text_needs_no_credentials() -> None:
    assert credentials(KafkaSettings()) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_sasl_is_passed_on(mechanism: str, protocol: str) -> None:
    kafka = KafkaSettings.model_validate(
        {
            "security_protocol": protocol,
            "sasl_mechanism": mechanism,
            "sasl_username": "u",
            "sasl_password": "p",
        }
    )
    found = credentials(kafka)
    assert (found.protocol.value, found.mechanism.value) == (protocol, mechanism)
    assert (found.username, found.password) == ("u", "p")


def test_tls_verifies_the_broker() -> None:
    found = credentials(KafkaSettings(security_protocol="SSL"))
    assert found.protocol.value == "SSL"
    assert found.context.verify_mode is ssl.CERT_REQUIRED
    assert found.context.check_hostname


def test_the_environment_does_not_reconfigure_faust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "kafka://elsewhere:1")
    monkeypatch.setenv("PROCESSING_GUARANTEE", "exactly_once")

    app = built_app(KafkaSettings(bootstrap="one:9092, two:9093"))
    assert [str(url) for url in app.conf.broker] == ["kafka://one:9092", "kafka://two:9093"]
    assert not app.in_transaction
    assert not app.conf.web_enabled


def test_partitions_that_a_group_leader_did_not_learn_of_are_asked_for_within_seconds() -> None:
    assert built_app(KafkaSettings()).conf.consumer_metadata_max_age_ms <= 5_000
