-- {function}  its name; {log} its log; {columns} key and routing columns
-- {absent}  every column that is read, as a NULL. Names are looked for from the inside out, so a column that was renamed or
--           dropped is found there: the application's statement goes on, and the log says that all has to be looked at.
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
#variable_conflict use_column
BEGIN
    INSERT INTO tillsync.{log} ({columns}) SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns} FROM new_rows) r;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
