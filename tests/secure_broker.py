"""An embedded broker that also listens with TLS and SASL/SCRAM, and the files to reach it with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion
from pydantic import SecretStr

from undertone.settings import KafkaSettings
from undertone.transport.broker_process import free_port
from undertone.transport.clients import admin_client
from undertone.transport.embedded_broker import EmbeddedBroker

USER = "undertone"
MECHANISM = "SCRAM-SHA-512"


@dataclass(frozen=True)
class SecureBroker:
    """Where it listens, whom it trusts, and who may come in."""

    bootstrap: str
    authority: Path
    password: str

    def settings(
        self, *, password: str | None = None, authority: Path | None = None
    ) -> KafkaSettings:
        """As a client should be set up; with another password or authority, as it should not."""
        return KafkaSettings(
            bootstrap=self.bootstrap,
            security_protocol="SASL_SSL",
            sasl_mechanism=MECHANISM,
            sasl_username=USER,
            sasl_password=SecretStr(password or self.password),
            ssl_cafile=authority or self.authority,
        )


@contextmanager
def secure_broker(folder: Path) -> Iterator[SecureBroker]:
    """A broker with a certificate of its own authority, and one user."""
    authority, password = trustme.CA(), os.urandom(12).hex()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate = authority.issue_cert("127.0.0.1")
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
    (folder / "broker.pem").write_bytes(key + chain)
    plain, secure, controller = free_port(), free_port(), free_port()
    properties = {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},"
        f"CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL"
        ),
        "sasl.enabled.mechanisms": MECHANISM,
        "listener.name.secure.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
    }
    with EmbeddedBroker(port=plain, extra_properties=properties) as broker:
        with admin_client(KafkaSettings(bootstrap=broker.bootstrap)) as admin:
            credential = UserScramCredentialUpsertion(
                USER, ScramMechanism.SCRAM_SHA_512, password.encode(), iterations=4096
            )
            (failure,) = admin.alter_user_scram_credentials([credential]).values()
            assert failure is None
        yield SecureBroker(f"127.0.0.1:{secure}", folder / "authority.pem", password)
