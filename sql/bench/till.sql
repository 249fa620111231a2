-- A till for the performance figures.
CREATE TABLE price (
    item_id     INTEGER PRIMARY KEY,
    store_id    INTEGER NOT NULL,
    amount      NUMERIC NOT NULL,
    valid_from  TEXT NOT NULL,
    note        TEXT
);
CREATE TABLE receipt_line (
    receipt_id  INTEGER NOT NULL,
    line_no     INTEGER NOT NULL,
    item_id     INTEGER NOT NULL,
    quantity    NUMERIC NOT NULL,
    amount      NUMERIC NOT NULL,
    sold_at     TEXT NOT NULL,
    PRIMARY KEY (receipt_id, line_no)
);
