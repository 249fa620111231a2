-- relay.put_subscription(node, streams, channels): a node's streams, all of them: what is not named is taken away, but for
-- the past of streams that it moved from.
CREATE OR REPLACE FUNCTION relay.put_subscription(node text, streams integer[], channels text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    DELETE FROM relay.subscription s
     WHERE s.node = put_subscription.node AND s.until IS NULL AND NOT s.stream = ANY (streams);
    INSERT INTO relay.subscription (node, stream, channel)
        SELECT node, v.stream, v.channel FROM unnest(streams, channels) AS v (stream, channel)
        ON CONFLICT ON CONSTRAINT subscription_pkey DO UPDATE SET until = NULL;
END $$;
