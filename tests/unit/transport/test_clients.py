"""What is said where no client comes in."""

from __future__ import annotations

import socket

import pytest

from undertone.errors import BrokerError
from undertone.settings import KafkaSettings
from undertone.transport.clients import admin_client

# Of loopback as 127.0.0.1 is, and nobody's: the port that goes without saying must be free on it.
HOST = "127.0.0.92"


@pytest.mark.parametrize("bootstrap", [HOST, f"{HOST}:9092"])
def test_a_broker_without_a_port_is_looked_for_where_kafka_python_does(bootstrap: str) -> None:
    client = admin_client(KafkaSettings(bootstrap=bootstrap), bootstrap_timeout_ms=100)
    with socket.create_server((HOST, 9092)), pytest.raises(BrokerError) as told, client:
        pass
    assert f"at {bootstrap} (something listens there" in str(told.value)
