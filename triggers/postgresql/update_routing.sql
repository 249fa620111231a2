-- As update.sql, for a table by which rows of other tables are routed: the old and the new image of the routing columns
-- are logged, since a row that is gone, or that points elsewhere now, must still lead to the rows that it routed.
-- {function}  its name; {log} its log; {columns} key and routing columns
-- {compared}  every column that is compared, each in a form whose equality is sameness
-- {absent}    as in insert.sql
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
#variable_conflict use_column
BEGIN
    INSERT INTO tillsync.{log} ({columns})
        SELECT {columns} FROM (
            SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns}, {compared} FROM old_rows) r
            EXCEPT
            SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns}, {compared} FROM new_rows) r) was
        UNION
        SELECT {columns} FROM (
            SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns}, {compared} FROM new_rows) r
            EXCEPT
            SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns}, {compared} FROM old_rows) r) is_now;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
