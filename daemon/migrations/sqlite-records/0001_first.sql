-- The projection: the current version of each record. Derived from the log of the file beside this one;
-- whatever is lost of it is projected again.

-- `through`: up to which seq of the source the records hold. It moves with them, in one transaction.
CREATE TABLE source (
    id      INTEGER PRIMARY KEY,
    ods     TEXT    NOT NULL UNIQUE,
    through INTEGER NOT NULL CHECK (through >= 0)
) STRICT;

-- `seq` is the one that last changed the record. `patient`, `category` and `confidentiality` are as they
-- travel in a batch header; null only with a retraction of which no subject was ever known.
CREATE TABLE record (
    source          INTEGER NOT NULL,
    record          TEXT    NOT NULL,
    seq             INTEGER NOT NULL,
    patient         INTEGER,
    category        INTEGER,
    confidentiality INTEGER,
    retracted       INTEGER NOT NULL CHECK (retracted IN (0, 1)),
    PRIMARY KEY (source, record)
) STRICT, WITHOUT ROWID;

CREATE INDEX live_record ON record (source, seq) WHERE retracted = 0;
