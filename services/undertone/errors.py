"""Every error that undertone raises on purpose.

UndertoneError                 a message for a person, and an exit status
├── UsageError                 wrong use: exit status 2
│   ├── ConfigurationError     a settings, watchlist, rules or truth file is wrong
│   └── InputFileError         a data file cannot be read
├── RecordError                one record cannot be read: it goes to the dead letters
├── BrokerError                Kafka is not there, or refuses
│   ├── BrokerAwayError        nothing answers at its address; it may come yet
│   ├── EmbeddedBrokerError    the embedded broker could not be resolved or started
│   └── TopicError             a topic is missing, was recreated, or has other partitions
├── ModelError                 a checkpoint cannot be loaded
├── AlertmanagerError          Alertmanager cannot be reached, or refuses
├── RobotError                 a group robot cannot be reached, or refuses
├── GrafanaError               Grafana cannot be reached, or refuses
├── FeedError                  a feed cannot be fetched or read: it is asked again later
└── StateError                 kept state cannot be read, or does not belong to this log

A message says what is wrong, where (file, field, record), and what to do next.
"""

from __future__ import annotations


class UndertoneError(Exception):
    """A fault that a person can act on; shown without a traceback."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class UsageError(UndertoneError):
    """Wrong use: arguments or files that the user can correct."""

    exit_status = 2


class ConfigurationError(UsageError):
    """A configuration file is wrong; the message lists `file: field: what was expected`."""


class InputFileError(UsageError):
    """A data file is missing or cannot be read."""


class RecordError(UndertoneError):
    """One record cannot be read. It is kept (dead letter or reject), and work goes on."""


BROKER_HINT = "Start the command again when the broker answers."


class BrokerError(UndertoneError):
    """Kafka is unreachable or refused a request."""


class BrokerAwayError(BrokerError):
    """Nothing answers as a broker at the broker's address; one may come yet."""


class EmbeddedBrokerError(BrokerError):
    """The embedded broker could not be resolved, started or stopped."""


class TopicError(BrokerError):
    """A topic is missing, was recreated, or has another number of partitions."""


class ModelError(UndertoneError):
    """A checkpoint is missing or cannot be loaded."""


class AlertmanagerError(UndertoneError):
    """Alertmanager could not be reached, or refused."""


class RobotError(UndertoneError):
    """A group robot of WeCom or DingTalk could not be reached, or refused."""


class GrafanaError(UndertoneError):
    """Grafana could not be reached, or refused."""


class FeedError(UndertoneError):
    """A feed could not be fetched or read."""


class StateError(UndertoneError):
    """Kept state cannot be read, or does not belong to the log that it is to follow."""
