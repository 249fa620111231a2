-- The key of a table that was captured before is another one: its ledger begins anew, and so does what its log holds of the
-- columns whose type changed (a line without a key says that all has to be looked at).
-- {tab} the table's name as a text; {log}, {hold} its log and ledger as texts; {key} the key columns as texts
-- {names}, {types}  the log's columns and their types as texts
DO $reshape$
DECLARE
    was record;
BEGIN
    IF EXISTS (SELECT FROM tillsync.captured WHERE tab = {tab} AND key <> {key}::text[]) AND {hold} <> '' THEN
        EXECUTE format('DROP TABLE IF EXISTS tillsync.%I', {hold});
    END IF;
    FOR was IN
        SELECT c.relname, a.attname, w.type
          FROM pg_catalog.pg_class c
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'tillsync'
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          JOIN unnest({names}::text[], {types}::text[]) w (name, type) ON w.name = a.attname
         WHERE c.relname IN ({log}, {hold}) AND format_type(a.atttypid, a.atttypmod) <> w.type
    LOOP
        IF was.relname = {hold} THEN
            EXECUTE format('DROP TABLE IF EXISTS tillsync.%I', was.relname);
        ELSE
            EXECUTE format('ALTER TABLE tillsync.%I ALTER COLUMN %I TYPE %s USING NULL', was.relname, was.attname, was.type);
        END IF;
    END LOOP;
END $reshape$;
