-- relay.put_ack(...): central's applied position of a node as of a tick, and whether it must send again.
CREATE OR REPLACE FUNCTION relay.put_ack(node text, n bigint, seq bigint, nonce bigint, gap boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    INSERT INTO relay.ack (node, n, seq, nonce, gap) VALUES (node, n, seq, nonce, gap);
END $$;
