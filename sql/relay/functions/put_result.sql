-- relay.put_result(frame): a till's answer to what head office asked in a tick. At most 1 MB, and at most 16 that wait: what
-- is beyond takes the place of the oldest, which head office asks for again.
CREATE OR REPLACE FUNCTION relay.put_result(frame bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    me   text := relay.caller('branch');
    next bigint;
BEGIN
    IF octet_length(frame) > 1048576 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'an answer is over 1 MB';
    END IF;
    next := coalesce((SELECT max(r.id) FROM relay.result r WHERE r.node = me), 0) + 1;
    DELETE FROM relay.result r WHERE r.node = me AND r.id <= next - 16;
    INSERT INTO relay.result (node, id, frame) VALUES (me, next, frame)
        ON CONFLICT ON CONSTRAINT result_pkey DO NOTHING;
END $$;
