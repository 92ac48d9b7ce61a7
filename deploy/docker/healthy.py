#!/usr/local/bin/python -IS
"""Exit 0 where HEALTH_URL (or the argument) answers 200, or where neither is given; else 1."""

import os
import sys
import urllib.error
import urllib.request

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("HEALTH_URL", "")
if url:
    try:
        # No proxy: what is asked stands in the same container.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=4) as answer:
            print(answer.status)
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read(500).decode(errors='replace').strip()}")
    except OSError as error:
        sys.exit(f"{url}: {error}")
