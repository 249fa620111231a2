-- relay.put_payload(...): one part of a stream in a tick; within the transaction of put_tick.
CREATE OR REPLACE FUNCTION relay.put_payload(stream integer, n bigint, kind text, part integer, frame bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    INSERT INTO relay.payload (stream, n, kind, part, frame) VALUES (stream, n, kind, part, frame);
END $$;
