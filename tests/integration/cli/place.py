"""A small chain as a DBA sets it up: two databases, a till's file, two settings files, and the commands."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import psycopg

from orchestrator.cli import main

SECRET = "s3cr3t-of-head-office"
TILLSYNC = Path(sys.executable).with_name("tillsync.exe" if os.name == "nt" else "tillsync")

CENTRAL_TABLES = """
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price numeric(12,4), purchase_price numeric(12,4), store_id int);
CREATE TABLE sale (till text, id int, total numeric(12,2) NOT NULL, PRIMARY KEY (till, id));
INSERT INTO item VALUES (1, 'apple', 1.5, 1, 1), (2, 'pear', 2.5, 1, 2), (3, 'plum', 3.5, 1, 1);
"""
TILL_TABLES = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price TEXT, store_id INTEGER);
CREATE TABLE sale (id INTEGER PRIMARY KEY, total TEXT NOT NULL);
"""
SETTINGS = Template("""
poll_ms = 50

[central]
dsn = "$central"

[relay]
dsn = "$relay"

[parameters]
store_id = "integer"

[[channel]]
name = "catalogue"
direction = "down"

[[channel.table]]
name = "item"
exclude = ["purchase_price"]
filter = "store_id = :store_id"

[[channel]]
name = "sales"
direction = "up"

[[channel.table]]
name = "sale"
set = { till = ":node" }
""")


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def said(self, code: int, *words: str) -> str:
        """The one line of a failure: the exit code is this, and the line has these words."""
        assert self.code == code, self
        lines = [line for line in self.err.splitlines() if not line.startswith("{")]  # a service also logs
        assert len(lines) == 1, self.err
        assert lines[0].startswith("TS-"), lines
        assert all(word.lower() in lines[0].lower() for word in words), lines
        return lines[0]


@dataclass(frozen=True)
class Place:
    """One directory with everything in it."""

    directory: Path
    central_dsn: str
    relay_admin_dsn: str
    relay_dsn: str

    @property
    def settings(self) -> Path:
        return self.directory / "tillsync.toml"

    def write_settings(self, *changes: tuple[str, str], **dsns: str) -> None:
        """The settings file, with its DSNs or others, and texts replaced."""
        text = SETTINGS.substitute({"central": self.central_dsn, "relay": self.relay_dsn, **dsns})
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.settings.write_text(text, encoding="utf-8")

    def till(self, node: str) -> Path:
        """The till's directory, with its application's file."""
        directory = self.directory / node
        if not directory.exists():
            directory.mkdir()
            self.on_till(node, TILL_TABLES)
        return directory

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        """A command as a process of its own, in the directory."""
        ended = subprocess.run(
            [str(TILLSYNC), *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=self.directory,
            env={**os.environ, **(environment or {})},
            timeout=120,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def command(self, *arguments: str) -> Ended:
        """As `run`, but in this process, which is quicker."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.directory), redirect_stdout(out), redirect_stderr(err):
            code = main.run(arguments)
        assert SECRET not in out.getvalue() + err.getvalue(), "a secret was printed"
        return Ended(code, out.getvalue(), err.getvalue())

    def does(self, *arguments: str) -> Ended:
        """As `command`; it succeeds."""
        ended = self.command(*arguments)
        assert ended.code == 0, ended
        return ended

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on."""
        return subprocess.Popen(
            [str(TILLSYNC), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
        )

    def install(self, *nodes: str, store: int = 1) -> None:
        """Central, the relay, and tills of one store."""
        self.does("install", "central")
        self.does("install", "relay", "--admin-dsn", self.relay_admin_dsn)
        for node in nodes:
            out = str(self.till(node) / "till.toml")
            self.does("branch", "add", node, "--set", f"store_id={store}", "--out", out)
            self.does("install", "till", "-c", out)

    def on_central(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.central_dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def on_relay(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.relay_admin_dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def on_till(self, node: str, script: str) -> list[tuple[Any, ...]]:
        """Statements as the till's application runs them; the rows of the last one if it is a query."""
        connection = sqlite3.connect(self.directory / node / "pos.db")
        try:
            if script.lstrip().upper().startswith("SELECT"):
                return connection.execute(script).fetchall()
            connection.executescript(script)
            return []
        finally:
            connection.close()

    def is_bare(self) -> bool:
        """Is nothing of ours at central and at the relay?"""
        central = self.on_central("SELECT to_regnamespace('tillsync')")
        relay = self.on_relay("SELECT to_regnamespace('relay')")
        return central == relay == [(None,)]
