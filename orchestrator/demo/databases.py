"""Databases on a server, be it the embedded one or one that somebody else runs."""

from __future__ import annotations

from typing import Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SUPERUSER = "postgres"


class Server(Protocol):
    """What the demo and the tests need of a PostgreSQL server."""

    def dsn(self, dbname: str = ..., user: str | None = ..., password: str | None = ...) -> str:
        """A connection string; without `user` the superuser's."""
        ...


class GivenServer:
    """A server that somebody else runs, named by a superuser's connection string."""

    def __init__(self, superuser_dsn: str) -> None:
        self._superuser_dsn = superuser_dsn

    def dsn(self, dbname: str = SUPERUSER, user: str | None = None, password: str | None = None) -> str:
        if user is None:
            return make_conninfo(self._superuser_dsn, dbname=dbname)
        kept = conninfo_to_dict(self._superuser_dsn)
        return make_conninfo("", **{**kept, "dbname": dbname, "user": user, "password": password})


def create_database(server: Server, name: str, *, owner: str | None = None) -> str:
    """Makes the empty database `name` and returns its superuser connection string."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    if owner is not None:
        statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(statement)
    return server.dsn(name)


def drop_database(server: Server, name: str) -> None:
    """Drops the database `name`, ending the sessions in it."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
