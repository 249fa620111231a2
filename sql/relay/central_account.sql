-- Registers central's login ({user}) at the relay; the last part of the script that a DBA runs himself.
-- A login that is made here has no password yet: give it one with \password in psql.
DO $account$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {user}) THEN
        EXECUTE format('CREATE ROLE %I LOGIN', {user});
    END IF;
    EXECUTE format('GRANT tillsync_central TO %I', {user});
END $account$;
INSERT INTO relay.account (role, node, kind) VALUES ({user}, 'central', 'central') ON CONFLICT (role) DO NOTHING;
