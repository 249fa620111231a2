"""What tills send becomes part of central: the short way, the long way, and each table's policy."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.merge.conftest import Office


def test_new_rows_go_in_parents_first_though_children_were_written_first(office: Office) -> None:
    office.run("INSERT INTO item VALUES (1, 'tea', 2)")
    till = office.till()
    till.insert("closure_line", number=1, line_no=1, item_id=1, quantity="2.500")
    till.insert("closure", number=1, day="2011-12-01", amount="5.00")
    till.push()
    done = office.collect()
    assert (done.moved, done.merged, done.conflicts, done.parked) == (1, 2, 0, 0)
    assert office.rows("SELECT till, number, amount::text FROM closure") == [("T1", 1, "5.00")]
    assert office.rows("SELECT till, number, line_no, quantity::text FROM closure_line") == [("T1", 1, 1, "2.500")]
    assert office.collect().moved == 0


def test_a_row_is_made_changed_and_deleted_in_several_uploads(office: Office) -> None:
    till = office.till()
    row = {
        "id": "c1",
        "name": "Ann",
        "email": "a@x",
        "photo": b"\x00\xff",
        "vip": 1,
        "since": "2011-12-01 10:00:00+00:00",
        "weight": 1.5,
        "notes": '{"a": 1}',
    }
    till.insert("contact", **row)
    till.push()
    office.collect()
    assert office.rows("SELECT id, name, photo, vip, weight, notes::text, credit::text FROM contact") == [
        ("c1", "Ann", b"\x00\xff", True, 1.5, '{"a": 1}', "5.00")
    ]
    row = till.update("contact", row, city="Rome", email=None)
    till.push()
    office.collect()
    assert office.rows("SELECT city, email FROM contact") == [("Rome", None)]
    till.delete("contact", **row)
    till.push()
    office.collect()
    assert office.rows("SELECT * FROM contact") == []
    assert office.rows("SELECT * FROM tillsync.conflict") == []
    assert office.echoes("contact") == [("T1", "c1")]


def test_several_changes_of_a_row_come_to_one(office: Office) -> None:
    till = office.till()
    row = {"id": "c1", "name": "Ann"}
    till.insert("contact", **row)
    row = till.update("contact", row, name="Bea")
    row = till.update("contact", row, city="Rome")
    till.insert("contact", id="c2", name="gone")
    till.delete("contact", id="c2", name="gone")
    till.push(parts=3)
    office.collect()
    assert office.rows("SELECT id, name, city FROM contact") == [("c1", "Bea", "Rome")]


def test_a_changed_key_is_a_delete_and_an_insert(office: Office) -> None:
    till = office.till()
    row = {"id": "c1", "name": "Ann"}
    till.insert("contact", **row)
    till.push()
    office.collect()
    till.update("contact", row, id="c9")
    till.push()
    office.collect()
    assert office.rows("SELECT id, name FROM contact") == [("c9", "Ann")]
    assert office.echoes("contact") == [("T1", "c1"), ("T1", "c9")]


def test_identity_that_central_always_generates_takes_the_tills_value(office: Office) -> None:
    till = office.till()
    till.insert("box", id=77, label="x")
    till.push()
    office.collect()
    assert office.rows("SELECT id, label FROM box") == [(77, "x")]


def test_a_change_of_a_table_that_only_goes_down_is_refused_and_echoed(office: Office) -> None:
    office.run("INSERT INTO item VALUES (1, 'tea', 2)")
    till = office.till()
    till.update("item", {"id": 1, "name": "tea", "price": "2.00"}, price="1.00")
    till.push()
    done = office.collect()
    assert done.conflicts == 1
    assert office.rows("SELECT price::text FROM item") == [("2.00",)]
    assert office.echoes("item") == [("T1", 1)]
    assert office.rows("SELECT policy, winner, columns, base->>'price', theirs->>'price' FROM tillsync.conflict") == [
        ("down", "central", ["price"], "2.00", "1.00")
    ]


def test_an_update_touches_only_the_columns_that_changed(office: Office) -> None:
    office.run(
        """CREATE TABLE seen (what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_ARGV[0]); RETURN NULL; END $$;
        CREATE TRIGGER a AFTER UPDATE OF name ON contact FOR EACH STATEMENT EXECUTE FUNCTION note('name');
        CREATE TRIGGER b AFTER UPDATE OF city ON contact FOR EACH STATEMENT EXECUTE FUNCTION note('city');
        INSERT INTO contact (id, name) VALUES ('c1', 'Ann'), ('c2', 'Bea')"""
    )
    till = office.till()
    till.update("contact", {"id": "c1", "name": "Ann"}, city="Rome")
    till.update("contact", {"id": "c2", "name": "Bea"})
    till.push()
    office.collect()
    assert office.rows("SELECT what FROM seen") == [("city",)]


def test_another_spelling_of_the_same_value_is_no_conflict(office: Office) -> None:
    office.run("INSERT INTO stock VALUES (1, 10, 'A')")
    till = office.till()
    till.update("stock", {"item_id": 1, "qty": "10.000", "place": "A"}, place="B")
    till.update("stock", {"item_id": 1, "qty": "10", "place": "B"}, qty="10.0")
    till.push()
    assert office.collect().conflicts == 0
    assert office.rows("SELECT qty::text, place FROM stock") == [("10.000", "B")]


def test_values_of_a_column_that_the_plan_dropped_are_left_out(open_office: Callable[..., Office]) -> None:
    from msgspec.structs import replace

    office = open_office()
    till = office.till()
    till.insert("contact", id="c1", name="Ann", city="Rome")
    till.push()
    channels = list(office.plan.channels)
    tables = [
        replace(t, columns=tuple(c for c in t.columns if c.name != "city")) if t.name == "public.contact" else t
        for t in channels[2].tables
    ]
    channels[2] = replace(channels[2], tables=tuple(tables))
    office.plan = replace(office.plan, channels=tuple(channels))
    office.collect()
    assert office.rows("SELECT id, name, city FROM contact") == [("c1", "Ann", None)]
