-- What the audit log's entries are found by, derived from the file beside this one; and which patients the
-- amendments of a stretch of a source's stream are about.

-- Entries up to this index are in the two tables below.
CREATE TABLE audit_indexed (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    through INTEGER NOT NULL CHECK (through >= 0)
) STRICT;
INSERT INTO audit_indexed (one, through) VALUES (1, 0);

-- The entries that concern a unit; '' has all but those about what was handed over and withheld.
CREATE TABLE audit_unit (
    unit TEXT    NOT NULL,
    idx  INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (unit, idx)
) STRICT, WITHOUT ROWID;

-- The entries that say something was handed over or withheld, by blocks of 64 seqs.
CREATE TABLE audit_block (
    source    TEXT    NOT NULL,
    block     INTEGER NOT NULL,
    recipient TEXT    NOT NULL,
    idx       INTEGER NOT NULL,
    PRIMARY KEY (source, block, recipient, idx)
) STRICT, WITHOUT ROWID;

-- `patients`: NHS numbers of five bytes each, big-endian, rising.
CREATE TABLE patient_run (
    source    INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    patients  BLOB    NOT NULL,
    PRIMARY KEY (source, first_seq)
) STRICT, WITHOUT ROWID;

-- Everything is projected again, so that no stretch of a stream is left out.
DELETE FROM record;
DELETE FROM source;
