"""Core: the answers of the API."""

from __future__ import annotations

from typing import Any

from undertone.board.state import BoardState
from undertone.records import format_instant


def subjects(state: BoardState, _id: str) -> Any:
    """Every subject with what holds now in each of its windows."""
    is_open: dict[str, list[str]] = {}
    for alert in state.alerts:
        if alert.is_open:
            is_open.setdefault(alert.last.subject, []).append(alert.id)
    return {
        "subjects": [
            {
                "id": subject.id,
                "name": subject.name,
                "type": subject.type,
                "open_alerts": is_open.get(subject.id, []),
                "windows": {
                    window: {
                        **history.standing._asdict(),
                        "at": format_instant(history.standing.at_ms),
                    }
                    for window, history in subject.windows.items()
                    if history.standing is not None
                },
            }
            for subject in state.subjects
        ]
    }


def alerts(state: BoardState, _id: str) -> Any:
    """The last revision of every alert, open ones first."""
    return {"alerts": [_json(alert.last) for alert in state.alerts]}


def alert(state: BoardState, id: str) -> Any:
    """All revisions of one alert; None where it is not known."""
    found = state.alert(id)
    return None if found is None else {"revisions": [_json(each) for each in found.revisions]}


def _json(record: Any) -> Any:
    return record.model_dump(mode="json", exclude_none=True)
