-- what is captured of one table: {tab}, its {log} and ledger ({hold}, null where it only routes), {key}, compared {columns}, {routing}
INSERT INTO tillsync.captured (tab, log, hold, key, columns, routing)
VALUES ({tab}, {log}, {hold}, {key}::text[], {columns}::text[], {routing}::text[])
ON CONFLICT (tab) DO UPDATE SET log = excluded.log, hold = excluded.hold, key = excluded.key,
                                columns = excluded.columns, routing = excluded.routing;
