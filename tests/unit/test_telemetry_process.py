"""What every service tells of itself."""

from __future__ import annotations

import httpx
from prometheus_client import CollectorRegistry

from undertone import __version__
from undertone.telemetry import serve_metrics


def test_each_service_tells_its_version_and_what_its_process_uses() -> None:
    registry = CollectorRegistry()
    port = serve_metrics(registry, "127.0.0.1", 0)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert f'undertone_build_info{{version="{__version__}"}} 1.0' in text
    for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "start_time_seconds"):
        assert f"\nprocess_{name} " in text
