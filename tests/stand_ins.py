"""Stand-ins for what notifications reach and no test may reach: Slack, group robots, a mail server.

Each listens on a free port of 127.0.0.1, answers as the real one's documents say, and keeps what it
was sent.
"""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import json
import threading
from collections import deque
from collections.abc import Callable
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

KEY = "key-of-the-wecom-robot"
ACCESS_TOKEN = "token-of-the-dingtalk-robot"
SECRET = "SEC-of-the-dingtalk-robot"
WECOM_LIMIT_BYTES = 4096


class Inbox:
    """What was received, in order; another thread waits for it."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._changed = threading.Condition()

    def put(self, item: Any) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def about(self, word: str) -> list[Any]:
        """All that holds the word."""
        with self._changed:
            return [item for item in self._items if word in text_of(item)]

    def wait_for(self, word: str, count: int, *, deadline_seconds: float = 60) -> list[Any]:
        """Wait for so many that hold the word; fails at the deadline."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.about(word)) >= count, deadline_seconds)
            found = self.about(word)
        assert len(found) >= count, f"{word}: {len(found)} of {count} came: {found}"
        return found


def text_of(item: Any) -> str:
    """Whatever was received as one text."""
    if isinstance(item, EmailMessage):
        return "\n".join([str(item["Subject"]), plain_of(item), html_of(item)])
    return json.dumps(item, ensure_ascii=False)


def plain_of(message: EmailMessage) -> str:
    """The text of an e-mail."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def html_of(message: EmailMessage) -> str:
    """The HTML of an e-mail."""
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


class Chats:
    """Slack's incoming webhook and both kinds of robots, each with an inbox.

    `wecom_codes` are the next answers of the WeCom robot; it takes messages when they are used up.
    """

    def __init__(self) -> None:
        self.slack, self.wecom, self.dingtalk = Inbox(), Inbox(), Inbox()
        self.wecom_codes: deque[int] = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.slack_url = f"{url}/services/T0/B0/secret"
        self.wecom_url = f"{url}/cgi-bin/webhook/send?key={KEY}"
        self.dingtalk_url = f"{url}/robot/send?access_token={ACCESS_TOKEN}"

    def __enter__(self) -> Chats:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _wecom(self, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, str]:
        if query["key"] != [KEY]:
            return 93000, "invalid webhook url"
        content = body["markdown"]["content"]
        if len(content.encode()) > WECOM_LIMIT_BYTES:
            return 40058, "markdown.content exceed max length 4096. invalid Request Parameter"
        if self.wecom_codes:
            return self.wecom_codes.popleft(), "system busy"
        self.wecom.put(content)
        return 0, "ok"

    def _dingtalk(self, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, str]:
        if query["access_token"] != [ACCESS_TOKEN]:
            return 300001, "token is not exist"
        signed = hmac.new(
            SECRET.encode(), f"{query['timestamp'][0]}\n{SECRET}".encode(), hashlib.sha256
        )
        if query["sign"] != [base64.b64encode(signed.digest()).decode()]:
            return 310000, "sign not match"
        self.dingtalk.put(body["markdown"])
        return 0, "ok"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        chats = self
        robots: dict[str, Callable[[dict[str, list[str]], dict[str, Any]], tuple[int, str]]] = {
            "/cgi-bin/webhook/send": self._wecom,
            "/robot/send": self._dingtalk,
        }

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                url = urlsplit(self.path)
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if url.path in robots:
                    code, said = robots[url.path](parse_qs(url.query), body)
                    answer = json.dumps({"errcode": code, "errmsg": said})
                    self._say("application/json", answer)
                else:
                    chats.slack.put(body)
                    self._say("text/plain", "ok")

            def _say(self, kind: str, answer: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output quiet."""

        return Handler


class MailServer:
    """Takes every e-mail; `address` is HOST:PORT."""

    def __init__(self, port: int) -> None:
        self.inbox = Inbox()
        self.address = f"127.0.0.1:{port}"
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """One e-mail."""
        assert isinstance(envelope.content, bytes)
        self.inbox.put(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 taken"
