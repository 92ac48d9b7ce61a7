"""Throws the watcher's state away, so that the next start reads the mentions from the beginning."""

from __future__ import annotations

from kafka import KafkaAdminClient

from undertone.errors import BrokerError, StateError
from undertone.settings import Settings
from undertone.transport.clients import admin_client
from undertone.transport.topics import TopicNames
from undertone.watch.changelog import changelog_topic


def refuse_running_workers(admin: KafkaAdminClient, names: TopicNames) -> None:
    """Raise StateError while a watch worker runs: its state is its own."""
    group = admin.describe_groups([names.watch_app])[names.watch_app]
    if group["members"]:
        raise StateError(
            f"group {names.watch_app} has {len(group['members'])} members: "
            "the state cannot be changed under a running worker",
            hint="Stop every watch worker first; one that was killed leaves within seconds.",
        )


def delete_state(settings: Settings) -> list[str]:
    """Delete the changelog and the group's committed offsets; returns what was deleted.

    Raises StateError while a watch worker runs, and BrokerError.
    """
    names = TopicNames(settings.prefix)
    deleted: list[str] = []
    with admin_client(settings.kafka) as admin:
        refuse_running_workers(admin, names)
        topic = changelog_topic(names)
        if topic in admin.list_topics():
            admin.delete_topics([topic])
            deleted.append(topic)
        if admin.list_group_offsets([names.watch_app])[names.watch_app]:
            outcome = admin.delete_groups([names.watch_app])[names.watch_app]
            if outcome != "OK":
                raise BrokerError(f"group {names.watch_app} cannot be deleted: {outcome}")
            deleted.append(names.watch_app)
    return deleted
