"""Merges that head office has lost while the relay takes them for done.

A standby that took over, or a backup of a moment ago, may lack the last merges before a crash. The ticks still agree,
so no new epoch begins; but the relay would not offer those uploads again, and their tills would wait for ever.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

import psycopg

from orchestrator import assets
from orchestrator.log import logger
from orchestrator.relay.client import CentralRelay

_log = logger("central.collect")


def offer_again(conn: psycopg.Connection, relay: CentralRelay) -> int:
    """Has the relay offer what was merged lately and is not known here; how many groups that were."""
    lately = relay.taken_lately()
    given = {"nodes": [node for node, _ in lately], "uids": [uid for _, uid in lately]}
    lost = conn.execute(assets.query("central/merge.not_taken"), given).fetchall()
    for node, groups in groupby(lost, key=itemgetter(0)):
        relay.offer_again(node, [uid for _, uid in groups])
    if lost:
        _log.warning("head office has lost merges that the relay knows of: they are made again", uploads=len(lost))
    return len(lost)
