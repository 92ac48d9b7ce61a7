"""Grafana's HTTP API behind one adapter over grafana-api.

The only place that knows the library: what it lacks (data sources by uid, escaped queries), its
exceptions, and what Grafana's answers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from grafana_api.grafana_api import GrafanaClientError, GrafanaException
from grafana_api.grafana_face import GrafanaFace
from requests.exceptions import JSONDecodeError, RequestException

from undertone.alerting.annotations import Annotation
from undertone.errors import ConfigurationError, GrafanaError
from undertone.settings import GrafanaSettings

Document = dict[str, Any]

TIMEOUT_SECONDS = 10.0
SEARCH_LIMIT = 5000
_CREDENTIALS = "UNDERTONE_GRAFANA__TOKEN, or grafana.user with UNDERTONE_GRAFANA__PASSWORD"


class GrafanaUnavailableError(GrafanaError):
    """A fault that may pass: no connection, a timeout, 5xx, 429."""


class GrafanaAccessError(GrafanaError):
    """401 or 403: the token or the password is wrong, or may not do this."""


class GrafanaConflictError(GrafanaError):
    """409 or 412: somebody else changed it meanwhile, or the name is taken."""


class GrafanaRefusalError(GrafanaError):
    """Grafana read the request and refused it: sending it again changes nothing."""


class _MissingError(GrafanaError):
    """404."""


class GrafanaClient:
    """One Grafana. Every method raises GrafanaError or one of the subclasses above."""

    def __init__(
        self, settings: GrafanaSettings, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Raises ConfigurationError where the address or the credentials are missing."""
        if settings.url is None:
            raise ConfigurationError(
                "no Grafana is named", hint="Set grafana.url in undertone.yaml, or give --grafana."
            )
        self.url = settings.url
        address = urlsplit(settings.url)
        try:
            port = address.port
        except ValueError:
            raise ConfigurationError(f"grafana.url: {settings.url}: no such port") from None
        host = address.hostname or ""
        path = address.path.strip("/")
        self._face = GrafanaFace(
            _credentials(settings),
            host=f"[{host}]" if ":" in host else host,
            port=port,
            url_path_prefix=f"{path}/" if path else "",
            protocol=address.scheme,
            timeout=timeout_seconds,
        )

    def folder(self, uid: str) -> Document | None:
        """The folder, none where there is none."""
        return self._found(lambda: self._face.folder.get_folder(_part(uid)))

    def create_folder(self, uid: str, title: str) -> None:
        """Create a folder at the root."""
        self._ask(lambda: self._face.folder.create_folder(title, uid))

    def rename_folder(self, uid: str, title: str, version: int) -> None:
        """Change the title of the folder that was read with this version."""
        self._ask(lambda: self._face.folder.update_folder(_part(uid), title, version))

    def data_source(self, uid: str) -> Document | None:
        """The data source, none where there is none."""
        return self._found(lambda: self._face.api.GET(f"/datasources/uid/{_part(uid)}"))

    def create_data_source(self, document: Document) -> None:
        """Create a data source."""
        self._ask(lambda: self._face.datasource.create_datasource(document))

    def update_data_source(self, uid: str, document: Document) -> None:
        """Replace a data source. Secrets that the document does not name stay."""
        path = f"/datasources/uid/{_part(uid)}"
        self._ask(lambda: self._face.api.PUT(path, json=document))

    def dashboard(self, uid: str) -> Document | None:
        """`{"dashboard": …, "meta": …}`, none where there is none."""
        return self._found(lambda: self._face.dashboard.get_dashboard(_part(uid)))

    def save_dashboard(self, dashboard: Document, folder_uid: str, message: str) -> None:
        """Create it, or replace the version that it names."""
        body = {
            "dashboard": dashboard,
            "folderUid": folder_uid,
            "message": message,
            "overwrite": False,
        }
        self._ask(lambda: self._face.dashboard.update_dashboard(body))

    def find_dashboards(self, tag: str) -> list[Document]:
        """Search results: the dashboards with a tag, each with at least `uid` and `title`."""
        search = self._face.search.search_dashboards
        return self._list(lambda: search(tag=_part(tag), type_="dash-db", limit=SEARCH_LIMIT))

    def find_annotations(self, tags: Iterable[str]) -> list[Document]:
        """The annotations that have all these tags, of all times (at most 100)."""
        escaped = [_part(tag) for tag in tags]
        return self._list(lambda: self._face.annotations.get_annotation(tags=escaped, limit=100))

    def add_annotation(self, annotation: Annotation) -> None:
        """Add an annotation of the organisation, which any dashboard can show."""
        self._ask(lambda: self._face.annotations.add_annotation(**_fields(annotation)))

    def update_annotation(self, annotation_id: int, annotation: Annotation) -> None:
        """Replace all of an annotation."""
        update = self._face.annotations.update_annotation
        self._ask(lambda: update(annotation_id, **_fields(annotation)))

    def close(self) -> None:
        """Close the connections."""
        self._face.api.s.close()

    def _found(self, request: Callable[[], Any]) -> Document | None:
        try:
            return self._ask(request)
        except _MissingError:
            return None

    def _ask(self, request: Callable[[], Any]) -> Document:
        answer = self._answer(request)
        if not isinstance(answer, dict):
            raise self._no_grafana()
        return answer

    def _list(self, request: Callable[[], Any]) -> list[Document]:
        answer = self._answer(request)
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise self._no_grafana()
        return answer

    def _answer(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except GrafanaException as error:
            raise _refused(self.url, error) from None
        except (JSONDecodeError, TypeError):  # the library expects an object in every error
            raise self._no_grafana() from None
        except RequestException as error:
            raise GrafanaUnavailableError(
                f"no Grafana answers at {self.url} ({type(error).__name__})",
                hint="Check grafana.url, and that Grafana is running.",
            ) from None

    def _no_grafana(self) -> GrafanaError:
        return GrafanaRefusalError(
            f"{self.url} does not answer like Grafana's API",
            hint="Set grafana.url to the address of Grafana itself, without /api.",
        )


def _credentials(settings: GrafanaSettings) -> str | tuple[str, str]:
    if settings.token is not None:
        return settings.token.get_secret_value()
    if settings.user is not None and settings.password is not None:
        return settings.user, settings.password.get_secret_value()
    raise ConfigurationError("no way into Grafana is given", hint=f"Set {_CREDENTIALS}.")


def _refused(url: str, error: GrafanaException) -> GrafanaError:
    """What an answer of 400 or above means, in Grafana's own words where it has any."""
    status = int(error.status_code)
    said = error.response
    message = said.get("message") if isinstance(said, dict) else None
    text = f"{url} answered {status}" + (f": {str(message)[:300]}" if message else "")
    if not isinstance(error, GrafanaClientError) or status == 429:
        return GrafanaUnavailableError(text, hint="Try again; Grafana's log says more.")
    if status == 401:
        return GrafanaAccessError(text, hint=f"Check {_CREDENTIALS}.")
    if status == 403:
        return GrafanaAccessError(
            text,
            hint="Give the service account the role Admin (for data sources), or Editor (for the "
            "rest).",
        )
    if status == 404:
        return _MissingError(text)
    if status in (409, 412):
        return GrafanaConflictError(
            text, hint="Look at it with --dry-run, then push again, or rename what is in the way."
        )
    return GrafanaRefusalError(text)


def _part(text: str) -> str:
    """Text as a part of an address: the library pastes it in as it is."""
    return quote(text, safe="")


def _fields(annotation: Annotation) -> Document:
    return {
        "time_from": annotation.time_ms,
        "time_to": annotation.end_ms,
        "tags": list(annotation.tags),
        "text": annotation.text,
    }
