-- What changed while {tab} was not captured as it should be nobody saw: all of it has to be looked at, as after a truncation.
-- {tab}  the table's name as a text; {log} its log
INSERT INTO tillsync.{log} (origin)
SELECT NULL WHERE {tab} IN (SELECT t.tab FROM tillsync.torn t UNION SELECT c.tab FROM tillsync.came c);
