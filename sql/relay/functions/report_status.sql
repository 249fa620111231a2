-- relay.report_status(body): the till's own account of itself, for central's `status`. At most 64 kB.
CREATE OR REPLACE FUNCTION relay.report_status(body jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    me text := relay.caller('branch');
BEGIN
    IF octet_length(body::text) > 65536 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a status report is over 64 kB';
    END IF;
    INSERT INTO relay.report (node, at, body) VALUES (me, clock_timestamp(), body)
        ON CONFLICT ON CONSTRAINT report_pkey DO UPDATE SET at = excluded.at, body = excluded.body;
END $$;
