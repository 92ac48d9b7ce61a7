"""What the services depend on, and how it fails: the broker, its disk, and an Alertmanager."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

from chaos.schedule import Fault, FaultClass
from undertone.transport.embedded_broker import EmbeddedBroker

DEATH_SECONDS = 25.0
DISK_KB = 2 << 20


class Disk:
    """A disk of its own under a folder (a tmpfs), that can be filled and given room again."""

    def __init__(self, folder: Path) -> None:
        """Mount it. Raises OSError where this process may not mount."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        if self._mount("-t", "tmpfs", "-o", f"size={DISK_KB}k", "none"):
            raise OSError(f"{folder}: no disk can be mounted")

    def fill(self, spare_kb: int = 0) -> None:
        """Leave no room, but for some KiB."""
        # As others may write meanwhile, what is used can have grown between the look and the cut.
        for _ in range(20):
            stat = os.statvfs(self.folder)
            used_kb = (stat.f_blocks - stat.f_bfree) * stat.f_frsize // 1024
            if not self._mount("-o", f"remount,size={used_kb + spare_kb}k"):
                return
        raise OSError(f"{self.folder}: the disk cannot be filled")

    def free(self) -> None:
        """Give it its room again."""
        if self._mount("-o", f"remount,size={DISK_KB}k"):
            raise OSError(f"{self.folder}: the disk cannot be given room")

    def close(self) -> None:
        """Unmount it, with all that it holds."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False)

    def _mount(self, *arguments: str) -> int:
        command = ["mount", *arguments, str(self.folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode


class BrokerFaults:
    """Breaks the broker and mends it, one fault at a time, in a thread of its own."""

    def __init__(self, broker: EmbeddedBroker, disk: Disk | None) -> None:
        self._broker, self._disk = broker, disk
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None
        self.survived_full_disk = 0

    @property
    def busy(self) -> bool:
        """Whether one is going on."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, fault: Fault) -> bool:
        """Begin one; False where it cannot be done here."""
        if fault.what is FaultClass.BROKER_DISK and self._disk is None:
            return False
        self._thread = threading.Thread(target=self._run, args=(fault,), daemon=True)
        self._thread.start()
        return True

    def _run(self, fault: Fault) -> None:
        faults: dict[FaultClass, Callable[[], None]] = {
            FaultClass.BROKER_RESTART: self._restart,
            FaultClass.BROKER_CRASH: self._crash,
            FaultClass.BROKER_OUTAGE: lambda: self._silence(fault.seconds),
            FaultClass.BROKER_DISK: self._fill_disk,
        }
        try:
            faults[fault.what]()
        except BaseException as failure:  # raised in the main thread
            self.failure = failure

    def _restart(self) -> None:
        os.kill(self._broker.pid, signal.SIGTERM)
        self._broker.wait()
        self._broker.start()

    def _crash(self) -> None:
        self._broker.kill()
        self._broker.start()

    def _silence(self, seconds: float) -> None:
        os.kill(self._broker.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(self._broker.pid, signal.SIGCONT)

    def _fill_disk(self) -> None:
        """Kafka ends when its only disk fails, and is started again when there is room."""
        assert self._disk is not None
        self._disk.fill()
        try:
            psutil.Process(self._broker.pid).wait(DEATH_SECONDS)
        except psutil.TimeoutExpired:
            self.survived_full_disk += 1
        except psutil.NoSuchProcess:
            pass
        self._disk.free()
        if self._broker.state.process() is not None:
            self._broker.kill()
        self._broker.start()


class ShakyAlertmanager:
    """Takes alerts as Alertmanager does; slow, failing or gone when it is told to be."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: FaultClass | None = None
        self.taken = 0
        self.refused = 0
        self._server = self._listen(0)
        self.port = int(self._server.server_port)
        self.url = f"http://127.0.0.1:{self.port}"

    def begin(self, what: FaultClass) -> None:
        """Fail in one way until `mend`."""
        self.mend()
        self._fault = what
        if what is FaultClass.ALERTMANAGER_GONE:
            self.close()

    def mend(self) -> None:
        """Be well again."""
        if self._fault is FaultClass.ALERTMANAGER_GONE:
            self._server = self._listen(self.port)
        self._fault = None

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        return server

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(b"[]")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                if stand_in._fault is FaultClass.ALERTMANAGER_SLOW:
                    time.sleep(2 * PUSH_TIMEOUT_SECONDS)
                failing = stand_in._fault is FaultClass.ALERTMANAGER_FAILING
                with stand_in._lock:
                    stand_in.taken += not failing
                    stand_in.refused += failing
                try:
                    self.send_response(500 if failing else 200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except ConnectionError:
                    pass  # who asked has lost patience

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the run's output quiet."""

        return Handler


PUSH_TIMEOUT_SECONDS = 1.0
