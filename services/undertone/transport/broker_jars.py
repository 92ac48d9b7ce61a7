"""The jars of the embedded broker: fetched once, checked always, then used offline.

`broker.lock.toml` beside this file names every jar by group, artifact, version, size and SHA-256,
and no address: jgo knows where they are published (and reads its own configuration file, for
those who have a mirror). They are fetched into a staging folder, verified, and renamed into place
as a whole, under a lock: a first start that is killed leaves nothing half-done behind, and two at
once do no harm.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from undertone.errors import EmbeddedBrokerError

LOCK_FILE = Path(__file__).with_name("broker.lock.toml")
OWN_CLUSTER = "or use an existing cluster: --bootstrap HOST:PORT"
DOWNLOAD_THREADS = 8
DOWNLOAD_ATTEMPTS = 3
RETRY_SECONDS = 0.5
HTTP_TIMEOUT_SECONDS = 20

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """Progress that nobody sees."""


@dataclass(frozen=True)
class LockedJar:
    """One entry of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


@cache
def locked_jars() -> tuple[LockedJar, ...]:
    """The entries of the lock file, in its order (which is the class path's)."""
    return tuple(LockedJar(**entry) for entry in tomllib.loads(LOCK_FILE.read_text())["jar"])


@cache
def kafka_version() -> str:
    """The version of Apache Kafka that the lock file holds."""
    return str(tomllib.loads(LOCK_FILE.read_text())["kafka_version"])


def cache_dir() -> Path:
    """The user's cache folder: $UNDERTONE_CACHE, else $XDG_CACHE_HOME/undertone or ~/.cache/."""
    if own := os.environ.get("UNDERTONE_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "undertone"


def jars_dir() -> Path:
    """Where these very jars are (or will be) cached."""
    checksums = "".join(jar.sha256 for jar in locked_jars())
    digest = hashlib.sha256(checksums.encode()).hexdigest()
    return cache_dir() / f"kafka-{kafka_version()}-{digest[:12]}"


def missing_extra(error: ImportError) -> EmbeddedBrokerError:
    """The error for an install without the extra `broker`."""
    return EmbeddedBrokerError(
        f"the embedded broker is not installed: the package {error.name} is missing",
        hint=f"install it: pip install 'undertone[broker]'; {OWN_CLUSTER}",
    )


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn a failure to write below `where` into one clear error."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(where) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise EmbeddedBrokerError(
                f"{error.filename or where}: cannot write here: {error.strerror}",
                hint=f"choose a writable folder (--data-dir, or UNDERTONE_CACHE for the jars); "
                f"{OWN_CLUSTER}",
            ) from error
        raise


def disk_full(where: Path) -> EmbeddedBrokerError:
    """The error for a full disk."""
    return EmbeddedBrokerError(
        f"{where}: the disk is full",
        hint="free some space, or choose another disk (--data-dir for Kafka's data, "
        f"UNDERTONE_CACHE for its jars); {OWN_CLUSTER}",
    )


def verify(jar: LockedJar, path: Path) -> None:
    """Compare one file with its entry; raise an EmbeddedBrokerError that names both checksums."""
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != jar.sha256:
        raise EmbeddedBrokerError(
            f"{path}: wrong checksum: SHA-256 is {actual}, the lock file wants {jar.sha256}",
            hint=f"the jar is damaged or not the published one; delete {path.parent} and start "
            f"again to fetch it anew; {OWN_CLUSTER}",
        )


def ensure_jars(progress: Progress = silent) -> list[Path]:
    """The verified jars of the lock file, in class-path order; fetched when not cached yet.

    Raises EmbeddedBrokerError: wrong checksum, no network, full disk, extra not installed.
    """
    target = jars_dir()
    if not target.is_dir():
        try:
            from filelock import FileLock
        except ImportError as error:
            raise missing_extra(error) from error
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(target.with_name(f"{target.name}.lock")):
                if not target.is_dir():
                    fetch_all(target, progress)
    return verified(target)


def verified(folder: Path) -> list[Path]:
    """The paths of the locked jars in `folder`, all checked (45 MB: some 50 ms)."""
    jars = locked_jars()
    paths = [folder / jar.filename for jar in jars]
    for path in paths:
        if not path.is_file():
            raise EmbeddedBrokerError(
                f"{path}: the jar is missing from the cache",
                hint=f"delete {folder} and start again to fetch it anew; {OWN_CLUSTER}",
            )
    with ThreadPoolExecutor(DOWNLOAD_THREADS) as pool:
        list(pool.map(verify, jars, paths))
    return paths


