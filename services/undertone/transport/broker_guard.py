"""Run one command, and end it when the process that asked for it ends, by whatever death.

    python broker_guard.py GRACE_SECONDS REMOVE_DIR COMMAND...

The parent holds the other end of this process's standard input and never writes to it. When the
parent closes it, or dies (the kernel then closes it, SIGKILL included), the command gets SIGTERM
and, after the grace time, SIGKILL; then the folder REMOVE_DIR, unless '' is given, is deleted.
Standard output gets one line, the command's process id; the command's own output goes to standard
error. The exit status is the command's (128 + n for signal n).

Needs only the standard library, so that it starts in milliseconds and stays small.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

# A process that was forked (not executed) by the parent may hold a copy of the pipe's other end
# and outlive it; so the guard also looks now and then whether its parent is still the same.
PARENT_CHECK_SECONDS = 2.0
PR_SET_PDEATHSIG = 1


def die_with(guard_pid: int) -> None:
    """Ask Linux to kill this process when the guard itself is killed. Runs after the fork.

    The guard has one thread only, so the signal cannot come early, when a mere thread ends.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard_pid:
            os._exit(1)


def wait_for_end(child: subprocess.Popen[bytes], parent_pid: int, wakeup: int) -> bool:
    """Wait until the child ends (False), or until it is to be ended (True)."""
    while True:
        readable, _, _ = select.select([0, wakeup], [], [], PARENT_CHECK_SECONDS)
        if child.poll() is not None:
            return False
        if wakeup in readable and signal.SIGTERM in os.read(wakeup, 64):
            return True
        if (0 in readable and not os.read(0, 64)) or os.getppid() != parent_pid:
            return True


def end(child: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """SIGTERM, and SIGKILL when the child has not ended within the grace time."""
    child.terminate()
    try:
        child.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main(arguments: list[str]) -> int:
    """Run the command and return its exit status."""
    grace, remove, *command = arguments
    parent_pid, guard_pid = os.getppid(), os.getpid()
    wakeup, wakeup_write = os.pipe()
    os.set_blocking(wakeup_write, False)
    signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=2,
        preexec_fn=lambda: die_with(guard_pid),  # noqa: PLW1509 (there is one thread only)
    )
    os.write(1, f"{child.pid}\n".encode())
    os.close(1)
    if wait_for_end(child, parent_pid, wakeup):
        end(child, float(grace))
        if remove:
            shutil.rmtree(remove, ignore_errors=True)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
