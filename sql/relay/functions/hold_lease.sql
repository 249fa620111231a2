-- relay.hold_lease(holder, seconds): one head office at a time publishes here. The holder says who it is, by its database; returns
-- NULL when it holds the lease from now on for so many seconds, or who else does. Nothing rests on a session.
CREATE OR REPLACE FUNCTION relay.hold_lease(holder text, seconds integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    other text;
BEGIN
    PERFORM relay.caller('central');
    IF length(holder) > 200 OR seconds NOT BETWEEN 1 AND 3600 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a lease has a holder of 200 characters and an hour at most';
    END IF;
    UPDATE relay.state s SET lease_holder = holder, lease_until = clock_timestamp() + make_interval(secs => seconds)
     WHERE s.one AND (s.lease_holder IS NULL OR s.lease_holder = holder OR s.lease_until < clock_timestamp());
    SELECT nullif(s.lease_holder, holder) INTO other FROM relay.state s WHERE s.one;
    RETURN other;
END $$;