def fetch_all(target: Path, progress: Progress) -> None:
    """Fetch every jar into a staging folder, verify it, and rename the folder to `target`."""
    prefix = f".{target.name}-staging-"
    for stale in target.parent.glob(f"{prefix}*"):  # of a start that was killed: we hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    jars = locked_jars()
    total_mb = sum(jar.size_bytes for jar in jars) / 1e6
    staging = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        context = maven_context(staging / "repository")
        flat = staging / "jars"
        flat.mkdir()
        with ThreadPoolExecutor(DOWNLOAD_THREADS) as pool:
            futures = [pool.submit(fetch, context, jar, flat) for jar in jars]
            try:
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    progress(
                        f"fetching Apache Kafka {kafka_version()} "
                        f"(once, {total_mb:.0f} MB): {done} of {len(jars)} jars"
                    )
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        flat.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def maven_context(repository: Path) -> Any:
    """jgo's view of the published jars, with `repository` as its (empty) local copy."""
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext
    except ImportError as error:
        raise missing_extra(error) from error
    remotes = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    return MavenContext(
        repo_cache=repository,
        local_repos=[],
        remote_repos=remotes,
        timeout=HTTP_TIMEOUT_SECONDS,
    )


def fetch(context: Any, jar: LockedJar, folder: Path) -> None:
    """Fetch one jar, verify it and move it into `folder`."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()

    def resolve() -> Path:
        artifact.cached_path.unlink(missing_ok=True)  # half a file, of the attempt before
        return Path(artifact.resolve())

    attempts = Retrying(
        stop=stop_after_attempt(DOWNLOAD_ATTEMPTS),
        wait=wait_exponential(multiplier=RETRY_SECONDS),
        retry=retry_if_exception(lambda error: isinstance(error, Exception) and not on_disk(error)),
        reraise=True,
    )
    try:
        path = attempts(resolve)
    except Exception as error:
        if on_disk(error):
            raise
        raise EmbeddedBrokerError(
            f"cannot fetch {jar.filename} ({jar.group}), which the embedded broker needs at its "
            f"first start: {innermost(error)}",
            hint="the first start needs the network (HTTPS_PROXY is honoured), later ones do not; "
            f"{OWN_CLUSTER}",
        ) from error
    verify(jar, path)
    path.rename(folder / jar.filename)


def on_disk(error: BaseException) -> bool:
    """Whether this is a failure of the disk (requests' own errors are OSErrors without errno)."""
    return isinstance(error, OSError) and error.errno is not None


def innermost(error: BaseException) -> str:
    """The first cause in a chain of wrapped network errors, in one line."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return " ".join(f"{type(error).__name__}: {error}".split())


def write_lock(version: str) -> None:
    """Resolve a version of Kafka anew and write the lock file; for the maintainers.

    Kafka's own distribution also holds log4j2's binding for slf4j, which its dependencies do not
    name: it is added in the version of their log4j-core.
    """
    import jgo

    artifacts = jgo.resolve(f"org.apache.kafka:kafka_2.13:{version}")
    (core,) = [artifact for artifact in artifacts if artifact.artifactId == "log4j-core"]
    binding = core.context.project(core.groupId, "log4j-slf4j-impl").at_version(core.version)
    lines = [
        "# The jars of the embedded broker: names, versions, checksums; no addresses.",
        "# Written by: python -m undertone.transport.broker_jars KAFKA_VERSION",
        "",
        f'kafka_version = "{version}"',
    ]
    everything = [*artifacts, binding.artifact()]
    for artifact in sorted(
        everything, key=lambda artifact: (artifact.groupId, artifact.artifactId)
    ):
        content = Path(artifact.resolve()).read_bytes()
        lines += [
            "",
            "[[jar]]",
            f'group = "{artifact.groupId}"',
            f'artifact = "{artifact.artifactId}"',
            f'version = "{artifact.version}"',
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"',
            f"size_bytes = {len(content)}",
        ]
    LOCK_FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write_lock(sys.argv[1])
