"""kafka-python clients, configured in one place.

Imported lazily by the shells only; cores never see a client.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.cluster import get_ip_port_afi
from kafka.errors import KafkaError

from undertone.errors import BROKER_HINT, BrokerAwayError, BrokerError
from undertone.settings import KafkaSettings

# How long a client looks for a broker when it starts (kafka-python's default is 30 s).
BOOTSTRAP_TIMEOUT_MS = 10_000
METADATA_MAX_AGE_MS = 5_000
LOOK_SECONDS = 3.0
ANSWER_MS = 20_000
RETRY_SECONDS = 0.1


def security_options(kafka: KafkaSettings) -> dict[str, Any]:
    """The options of kafka-python for SASL and TLS; none for plain text."""
    options: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if kafka.security_protocol.startswith("SASL"):
        assert kafka.sasl_password is not None
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password.get_secret_value(),
        }
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl_context(kafka)
    return options


def ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    """A verifying TLS context from the settings' files."""
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
        if kafka.ssl_certfile:
            password = kafka.ssl_password.get_secret_value() if kafka.ssl_password else None
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile, password)
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(f"kafka.ssl_*: cannot load the TLS files: {error}") from None
    return context


def _connection(kafka: KafkaSettings, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "bootstrap_servers": kafka.bootstrap.split(","),
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        **security_options(kafka),
        **options,
    }


def _unreachable(kafka: KafkaSettings, error: KafkaError) -> BrokerError:
    """kafka-python tells only that no connection came about; a look at the first broker tells why.

    Neither names a secret.
    """
    why, hint, may_come = _diagnosis(kafka)
    kind = BrokerAwayError if may_come else BrokerError
    return kind(f"no Kafka broker answers at {kafka.bootstrap} ({why or error})", hint=hint)


def _diagnosis(kafka: KafkaSettings) -> tuple[str | None, str, bool]:
    """Why no client comes in, where that shows; what to do; whether a broker may come yet."""
    host, port, _family = get_ip_port_afi(kafka.bootstrap.split(",")[0])
    try:
        plain = socket.create_connection((host, port), timeout=LOOK_SECONDS)
    except OSError:
        hint = "Start one with `undertone broker start`, or name yours with --bootstrap."
        return None, hint, True
    with plain:
        if kafka.security_protocol.endswith("SSL"):
            try:
                with ssl_context(kafka).wrap_socket(plain, server_hostname=host):
                    pass
            except ssl.SSLCertVerificationError as error:
                why = f"its certificate is not trusted: {error.verify_message}"
                return why, "Set kafka.ssl_cafile to the authority that issued it.", False
            except OSError as error:
                return f"no TLS there: {error}", "Is kafka.security_protocol the listener's?", False
    if kafka.security_protocol.startswith("SASL"):
        return (
            "something listens there and ends the connection",
            "Check kafka.sasl_username, kafka.sasl_password and kafka.sasl_mechanism.",
            False,
        )
    return (
        "something listens there, but does not answer as a Kafka broker",
        "Is kafka.security_protocol the listener's? Does the address belong to a broker?",
        True,  # one that is starting, or stands still
    )


@contextmanager
def admin_client(kafka: KafkaSettings, **options: Any) -> Iterator[KafkaAdminClient]:
    """An admin client, closed at the end. Raises BrokerError where no broker answers, and for what
    Kafka says to the requests made with it and nobody has caught.
    """
    try:
        client = KafkaAdminClient(**_connection(kafka, options))
    except KafkaError as error:
        raise _unreachable(kafka, error) from None
    with closing(client):
        try:
            yield client
        except KafkaError as error:
            raise BrokerError(
                f"Kafka at {kafka.bootstrap} failed: {type(error).__name__}: {error}",
                hint=BROKER_HINT,
            ) from None


def consumer(kafka: KafkaSettings, **options: Any) -> KafkaConsumer:
    """A consumer of bytes from the earliest offset, in large batches, that commits nothing."""
    defaults: dict[str, Any] = {
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "max_poll_records": 2_000,
        "max_partition_fetch_bytes": 4 << 20,
        # kafka-python 3.0.12 can join a group before it knows the partitions of the topics that it
        # subscribes to; the member then holds none until the next refresh, by default in 5 min,
        # makes it join again.
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }
    try:
        return KafkaConsumer(**_connection(kafka, defaults | options))
    except KafkaError as error:
        raise _unreachable(kafka, error) from None


def poll_group(client: KafkaConsumer, timeout_ms: int) -> dict[Any, list[Any]]:
    """Poll a consumer of a group, seeing to it that a join once begun is ended.

    kafka-python 3.0.12 joins again when it learns the topics' partitions after its first join, but
    forgets the second join when `timeout_ms` passes before the group has answered: that answer is
    never taken in, and the member holds nothing for ever while the broker thinks that it does.
    """
    coordinator = client._coordinator
    if coordinator.rejoining:
        coordinator.request_rejoin()
    return cast(dict[Any, list[Any]], client.poll(timeout_ms=timeout_ms))


def begins_of(client: KafkaConsumer, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The first offset of each partition. Raises BrokerError, KafkaError."""
    return _of_each(client.beginning_offsets, places)


def ends_of(client: KafkaConsumer, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset behind the last record of each partition. Raises BrokerError, KafkaError."""
    return _of_each(client.end_offsets, places)


def _of_each(
    ask: Callable[..., dict[TopicPartition, int]], places: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """kafka-python 3.0.12 leaves out, without a word, partitions whose leader it does not know."""
    deadline = time.monotonic() + ANSWER_MS / 1000
    while time.monotonic() < deadline:
        found = ask(list(places), timeout_ms=ANSWER_MS)
        if all(place in found for place in places):
            return {place: int(found[place]) for place in places}
        time.sleep(RETRY_SECONDS)
    raise BrokerError(
        "the leaders of some partitions are not known", hint="Are all brokers up? Try again."
    )


def discard(producer: KafkaProducer) -> None:
    """Let nothing more of a producer go out; its own `close` flushes first, and raises where that
    cannot be done at once."""
    producer._sender.force_close()


def producer(kafka: KafkaSettings, **options: Any) -> KafkaProducer:
    """An idempotent producer with acks from all replicas."""
    defaults: dict[str, Any] = {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 5,
        "batch_size": 256 << 10,
    }
    try:
        return KafkaProducer(**_connection(kafka, defaults | options))
    except KafkaError as error:
        raise _unreachable(kafka, error) from None
