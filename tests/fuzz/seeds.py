"""Good inputs of each target, from which fuzzers start."""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path

from made_alerts import made_alert, made_mention, made_trend_point

EXAMPLES = Path(__file__).parents[2] / "examples"

MESSAGE = (
    b'{"id": "m1", "source": "wire", "kind": "news", "published_at": "2026-01-31T09:30:00+01:00",'
    b' "text": "Acme falls. Lehman \\ud83d\\ude00 rises.", "title": "Acme", "url": "https://x.org/1",'
    b' "author": "a", "language": "en", "audience": 12, "subjects": ["acme"]}'
)
PROGRESS = b'{"schema":"progress/1","expected":{"raw":2},"complete_until":{"raw":{"0":5,"1":7}}}'
BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
)


def seeds() -> dict[str, list[bytes]]:
    """By target's name."""
    rows = MESSAGE + b"\n" + MESSAGE.replace(b'"m1"', b"2") + b"\n"
    mention = made_mention().to_json()
    alert, point = made_alert().to_json(), made_trend_point().to_json()
    default_rules = (resources.files("undertone.alerting") / "default_rules.yaml").read_bytes()
    watchlists = [path.read_bytes() for path in sorted(EXAMPLES.glob("*watchlist*.yaml"))]
    yaml = [default_rules, *watchlists, BOMB]
    return {
        "raw_record": [MESSAGE, b"[1]", b"{}"],
        "watch_record": [mention, PROGRESS],
        "own_record": [alert, point],
        "watchlist": [*watchlists, b"subjects: *a\n", b"subjects:\n" + BOMB],
        "rules": [default_rules, (EXAMPLES / "rules.yaml").read_bytes(), BOMB],
        "settings": [path.read_bytes() for path in sorted(EXAMPLES.glob("*.yaml"))],
        "yaml_file": yaml,
        "csv_rows": [b'id,source,published_at,text\n1,w,2026-01-31T09:30:00Z,"a ""b""\nc"\n'],
        "json_rows": [rows],
        "gzip_rows": [gzip.compress(rows), gzip.compress(rows)[:-9]],
        "truth": [
            b"subject\tstart\tend\tdescription\nacme\t2026-01-31T09:30:00Z\t\tfalls\n",
            b'{"subject": "acme", "start": "2026-01-31T09:30:00Z", "description": "falls"}\n',
        ],
    }
