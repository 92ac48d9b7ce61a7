"""A stand-in for Grafana: the endpoints that undertone uses, as its HTTP API documents them.

It answers the documented statuses, bodies and errors: 401 and 403, folders and dashboards with
versions (412), data sources (409), search, annotations with their limit of tags. It is not
Grafana; no test here has seen a real one.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ADMIN_TOKEN = "glsa_admin_only_for_tests"
VIEWER_TOKEN = "glsa_viewer_only_for_tests"
USER, PASSWORD = "admin", "only-for-tests"
TAGS_LENGTH = 500  # the default of [annotations] tags_length

Answer = tuple[int, Any]
Document = dict[str, Any]


def _said(code: int, message: str, **more: Any) -> Answer:
    return code, {"message": message, **more}


@dataclass
class Grafana:
    """What this Grafana holds, and what was written to it."""

    prefix: str = ""
    url: str = ""
    folders: dict[str, Document] = field(default_factory=dict)
    data_sources: dict[str, Document] = field(default_factory=dict)
    dashboards: dict[str, Document] = field(default_factory=dict)  # {"dashboard", "meta"}
    annotations: dict[int, Document] = field(default_factory=dict)
    writes: list[tuple[str, str]] = field(default_factory=list)
    # Called before each request is answered; what it returns is answered instead.
    disturb: Callable[[str, str], Answer | str | None] = lambda _method, _path: None

    def answer(self, method: str, target: str, headers: Any, body: Any) -> Answer | str:
        """Status and JSON of an answer; a text is answered as HTML."""
        address = urlsplit(target)
        path = [unquote(part) for part in address.path.removeprefix(self.prefix).split("/")[2:]]
        if (disturbed := self.disturb(method, address.path)) is not None:
            return disturbed
        role = _role(headers.get("Authorization", ""))
        if role is None:
            return _said(401, "Invalid API key")
        if role == "Viewer" and method != "GET":
            return _said(403, "You'll need additional permissions to perform this action.")
        if method != "GET":
            self.writes.append((method, "/".join(path)))
        query = parse_qs(address.query)
        match method, path:
            case "GET", ["folders", uid]:
                return _found(self.folders.get(uid), "folder not found")
            case "POST", ["folders"]:
                return self._create_folder(body)
            case "PUT", ["folders", uid]:
                return self._update_folder(uid, body)
            case "GET", ["datasources", "uid", uid]:
                return _found(self.data_sources.get(uid), "Data source not found")
            case "POST", ["datasources"]:
                return self._create_data_source(body)
            case "PUT", ["datasources", "uid", uid]:
                return self._update_data_source(uid, body)
            case "GET", ["dashboards", "uid", uid]:
                return _found(self.dashboards.get(uid), "Dashboard not found")
            case "POST", ["dashboards", "db"]:
                return self._save_dashboard(body)
            case "GET", ["search"]:
                return 200, list(self._search(query))
            case "GET", ["annotations"]:
                return 200, self._find_annotations(query)
            case "POST", ["annotations"]:
                return self._save_annotation(len(self.annotations) + 1, body, "added")
            case "PUT", ["annotations", number]:
                if int(number) not in self.annotations:
                    return _said(404, "Annotation not found")
                return self._save_annotation(int(number), body, "updated")
        return _said(404, "Not found")

    def _create_folder(self, body: Document) -> Answer:
        if not body.get("title"):
            return _said(400, "folder title cannot be empty")
        if body["uid"] in self.folders:
            return _said(409, "a folder with the same name already exists")
        self.folders[body["uid"]] = {**body, "id": len(self.folders) + 1, "version": 1}
        return 200, self.folders[body["uid"]]

    def _update_folder(self, uid: str, body: Document) -> Answer:
        folder = self.folders.get(uid)
        if folder is None:
            return _said(404, "folder not found")
        if body.get("version") != folder["version"] and not body.get("overwrite"):
            changed = "the folder has been changed by someone else"
            return _said(412, changed, status="version-mismatch")
        folder |= {"title": body["title"], "version": folder["version"] + 1}
        return 200, folder

    def _create_data_source(self, body: Document) -> Answer:
        if any(body["name"] == other["name"] for other in self.data_sources.values()):
            return _said(409, "data source with the same name already exists")
        made = {"id": len(self.data_sources) + 1, "version": 1, "readOnly": False, "orgId": 1}
        secure = dict.fromkeys(body.pop("secureJsonData", {}), True)
        self.data_sources[body["uid"]] = {**body, **made, "secureJsonFields": secure}
        return 200, {"datasource": self.data_sources[body["uid"]], "message": "Datasource added"}

    def _update_data_source(self, uid: str, body: Document) -> Answer:
        known = self.data_sources.get(uid)
        if known is None:
            return _said(404, "Data source not found")
        if known["readOnly"]:
            return _said(403, "Cannot update read-only data source")
        if body.get("version") not in (None, known["version"]):
            return _said(409, "Datasource has already been updated by someone else. Please reload")
        secure = known["secureJsonFields"]
        self.data_sources[uid] = {
            **body,
            "id": known["id"],
            "version": known["version"] + 1,
            "secureJsonFields": secure,
        }
        return 200, {"datasource": self.data_sources[uid], "message": "Datasource updated"}

    def _save_dashboard(self, body: Document) -> Answer:
        dashboard, folder = body["dashboard"], body.get("folderUid", "")
        if not dashboard.get("title"):
            return _said(400, "Dashboard title cannot be empty")
        if folder and folder not in self.folders:
            return _said(400, "folder not found", status="not-found")
        uid, known = dashboard["uid"], self.dashboards.get(dashboard["uid"])
        if known is None:
            version, number = 1, len(self.dashboards) + 1
        else:
            if known["meta"].get("provisioned"):
                return _said(400, "Cannot save provisioned dashboard")
            number, version = known["dashboard"]["id"], known["dashboard"]["version"] + 1
            if not body.get("overwrite"):
                if dashboard.get("id") is None:
                    exists = "A dashboard with the same uid already exists"
                    return _said(412, exists, status="name-exists")
                if dashboard.get("version") != version - 1:
                    changed = "The dashboard has been changed by someone else"
                    return _said(412, changed, status="version-mismatch")
        stored = {**dashboard, "id": number, "version": version}
        meta = {"folderUid": folder, "provisioned": False, "slug": uid}
        self.dashboards[uid] = {"dashboard": stored, "meta": meta}
        return 200, {"id": number, "uid": uid, "status": "success", "version": version}

    def _search(self, query: dict[str, list[str]]) -> Iterator[Document]:
        for uid, held in self.dashboards.items():
            if set(query.get("tag", [])) <= set(held["dashboard"].get("tags", [])):
                title = held["dashboard"]["title"]
                yield {"uid": uid, "title": title, "type": "dash-db", **held["meta"]}

    def _find_annotations(self, query: dict[str, list[str]]) -> list[Document]:
        wanted = set(query.get("tags", []))
        held = [item for item in self.annotations.values() if wanted <= set(item["tags"])]
        return held[: int(query.get("limit", ["100"])[0])]

    def _save_annotation(self, number: int, body: Document, done: str) -> Answer:
        if not body.get("text"):
            return _said(400, "Failed to save annotation")
        tags = body.get("tags") or []
        if sum(len(tag) + 3 for tag in tags) + 1 > TAGS_LENGTH:
            return _said(400, "Tags length exceeds the maximum allowed.")
        time_ms = body.get("time") or 0
        self.annotations[number] = {
            "id": number,
            "time": time_ms,
            "timeEnd": body.get("timeEnd") or time_ms,
            "tags": tags,
            "text": body["text"],
        }
        return 200, {"message": f"Annotation {done}", "id": number}


def _found(document: Document | None, otherwise: str) -> Answer:
    return (200, document) if document is not None else _said(404, otherwise)


def _role(authorization: str) -> str | None:
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    known = {
        f"Bearer {ADMIN_TOKEN}": "Admin",
        f"Bearer {VIEWER_TOKEN}": "Viewer",
        f"Basic {basic}": "Admin",
    }
    return known.get(authorization)


@contextmanager
def grafana(prefix: str = "") -> Iterator[Grafana]:
    """A stand-in that listens on a free port of 127.0.0.1, below `prefix`, until the block ends."""
    held = Grafana(prefix)

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            answer = held.answer(self.command, self.path, self.headers, body)
            status, data = (200, answer) if isinstance(answer, str) else answer
            page = isinstance(data, str)
            encoded = data.encode() if page else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if page else "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def do_GET(self) -> None:
            self._take()

        def do_POST(self) -> None:
            self._take()

        def do_PUT(self) -> None:
            self._take()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_port}{prefix}"
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
