-- {function}  its name; {log} its log; {columns} key and routing columns; {absent}  as in insert.sql
-- What logical replication brings is written row by row, and fires no statement trigger but that of TRUNCATE. This one fires
-- for what is replayed, and rests in every other session.
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
#variable_conflict use_column
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO tillsync.{log} ({columns})
        SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns} FROM (SELECT OLD.*) old_row) r;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO tillsync.{log} ({columns})
        SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns} FROM (SELECT NEW.*) new_row) r;
    END IF;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
