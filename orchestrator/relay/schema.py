"""Installing the sync server: its tables, its functions, who may call them, and central's account."""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from orchestrator import assets
from orchestrator.errors import ConfigError
from orchestrator.postgres import connect, place_of, translated


def script() -> str:
    """The whole script for a DBA who runs it himself; running it again changes nothing."""
    functions = sorted(assets.path("sql/relay/functions").glob("*.sql"), key=lambda f: (f.stem != "caller", f.stem))
    parts = [
        assets.text("sql/relay/roles.sql"),
        "CREATE SCHEMA IF NOT EXISTS relay;",
        assets.text("sql/relay/schema.sql"),
    ]
    parts += [f.read_text(encoding="utf-8") for f in functions]
    return "\n".join([*parts, assets.text("sql/relay/grants.sql")])


def full_script(central_dsn: str) -> str:
    """`script` with central's registration. It has no password: a login that it makes gets one from the DBA."""
    user = sql.Literal(str(conninfo_to_dict(central_dsn).get("user") or ""))
    return script() + sql.SQL(assets.template("sql/relay/central_account.sql")).format(user=user).as_string()


def install(admin_dsn: str, central_dsn: str) -> None:
    """Install into the database of `admin_dsn`, and register the user of `central_dsn` as central, in one transaction.

    The admin needs CREATEROLE and ownership of the database. Central's login is made where it does not exist, with the
    password of `central_dsn`. Raises ConfigError TS-410 where the two DSNs lead to different databases.
    """
    with connect(admin_dsn, "tillsync install") as conn, translated(place_of(admin_dsn)), conn.transaction():
        install_on(conn, central_dsn)


def install_on(conn: psycopg.Connection, central_dsn: str) -> None:
    """As `install`, within the caller's transaction."""
    central = conninfo_to_dict(central_dsn)
    if (central.get("dbname") or conn.info.dbname) != conn.info.dbname:
        raise ConfigError(
            "TS-410",
            f"the admin's DSN leads to database {conn.info.dbname}, central's to {central.get('dbname')}",
            hint="both must name the relay's database",
        )
    conn.execute(script().encode())
    _register_central(conn, str(central.get("user") or conn.info.user), central.get("password"))


def uninstall(admin_dsn: str) -> None:
    """Remove the schema, every branch's login, and what the installation took from PUBLIC or gave to the groups."""
    with connect(admin_dsn, "tillsync uninstall") as conn, translated(place_of(admin_dsn)), conn.transaction():
        uninstall_on(conn)


def uninstall_on(conn: psycopg.Connection) -> None:
    """As `uninstall`, within the caller's transaction. Groups that other relays of the cluster use stay."""
    if conn.execute("SELECT to_regnamespace('relay')").fetchone() == (None,):
        return
    logins = conn.execute("SELECT role FROM relay.account WHERE kind = 'branch'").fetchall()
    conn.execute("DROP SCHEMA relay CASCADE")
    for (login,) in logins:
        conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(login)))
    conn.execute(assets.text("sql/relay/uninstall.sql"))


def _register_central(conn: psycopg.Connection, user: str, password: object) -> None:
    if conn.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", [user]).fetchone() is None:
        if not password:
            raise ConfigError(
                "TS-411",
                f"central's login {user} does not exist and [relay] dsn has no password to make it with",
                hint="add one",
            )
        verifier = conn.pgconn.encrypt_password(str(password).encode(), user.encode(), b"scram-sha-256").decode()
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(user), sql.Literal(verifier)))
    conn.execute(sql.SQL("GRANT tillsync_central TO {}").format(sql.Identifier(user)))
    conn.execute(
        "INSERT INTO relay.account (role, node, kind) VALUES (%s, 'central', 'central') ON CONFLICT (role) DO NOTHING",
        [user],
    )
