-- relay.put_echo(...): one part of what a tick tells one node alone; within the transaction of put_tick.
CREATE OR REPLACE FUNCTION relay.put_echo(node text, n bigint, part integer, frame bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    INSERT INTO relay.echo (node, n, part, frame) VALUES (node, n, part, frame);
END $$;
