"""Backup and restore as the till's operator types them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.integration.cli.conftest import Command
from tests.integration.cli.place import Place
from tests.integration.cli.test_service import running, stopped, until

TILL = ("-c", "T1/till.toml")


def test_a_backup_goes_to_another_disk_and_comes_back(place: Place, command: Command) -> None:
    place.install("T1")
    place.on_till("T1", "INSERT INTO sale VALUES (1, '10')")
    medium = place.directory / "medium"
    command("backup", *TILL).said(2, "TS-888", "--to")
    command("backup", "--to", "medium", *TILL).said(2, "TS-888", "is not there")
    assert not medium.exists(), "a medium that is not in is not made up"
    medium.mkdir()
    command("backup", "--to", "medium", *TILL).said(2, "TS-887", "--same-device")
    assert "nothing done" in command("backup", "--to", "medium", "--same-device", "--dry-run", *TILL).out
    assert list(medium.iterdir()) == []
    another_disk_needs_no_word(place, command)
    toml = place.directory / "T1" / "till.toml"
    toml.write_text(f'{toml.read_text()}\n[backup]\ndirectory = "{medium.as_posix()}"\nsame_device = true\n')
    made = command("backup", *TILL, "--json").json
    assert (made["done"], made["node"], made["unsent"]) == (True, "T1", 1)
    assert Path(made["path"]).stat().st_mode & 0o077 == 0, "others can read it"
    (listed,) = command("backup", "--list", *TILL, "--json").json["backups"]
    assert listed["path"] == made["path"]
    assert made["path"] in command("backup", "--list", *TILL).out
    place.does("sync", "till", *TILL)
    assert command("status", "--json").json["branches"][0]["backup_at"] is not None
    place.on_till("T1", "INSERT INTO sale VALUES (2, '20')")
    command("restore", *TILL).said(6, "TS-893", "--yes")
    command("restore", "--yes", *TILL).said(6, "TS-892", "1 changes", "--force")
    place.does("sync", "till", *TILL)
    shown = command("restore", "--dry-run", *TILL)
    assert "nothing done" in shown.out
    assert place.on_till("T1", "SELECT count(*) FROM sale") == [(2,)]
    told = command("restore", "--yes", *TILL, "--json").json
    assert (told["path"], told["unsent_here"], told["is_whole"]) == (made["path"], 0, True)
    assert place.on_till("T1", "SELECT id FROM sale") == [(1,)]
    place.does("sync", "central")
    place.does("sync", "till", *TILL, "--until-idle")
    place.does("sync", "central", "--until-idle")
    assert place.on_till("T1", "SELECT id FROM sale ORDER BY 1") == [(1,), (2,)], "what was sent comes back"
    assert place.on_central("SELECT id, total FROM sale ORDER BY 1") == [(1, 10), (2, 20)]


def another_disk_needs_no_word(place: Place, command: Command) -> None:
    other = Path("/dev/shm")
    if other.is_dir() and other.stat().st_dev != place.directory.stat().st_dev:
        with tempfile.TemporaryDirectory(dir=other) as medium:
            assert command("backup", "--to", medium, *TILL).code == 0
            assert len(list(Path(medium).iterdir())) == 1


def test_the_service_makes_backups_beside_its_rounds(place: Place, command: Command) -> None:
    place.install("T1")
    medium = place.directory / "medium"
    medium.mkdir()
    toml = place.directory / "T1" / "till.toml"
    own = f'\n[backup]\ndirectory = "{medium.as_posix()}"\nsame_device = true\nevery_hours = 24\n'
    toml.write_text(toml.read_text() + own)
    with running(place, "run", "till", *TILL) as service:
        until(lambda: len(list(medium.glob("T1-*.db"))) == 1)
        assert any(line.get("event") == "backup made" for line in stopped(service))
    assert len(list(medium.iterdir())) == 1
