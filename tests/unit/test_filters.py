"""The language of filters: what is taken, what is refused and how it is said, and the SQL that comes out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.core.filter_language import FUNCTION_NAMES
from orchestrator.core.filters import Dependency, Filter, Reach, TableInfo, parse_filter
from orchestrator.errors import ConfigError

DOCS = Path(__file__).parents[2] / "docs" / "filters.md"
ITEM = {
    "id": "integer",
    "name": "text",
    "price": "numeric(10,2)",
    "group_id": "integer",
    "active": "boolean",
    "valid_from": "timestamp with time zone",
    'Odd "Name': "text",
}
CATALOG = {
    t.name: t
    for t in (
        TableInfo("public.item", ITEM, ("id",)),
        TableInfo(
            "public.item_store", {"item_id": "integer", "store_id": "integer", "note": "text"}, ("item_id", "store_id")
        ),
        TableInfo("public.store", {"id": "integer", "region": "text", "open": "boolean"}, ("id",)),
        TableInfo("public.item_group", {"id": "integer", "parent_id": "integer", "shared": "boolean"}, ("id",)),
        TableInfo("public.excluded", {"id": "integer", "item_id": "integer", "reason": "text"}, ("id",)),
        TableInfo("extra.store", {"id": "integer", "colour": "text"}, ("id",)),
        TableInfo("public.Mixed Case", {"Id": "integer"}, ("Id",)),
    )
}
PARAMETERS = {"store_id": "integer", "group_id": "integer", "price_group": "text", "regions": "text[]"}


def parsed(text: str) -> Filter:
    return parse_filter(text, "public.item", CATALOG, PARAMETERS)


def predicate(text: str) -> str:
    return parsed(text).predicate("r", "s")


def reach(text: str) -> list[Reach]:
    return parsed(text).reach("r", "s", lambda table, columns: table.replace(".", "_") + "_delta")


# --- what comes out


def test_a_filter_knows_what_it_looks_at() -> None:
    f = parsed(
        "active AND EXISTS (SELECT s.note FROM item_store s WHERE s.item_id = item.id AND s.store_id = :store_id)"
    )
    assert f.parameters == {"store_id"}
    assert f.columns == ("id", "active")
    # What EXISTS lists does not matter, so `note` is no routing column.
    assert f.dependencies == (Dependency("public.item_store", ("item_id", "store_id")),)


def test_predicate_of_the_shared_example() -> None:
    text = "active AND EXISTS (SELECT 1 FROM item_store s WHERE s.item_id = item.id AND s.store_id = :store_id)"
    assert predicate(text) == (
        '("r"."active" AND EXISTS(SELECT 1 FROM "public"."item_store" AS "sub1" '
        'WHERE "sub1"."item_id" = "r"."id" AND "sub1"."store_id" = "s"."p_store_id"))'
    )
    assert reach(text) == [
        Reach(
            "public.item_store",
            '"public_item_store_delta" AS "sub1"',
            '("sub1"."item_id" = "r"."id") AND ("sub1"."store_id" = "s"."p_store_id") AND ("r"."active")',
        )
    ]


def test_an_in_that_only_has_to_be_true_is_asked_as_exists() -> None:
    kept = predicate("id IN (SELECT item_id FROM item_store WHERE store_id = :store_id OR note IS NULL)")
    assert kept == (
        '(EXISTS(SELECT 1 FROM "public"."item_store" AS "sub1" WHERE ("sub1"."store_id" = "s"."p_store_id"'
        ' OR "sub1"."note" IS NULL) AND ("r"."id") = ("sub1"."item_id")))'
    )
    for text in (
        "NOT id IN (SELECT item_id FROM item_store)",
        "id NOT IN (SELECT item_id FROM item_store)",
        "(id IN (SELECT item_id FROM item_store)) IS NULL",
        "id IN (SELECT max(item_id) FROM item_store GROUP BY store_id)",
    ):
        assert "EXISTS" not in predicate(text), text
    nested = predicate("id IN (SELECT item_id FROM item_store WHERE store_id IN (SELECT id FROM store WHERE open))")
    assert nested.count("EXISTS") == 2
    assert " IN " not in nested


def test_reach_reads_the_other_tables_in_both_worlds() -> None:
    found = reach(
        "id IN (SELECT s.item_id FROM item_store s JOIN store t ON t.id = s.store_id AND t.open WHERE t.region = ANY(:regions))"
    )
    where = (
        '("sub2"."region" = ANY("s"."p_regions")) AND ("sub2"."id" = "sub1"."store_id") AND ("sub2"."open")'
        ' AND (("r"."id") = ("sub1"."item_id"))'
    )
    assert found == [
        Reach(
            "public.item_store",
            '"public_item_store_delta" AS "sub1", (SELECT "id", "open", "region" FROM "public"."store"'
            ' UNION ALL SELECT "id", "open", "region" FROM "public_store_delta") AS "sub2"',
            where,
        ),
        Reach(
            "public.store",
            '(SELECT "item_id", "store_id" FROM "public"."item_store"'
            ' UNION ALL SELECT "item_id", "store_id" FROM "public_item_store_delta") AS "sub1", "public_store_delta" AS "sub2"',
            where,
        ),
    ]


def test_reach_leaves_out_tables_without_a_change() -> None:
    f = parsed("EXISTS (SELECT 1 FROM item_store s, store t WHERE s.item_id = item.id AND t.id = s.store_id)")
    found = f.reach("r", "s", lambda table, columns: None if table == "public.store" else "d")
    assert [r.sql_from for r in found] == ['"d" AS "sub1", "public"."store" AS "sub2"']


def test_reach_keeps_what_holds_beside_a_subquery_and_nothing_else() -> None:
    (kept,) = reach("active AND (price > 3 OR (name = 'x' AND EXISTS (SELECT 1 FROM store WHERE id = item.group_id)))")
    assert kept.sql_where == """("sub1"."id" = "r"."group_id") AND ("r"."active") AND ("r"."name" = 'x')"""
    (dropped,) = reach("active AND NOT (name = 'x' AND EXISTS (SELECT 1 FROM store WHERE id = item.group_id))")
    assert dropped.sql_where == '("sub1"."id" = "r"."group_id") AND ("r"."active")'


def test_reach_of_a_list_that_may_hold_null_asks_for_null_too() -> None:
    wheres = [r.sql_where for r in reach("id NOT IN (SELECT item_id FROM excluded)")]
    assert wheres == ['(("r"."id") = ("sub1"."item_id"))', '(("sub1"."item_id") IS NULL)']
    # Key columns are never NULL, and where only truth counts NULL is as good as false.
    assert len(reach("id NOT IN (SELECT id FROM excluded)")) == 1
    assert len(reach("active AND id IN (SELECT item_id FROM excluded)")) == 1


def test_reach_of_an_aggregate_is_by_its_rows_not_by_its_value() -> None:
    (found,) = reach("id IN (SELECT max(item_id) FROM excluded WHERE reason = :price_group)")
    assert found.sql_where == '("sub1"."reason" = "s"."p_price_group")'
    (untied,) = reach("price > (SELECT count(*) FROM store)")
    assert untied.sql_where == "TRUE"
    (grouped,) = reach("id IN (SELECT item_id FROM item_store GROUP BY item_id HAVING count(*) > 1)")
    assert grouped.sql_where == '(("r"."id") = ("sub1"."item_id"))'


def test_reach_walks_up_through_every_level() -> None:
    found = reach(
        "EXISTS (SELECT 1 FROM item_group g WHERE g.id = item.group_id AND EXISTS"
        " (SELECT 1 FROM store t WHERE t.id = g.parent_id AND t.region = item.name))"
    )
    inner = next(r for r in found if r.dependency == "public.store")
    assert inner.sql_from == (
        '"public_store_delta" AS "sub2", (SELECT "id", "parent_id" FROM "public"."item_group"'
        ' UNION ALL SELECT "id", "parent_id" FROM "public_item_group_delta") AS "sub1"'
    )
    assert inner.sql_where == (
        '("sub2"."id" = "sub1"."parent_id") AND ("sub2"."region" = "r"."name") AND ("sub1"."id" = "r"."group_id")'
    )


def test_a_table_used_twice_and_the_filtered_table_itself() -> None:
    f = parsed("price >= (SELECT max(i.price) FROM item i, item j WHERE i.group_id = item.group_id AND j.id = i.id)")
    assert f.dependencies == (Dependency("public.item", ("id", "price", "group_id")),)
    assert [r.dependency for r in reach(f.text)] == ["public.item", "public.item"]


def test_the_authors_aliases_collide_with_nothing() -> None:
    text = "EXISTS (SELECT 1 FROM item_store r, store s WHERE r.item_id = item.id AND s.id = :store_id)"
    assert parsed(text).predicate("r", "s") == parsed(text.replace(" r,", " a,").replace("r.", "a.")).predicate(
        "r", "s"
    )
    assert '"inner_sub1"."item_id" = "sub1"."id"' in parsed(text).predicate("sub1", "s")


def test_names_resolve_as_in_postgresql() -> None:
    assert '"sub1"."id" = "sub1"."id"' in predicate("EXISTS (SELECT 1 FROM store WHERE id = store.id)")
    assert '"sub1"."open" AND "r"."active"' in predicate("EXISTS (SELECT 1 FROM store item WHERE item.open AND active)")
    assert '"r"."id"' in predicate("PUBLIC.Item.ID = 1")
    assert '"extra"."store"' in predicate("EXISTS (SELECT 1 FROM extra.store WHERE colour = 'red')")
    assert '"sub1"."Id"' in predicate('EXISTS (SELECT 1 FROM "Mixed Case" m WHERE m."Id" = 1)')
    assert '"r"."Odd ""Name"' in predicate('"Odd ""Name" IS NULL')


def test_text_is_text_and_comments_are_gone() -> None:
    said = predicate("name = 'it''s -- \"no\" /* comment */ ; {x} %s' /* a; drop table item */ -- b")
    assert said == """("r"."name" = 'it''s -- "no" /* comment */ ; {x} %s')"""


def test_the_whole_filter_is_one_operand() -> None:
    assert predicate("active OR price > 3") == '("r"."active" OR "r"."price" > 3)'


def test_lists_are_asked_with_any_and_all() -> None:
    assert predicate("name = ANY(:regions)") == '("r"."name" = ANY("s"."p_regions"))'
    assert predicate("name <> ALL(:regions)") == '("r"."name" <> ALL ("s"."p_regions"))'


def test_the_question_is_the_authors_text_with_typed_nulls() -> None:
    f = parsed("price::integer = :store_id -- ours\nAND name = ':store_id'")
    assert f.question() == (
        'EXPLAIN SELECT FROM "public"."item" WHERE (price::integer = CAST(NULL AS integer) -- ours\n'
        "AND name = ':store_id'\n)"
    )


# --- what is taken

TAKEN = [
    "true",
    "active",
    "price BETWEEN 1 AND 2.5 AND name NOT LIKE 'a!%' ESCAPE '!' AND name ILIKE '%x'",
    "active IS NOT TRUE OR active IS NULL OR price IS DISTINCT FROM 3",
    "CASE WHEN active THEN price > 1 ELSE name = 'x' END",
    "CASE group_id WHEN 1 THEN true ELSE false END",
    "lower(trim(name)) || upper(left(name, 1)) = substring(name, 1, 3) OR right(name, 2) = concat(name, 'x')",
    "length(replace(name, 'a', 'b')) + position('x' in name) > 3 AND starts_with(name, 'x')",
    "abs(price) + sign(price) + round(price, 1) + trunc(price) + floor(price) + ceil(price) > 0",
    "greatest(price, 1) + (SELECT max(id) FROM store) = least(price, 2) AND coalesce(price, 0) = nullif(price, 1)",
    "date_trunc('day', valid_from) = '2026-01-01' AND extract(year FROM valid_from) = 2026",
    "valid_from::date = date '2026-01-01' AND price::integer = 3 AND id::text = '3' AND (id + 1)::numeric(10,2) > 1",
    "price / 2 > 1 AND price % 2 = 0 AND price / NULLIF(group_id, 0) > 1 AND -price < 1",
    "(id, group_id) NOT IN (SELECT item_id, store_id FROM item_store)",
    "id = ANY (SELECT item_id FROM item_store) AND price > ALL (SELECT id FROM store)",
    "id IN ((SELECT item_id AS x FROM item_store))",
    "EXISTS (SELECT FROM store) AND EXISTS (SELECT DISTINCT * FROM store) AND EXISTS (SELECT t.* FROM store t)",
    "price > (SELECT sum(price) FILTER (WHERE active) - min(price) FROM item WHERE group_id = 3)",
    "3 = (SELECT count(DISTINCT note) FROM item_store) AND (SELECT bool_and(open) OR bool_or(open) FROM store)",
    "price > (SELECT avg(id) FROM store HAVING count(*) > 1)",
    "(SELECT shared FROM item_group WHERE item_group.id = item.group_id)",
    "'x' = (SELECT note FROM item_store WHERE store_id = :store_id AND item.id = item_id)",
    "EXISTS (SELECT 1 FROM item_store, store JOIN item_group ON item_group.id = store.id CROSS JOIN excluded)",
]


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str) -> None:
    f = parsed(text)
    assert f.predicate("r", "s")
    assert all(r.sql_from and r.sql_where for r in reach(text))


def test_every_listed_function_is_tried_here() -> None:
    assert {name for name in FUNCTION_NAMES if not any(name in text for text in TAKEN)} == set()


# --- what is refused

REFUSED = [
    ("", "TS-201", "", "empty"),
    ("active AND", "TS-201", "", "does not parse"),
    ("active\nAND price >> ", "TS-201", "", "does not parse"),
    ("price = 'x", "TS-201", "", "does not parse"),
    ("active; DROP TABLE item", "TS-201", "1:9", "does not parse"),
    ("active active2", "TS-201", "1:8", "does not parse"),
    ("SELECT 1", "TS-201", "1:1", "does not parse"),
    ("coalesce(price, ) = 1", "TS-201", "1:17", "does not parse at ')'"),
    ("CASE WHEN active price > 1 ELSE false END", "TS-201", "1:28", "does not parse at 'ELSE'"),
    ("extract(year FROM valid_from = 2026", "TS-201", "1:8", "'(' is not closed"),
    ("name IN ('a' 'b')", "TS-201", "1:14", "does not parse at ''b''"),
    ("EXISTS (SELECT 1 FROM store JOIN item)", "TS-201", "1:29", "a JOIN without ON"),
    ("+ active", "TS-201", "1:1", "does not parse at '+'"),
    ("(" * 3000 + "active" + ")" * 3000, "TS-201", "", "too deep"),
    ("active OR " * 3000 + "active", "TS-201", "", "characters"),
    ("EXISTS (SELECT 1 FROM item_stor)", "TS-202", "1:23", "did you mean public.item_store?"),
    ("itm.price > 1", "TS-202", "1:1", "did you mean item?"),
    ("EXISTS (SELECT 1 FROM pg_catalog.pg_class)", "TS-202", "1:23", "no table pg_catalog.pg_class"),
    (
        "EXISTS (SELECT 1 FROM item_store s WHERE item_store.item_id = 1)",
        "TS-202",
        "1:42",
        "nothing is called item_store",
    ),
    ("EXISTS (SELECT 1 FROM store s WHERE public.s.open)", "TS-202", "1:37", "nothing is called public.s"),
    ("activ", "TS-203", "1:1", "did you mean active?"),
    ("active\n  AND item.prise > 1", "TS-203", "2:7", "did you mean price?"),
    ("ctid IS NOT NULL", "TS-203", "1:1", "no column ctid"),
    ("price > :stor_id", "TS-204", "1:9", "did you mean store_id?"),
    ("id IN (:regions)", "TS-204", "1:8", "write = ANY(:regions)"),
    ("id = ANY(:store_id)", "TS-204", "1:10", "write = :store_id"),
    ("id = $1", "TS-205", "", "not allowed"),
    ("id = ?", "TS-205", "", ":name"),
    ("id IN ()", "TS-205", "1:1", "IN needs"),
    ("EXISTS (SELECT 1 FROM store LIMIT 1)", "TS-205", "1:35", "LIMIT is not allowed"),
    ("EXISTS (SELECT 1 FROM store OFFSET 1)", "TS-205", "1:36", "OFFSET is not allowed"),
    ("id IN (SELECT id FROM store ORDER BY id)", "TS-205", "1:38", "ORDER BY is not allowed"),
    ("EXISTS (SELECT 1 FROM store FOR UPDATE)", "TS-205", "", "FOR UPDATE is not allowed"),
    ("EXISTS (SELECT 1 FROM store UNION SELECT 2 FROM item)", "TS-205", "1:16", "UNION is not allowed"),
    ("EXISTS (WITH q AS (SELECT 1) SELECT 1 FROM q)", "TS-205", "1:14", "WITH is not allowed"),
    ("EXISTS (SELECT 1 FROM store a LEFT JOIN item b ON true)", "TS-205", "1:41", "LEFT JOIN is not allowed"),
    ("EXISTS (SELECT 1 FROM store FULL JOIN item ON true)", "TS-205", "1:39", "FULL JOIN is not allowed"),
    ("EXISTS (SELECT 1 FROM store NATURAL JOIN item)", "TS-205", "1:42", "NATURAL JOIN is not allowed"),
    ("EXISTS (SELECT 1 FROM store JOIN item USING (id))", "TS-205", "1:46", "USING JOIN is not allowed"),
    ("EXISTS (SELECT 1 FROM (SELECT 1 FROM store) q)", "TS-205", "", "not allowed"),
    ("EXISTS (SELECT 1 FROM store, LATERAL (SELECT 1) q)", "TS-205", "", "LATERAL is not allowed"),
    ("EXISTS (SELECT 1 FROM generate_series(1, 2) g)", "TS-206", "", "not allowed"),
    ("EXISTS (SELECT 1 FROM ONLY store)", "TS-205", "1:28", "ONLY of TABLE"),
    ("EXISTS (SELECT 1 FROM store TABLESAMPLE SYSTEM (1))", "TS-205", "", "TABLESAMPLE is not allowed"),
    ("EXISTS (SELECT 1 FROM store s (a, b))", "TS-205", "", "COLUMNS of TABLEALIAS"),
    ("EXISTS (SELECT DISTINCT ON (id) 1 FROM store)", "TS-205", "", "ON of DISTINCT"),
    ("EXISTS (SELECT 1 FROM store GROUP BY ROLLUP (id))", "TS-205", "", "Rollup"),
    ("EXISTS (SELECT 1 FROM store GROUP BY 1)", "TS-205", "", "GROUP cannot stand here"),
    ("EXISTS (SELECT 1 WHERE true)", "TS-205", "1:16", "needs a FROM"),
    ("EXISTS (VALUES (1))", "TS-205", "", "Values is not allowed"),
    ("id IN (SELECT * FROM store)", "TS-205", "", "STAR cannot stand here"),
    ("sum(price) OVER () > 1", "TS-205", "", "window"),
    ("name ~ 'x'", "TS-205", "1:1", "regular expression"),
    ("name SIMILAR TO 'x'", "TS-205", "1:1", "SimilarTo"),
    ("name COLLATE \"C\" = 'x'", "TS-206", "1:1", "collate"),
    ("ARRAY[1] = ARRAY[2]", "TS-206", "", "array"),
    ("name -> 'x' = 'y'", "TS-206", "", "not allowed"),
    ("name = E'x'", "TS-205", "", "ByteString"),
    ("name = $$x$$", "TS-205", "", "RawString"),
    ("id = name::item_kind", "TS-205", "1:6", "a cast to item_kind"),
    ("count(*) > 1", "TS-205", "1:1", "an aggregate can stand only"),
    ("EXISTS (SELECT 1 FROM store WHERE count(*) > 1)", "TS-205", "1:35", "an aggregate can stand only"),
    ("1 = (SELECT max(item.price) FROM store)", "TS-205", "1:13", "outer table"),
    ("1 = (SELECT max(count(*)) FROM store)", "TS-205", "", "inside an aggregate"),
    ("(id, price) = (1, 2)", "TS-205", "1:2", "TUPLE cannot stand here"),
    ("ANY(:regions) = name", "TS-205", "", "ANY cannot stand here"),
    ("date_trunc('fortnight', valid_from) = valid_from", "TS-205", "", "fortnight is no unit"),
    ("date_trunc(:price_group, valid_from) = valid_from", "TS-205", "", "a fixed word"),
    ("substring(name FROM 'a.c') = 'x'", "TS-205", "1:1", "with a pattern"),
    ("name = 'a\0b'", "TS-205", "1:8", "NUL"),
    ("valid_from <= now()", "TS-206", "1:15", "changes without any row"),
    ("valid_from <= current_date", "TS-206", "1:15", "changes without any row"),
    ("random() < 0.5", "TS-206", "1:1", "changes without any row"),
    ("name = current_user", "TS-206", "", "changes without any row"),
    ("pg_sleep(10) IS NULL", "TS-206", "1:1", "pg_sleep() is not allowed"),
    ("lowr(name) = 'x'", "TS-206", "1:1", "did you mean lower?"),
    ("nextval('s') > 1", "TS-206", "", "not allowed"),
    ("to_char(valid_from, 'YYYY') = '2026'", "TS-206", "1:1", "not allowed"),
    ("EXISTS (SELECT 1 FROM store a, store b WHERE open)", "TS-207", "1:46", "write a.open or b.open"),
    ("EXISTS (SELECT 1 FROM store, store)", "TS-207", "1:30", "store is used twice"),
    ("id IN (SELECT id, region FROM store)", "TS-208", "1:1", "gives 2 columns, not 1"),
    ("(id, price) IN (SELECT id FROM store)", "TS-208", "1:2", "gives 1 columns, not 2"),
    ("id = (SELECT id FROM store WHERE open)", "TS-208", "1:14", "more than one row"),
    ("name = (SELECT note FROM item_store WHERE item_id = item.id)", "TS-208", "1:16", "more than one row"),
    ("id = (SELECT max(id) FROM store GROUP BY region)", "TS-208", "1:14", "more than one row"),
    ("1 = (SELECT (SELECT count(*) FROM item) FROM store)", "TS-208", "", "in the list"),
    ("EXISTS (SELECT 1 FROM store HAVING count(*) > (SELECT count(*) FROM item))", "TS-208", "", "HAVING"),
    ("price / group_id > 1", "TS-209", "1:1", "fails on a zero"),
    ("price % 0 = 1", "TS-209", "1:1", "fails on a zero"),
    ("name::integer > 1", "TS-209", "1:1", "can fail on a row"),
    ("lower(name)::date > valid_from", "TS-209", "1:1", "can fail on a row"),
    ("substring(name, 1, id) = 'x'", "TS-209", "1:1", "negative length"),
    ("price > 1 = active", "TS-210", "1:1", "parentheses"),
    ("active = NOT active", "TS-210", "", "parentheses"),
]


@pytest.mark.parametrize(("text", "code", "place", "said"), REFUSED, ids=[f"{r[1]}-{r[3]}" for r in REFUSED])
def test_refused(text: str, code: str, place: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert caught.value.code == code, caught.value
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{code} filter of public.item{f', {place}' if place else ''}"), caught.value
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"TS-202 filter of public\.nothing: there is no table public\.nothing"):
        parse_filter("true", "public.nothing", CATALOG, {})


# --- the documentation


def _blocks() -> list[tuple[str, str]]:
    return re.findall(
        r"^```sql(?: refused )?(.*?)\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize(("code", "text"), _blocks())
def test_documented_examples(code: str, text: str) -> None:
    if not code:
        parsed(text)
        return
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert caught.value.code == code


def test_every_function_and_code_is_documented() -> None:
    said = DOCS.read_text(encoding="utf-8").lower()
    assert {name for name in FUNCTION_NAMES if not re.search(rf"\b{name}\b", said)} == set()
    assert {code for _, code, _, _ in REFUSED if code.lower() not in said} == set()
