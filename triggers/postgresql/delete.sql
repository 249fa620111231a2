-- {function}  its name; {log} its log; {columns} key and routing columns
-- {absent}  as in insert.sql
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
#variable_conflict use_column
BEGIN
    INSERT INTO tillsync.{log} ({columns}) SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns} FROM old_rows) r;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
