-- A till for the performance figures.
CREATE TABLE price (
    item_id     INTEGER PRIMARY KEY,
    store_id    INTEGER NOT NULL,
    amount      NUMERIC NOT NULL,
    valid_from  TEXT NOT NULL,
    note        TEXT
);
CREATE TABLE receipt (
    id          INTEGER PRIMARY KEY,
    number      INTEGER NOT NULL UNIQUE,
    sold_at     TEXT NOT NULL,
    total       NUMERIC NOT NULL
);
CREATE INDEX receipt_sold_at ON receipt (sold_at);
CREATE TABLE receipt_line (
    receipt_id  INTEGER NOT NULL,
    line_no     INTEGER NOT NULL,
    item_id     INTEGER NOT NULL,
    quantity    NUMERIC NOT NULL,
    amount      NUMERIC NOT NULL,
    sold_at     TEXT NOT NULL,
    PRIMARY KEY (receipt_id, line_no)
);
CREATE INDEX receipt_line_item ON receipt_line (item_id);
