-- relay.put_move(node, channel, old_stream, new_stream, n): with tick n the branch goes from one stream to another; within
-- the transaction of put_tick. A branch that is behind still gets the old one's ticks before n.
CREATE OR REPLACE FUNCTION relay.put_move(node text, channel text, old_stream integer, new_stream integer, n bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    UPDATE relay.subscription s SET until = n - 1 WHERE s.node = put_move.node AND s.stream = old_stream AND old_stream <> new_stream;
    INSERT INTO relay.subscription AS s (node, stream, channel, since) VALUES (node, new_stream, channel, n)
        ON CONFLICT ON CONSTRAINT subscription_pkey DO UPDATE SET until = NULL,
            since = CASE WHEN s.until IS NULL THEN s.since ELSE excluded.since END;
END $$;
