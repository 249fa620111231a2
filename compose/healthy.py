"""The health check of the agents' containers: is the agent at work? Asks where TILLSYNC_HTTP__LISTEN says."""

from __future__ import annotations

import os
import sys
from urllib.error import URLError
from urllib.request import urlopen

port = os.environ.get("TILLSYNC_HTTP__LISTEN", "").rpartition(":")[2] or "9470"
try:
    with urlopen(f"http://127.0.0.1:{port}/live", timeout=4) as answer:
        sys.exit(answer.status != 200)
except (URLError, OSError) as e:
    sys.exit(f"not live: {e}")
