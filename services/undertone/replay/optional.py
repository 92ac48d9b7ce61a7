"""Libraries of the extra `replay`, asked for only where they are used."""

from __future__ import annotations

import importlib
from types import ModuleType

from undertone.errors import UsageError


def required(module: str, *, package: str, purpose: str) -> ModuleType:
    """Import a module. Raises UsageError that names the command to run where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"{purpose} needs the package {package}, which is not installed",
            hint="run: pip install 'undertone[replay]'",
        ) from None
