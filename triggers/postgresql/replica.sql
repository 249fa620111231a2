-- {function}  its name; {table} the captured table; {log} its log; {columns} key and routing columns; {absent}  as in insert.sql
-- What logical replication brings is written row by row, and fires no statement trigger but that of TRUNCATE. This one fires
-- where session_replication_role is replica, as it is there. The table is joined, for none of its rows, so that a session's
-- plan ends with the row type that NEW.* had when it was made.
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
#variable_conflict use_column
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO tillsync.{log} ({columns})
        SELECT r.* FROM {absent} CROSS JOIN LATERAL (
            SELECT {columns} FROM (SELECT o.* FROM (SELECT OLD.*) o LEFT JOIN {table} t ON false) old_row) r;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO tillsync.{log} ({columns})
        SELECT r.* FROM {absent} CROSS JOIN LATERAL (
            SELECT {columns} FROM (SELECT n.* FROM (SELECT NEW.*) n LEFT JOIN {table} t ON false) new_row) r;
    END IF;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
