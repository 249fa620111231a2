-- Head office for the performance figures: prices go down, receipt lines come up; price_bare and receipt_line_bare are
-- the same tables without any trigger, for the floor.
CREATE TABLE price (
    item_id     integer PRIMARY KEY,
    store_id    integer NOT NULL,
    amount      numeric(12,4) NOT NULL,
    valid_from  date NOT NULL,
    note        text
);
INSERT INTO price SELECT g, 1, g / 100.0, DATE '2026-01-01' + g % 365, 'price of item ' || g FROM generate_series(1, 100000) g;
CREATE TABLE price_bare (LIKE price INCLUDING ALL);
INSERT INTO price_bare SELECT * FROM price;

CREATE TABLE receipt (
    till        text,
    id          integer,
    number      integer NOT NULL,
    sold_at     timestamptz NOT NULL,
    total       numeric(12,2) NOT NULL,
    PRIMARY KEY (till, id)
);
CREATE TABLE receipt_line (
    till        text,
    receipt_id  integer,
    line_no     integer,
    item_id     integer NOT NULL,
    quantity    numeric(12,3) NOT NULL,
    amount      numeric(12,2) NOT NULL,
    sold_at     timestamptz NOT NULL,
    PRIMARY KEY (till, receipt_id, line_no)
);
CREATE TABLE receipt_line_bare (LIKE receipt_line INCLUDING ALL);
