"""Head office and the relay come back from backups of the same moment, as those of one machine do."""

from __future__ import annotations

from contextlib import closing

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from orchestrator.demo.databases import Server
from orchestrator.postgres import connect
from tests.integration.cases.shop import Shop


def copied(server: Server, name: str, to: str) -> None:
    """One database becomes a copy of another, as a restore of the machine would make it."""
    with closing(psycopg.connect(server.dsn(), autocommit=True)) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(to)))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(to), sql.Identifier(name)))


class Machine:
    """Where both databases live. They are copied while nobody is connected."""

    def __init__(self, shop: Shop, server: Server) -> None:
        self.shop, self.server = shop, server
        self.central_dsn = shop.conn.info.dsn + f" password={shop.conn.info.password}"
        self.names = [shop.conn.info.dbname, str(conninfo_to_dict(shop.relay_dsn)["dbname"])]

    def back_up(self) -> None:
        self._quiet([(name, f"{name}_backup") for name in self.names])

    def restore(self) -> None:
        self._quiet([(f"{name}_backup", name) for name in self.names])
        for name in self.names:
            with closing(psycopg.connect(self.server.dsn(), autocommit=True)) as admin:
                admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(f"{name}_backup")))

    def _quiet(self, copies: list[tuple[str, str]]) -> None:
        for till in self.shop.tills.values():
            till.agent.close()
        self.shop.agent.close()
        self.shop.relay.close()
        self.shop.conn.close()
        for name, to in copies:
            copied(self.server, name, to)
        self.shop.conn = connect(self.central_dsn, "head office")
        self.shop.restart()
        for till in self.shop.tills.values():
            till.restart()


def test_what_was_answered_after_the_backup_is_sent_again(shop: Shop, pg: Server) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    machine = Machine(shop, pg)
    machine.back_up()
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    one.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', NULL, NULL)")
    shop.settle()
    assert shop.sql("SELECT sum(total) FROM turnover") == [(100,)]
    machine.restore()
    assert shop.sql("SELECT sum(total) FROM turnover") == [(None,)]
    one.sql("INSERT INTO closure VALUES (2, '2024-03-02', 50)")
    shop.settle()
    assert shop.sql("SELECT number, total FROM closure ORDER BY 1") == [(1, 100), (2, 50)]
    assert shop.sql("SELECT id FROM contact") == one.sql("SELECT id FROM contact") == [("c1",)]
