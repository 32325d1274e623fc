-- What the unit says to the daemon itself, what came back from other units, and what is held back.

-- While every statement is said again: the statement.id up to which that is done.
ALTER TABLE outbox ADD COLUMN restate_after INTEGER;
-- Copies of other units' records that came back unchanged, and were not published.
ALTER TABLE outbox ADD COLUMN echoes INTEGER NOT NULL DEFAULT 0;

-- 1: a statement, which nothing may be joined with.
ALTER TABLE batch ADD COLUMN alone INTEGER NOT NULL DEFAULT 0;

-- 1: it may be another unit's, sent back; it counts for nothing until something of this unit's own names it.
ALTER TABLE patient ADD COLUMN aside INTEGER NOT NULL DEFAULT 0;

-- What the version says to the daemon, an encoded Statement; null with a record. Such a row has no
-- category, and is never sent as an amendment.
ALTER TABLE record ADD COLUMN statement BLOB;
-- Why what was sent of it was taken back: its Patient's number cannot be relied on (the reasons of `waiting`);
-- 0: it was not.
ALTER TABLE record ADD COLUMN doubt INTEGER NOT NULL DEFAULT 0;
CREATE INDEX record_statement ON record (id) WHERE statement IS NOT NULL;
CREATE INDEX record_doubt ON record (doubt) WHERE doubt <> 0;

ALTER TABLE waiting ADD COLUMN statement BLOB;

-- For whom each Consent counts. current = 0: a number that its patient had, or one in doubt; for such a
-- number only a denial counts.
CREATE TABLE word_of (
    record  TEXT    NOT NULL,
    number  INTEGER NOT NULL,
    current INTEGER NOT NULL,
    PRIMARY KEY (record, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX word_of_number ON word_of (number);

-- What was said to the daemon last, and is said again should the daemon lose it.
CREATE TABLE statement (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 1 a patient's word about share-out, 2 one about share-in, 3 a number that moved.
    kind   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    -- Of a number that moved: what it was; else 0.
    former INTEGER NOT NULL,
    -- The resource that it came from.
    record TEXT    NOT NULL,
    -- An encoded Statement.
    body   BLOB    NOT NULL,
    seq    INTEGER NOT NULL,
    -- 0 the daemon has not said that it is in force, 1 it is, 2 the daemon said that it is pending.
    state  INTEGER NOT NULL,
    UNIQUE (kind, number, former)
) STRICT;
CREATE INDEX statement_seq ON statement (seq);
CREATE INDEX statement_state ON statement (state, seq);
