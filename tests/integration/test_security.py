"""TLS and SASL/SCRAM to a real broker: what is right comes in, what is wrong is told, not shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from secure_broker import MECHANISM, USER, SecureBroker, secure_broker
from undertone.demo.session import DemoSession
from undertone.demo.stream import scripted_stream
from undertone.errors import BrokerError
from undertone.ingest.service import in_recorded_time
from undertone.settings import KafkaSettings, Settings
from undertone.transport.patience import knock

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

WRONG = "not-the-password"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("secure")) as broker:
        yield broker


@pytest.fixture
def environment(secure: SecureBroker, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that let the services in."""
    variables = {
        "UNDERTONE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "UNDERTONE_KAFKA__SASL_MECHANISM": MECHANISM,
        "UNDERTONE_KAFKA__SASL_USERNAME": USER,
        "UNDERTONE_KAFKA__SASL_PASSWORD": secure.password,
        "UNDERTONE_KAFKA__SSL_CAFILE": str(secure.authority),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_services_work_over_tls_and_scram_and_log_no_secret(
    secure: SecureBroker, environment: dict[str, str], tmp_path: Path
) -> None:
    stream = scripted_stream("demo", 3, tmp_path, messages=300)
    settings = in_recorded_time(Settings(prefix="secure", kafka=secure.settings()))
    with DemoSession(settings, stream, tmp_path, engine="stub") as session:
        session.start(scorers=1, watchers=1)
        session.play(stream.span_ms / 1000 / 3.0, lambda: None)
        result = session.finish(120.0)
    assert result.adds_up and result.counts["mentions"] > 0
    logs = list(tmp_path.rglob("*.log"))
    assert len(logs) >= 2
    assert not [log for log in logs if secure.password in log.read_text()]


@pytest.mark.parametrize("command", ["score", "watch"])
@pytest.mark.usefixtures("environment")
def test_a_wrong_password_is_refused_and_not_shown(
    command: str, secure: SecureBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERTONE_KAFKA__SASL_PASSWORD", WRONG)
    status, told = told_by(command, secure, tmp_path)
    assert status == 1
    assert "Check kafka.sasl_username, kafka.sasl_password" in told
    assert WRONG not in told and secure.password not in told
    assert "Traceback" not in told


def test_a_certificate_of_another_authority_is_refused(
    secure: SecureBroker, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    with pytest.raises(BrokerError, match="its certificate is not trusted") as raised:
        knock(secure.settings(authority=stranger))
    assert "kafka.ssl_cafile" in str(raised.value)


def test_a_client_without_tls_is_told_that_the_listener_wants_it(secure: SecureBroker) -> None:
    with pytest.raises(BrokerError) as raised:
        knock(KafkaSettings(bootstrap=secure.bootstrap))
    assert "Is kafka.security_protocol the listener's?" in str(raised.value)


def told_by(command: str, secure: SecureBroker, folder: Path) -> tuple[int, str]:
    """Exit status and all that the command printed."""
    watchlist = folder / "watchlist.yaml"
    watchlist.write_text(
        json.dumps({"subjects": [{"id": "acme", "name": "Acme", "terms": ["Acme"]}]})
    )
    engine = ["--engine", "stub"] if command == "score" else []
    done = subprocess.run(
        [
            *(sys.executable, "-m", "undertone", command, "--watchlist", str(watchlist)),
            *("--bootstrap", secure.bootstrap, "--metrics-port", "0", *engine),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
