-- The inbox: what this unit holds of other units' records, and what its outputs have yet to do about it.

-- One row: this store's name, and how far the subscription got (see SubscribeHello).
CREATE TABLE meta (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    store_id    BLOB    NOT NULL CHECK (length(store_id) = 16),
    session     INTEGER NOT NULL,
    durable     INTEGER NOT NULL,
    -- The number last given to a row of `change`; rows are pruned, numbers are never used again.
    last_change INTEGER NOT NULL,
    -- Raised whenever the daemon begins anew, as its jobs may then be numbered anew.
    epoch       INTEGER NOT NULL
) STRICT;

CREATE TABLE source (
    id              INTEGER PRIMARY KEY,
    ods             TEXT    NOT NULL UNIQUE,
    -- Records held: rows of `record` with removed = 0.
    held            INTEGER NOT NULL,
    last_applied_at INTEGER
) STRICT;

-- The grants known to be in force. `position`: everything live up to this seq is applied; NULL until the
-- grant's catch-up is complete.
CREATE TABLE granted (
    source_id    INTEGER NOT NULL REFERENCES source (id),
    grant_no     INTEGER NOT NULL,
    position     INTEGER,
    -- The catch-up that is under way (its job, stamped with the epoch).
    catch_up_job INTEGER,
    -- 1: what is held may be ahead of what the daemon has; the catch-up decides, not the seq.
    anew         INTEGER NOT NULL,
    PRIMARY KEY (source_id, grant_no)
) STRICT, WITHOUT ROWID;

-- Grants that were fenced: nothing of them is ever applied again.
CREATE TABLE ended_grant (
    source_id INTEGER NOT NULL REFERENCES source (id),
    grant_no  INTEGER NOT NULL,
    PRIMARY KEY (source_id, grant_no)
) STRICT, WITHOUT ROWID;

-- The current version of each record held; with removed = 1 only its name and the seq that removed it.
CREATE TABLE record (
    id            INTEGER PRIMARY KEY,
    source_id     INTEGER NOT NULL REFERENCES source (id),
    record        TEXT    NOT NULL,
    seq           INTEGER NOT NULL,
    -- Counted here, from 1.
    version       INTEGER NOT NULL,
    grant_no      INTEGER NOT NULL,
    -- The catch-up that last named it (its job, stamped with the epoch); 0 = none.
    confirmed_job INTEGER NOT NULL,
    removed       INTEGER NOT NULL,
    patient       INTEGER,
    category      INTEGER,
    recorded_at   INTEGER,
    content_type  TEXT,
    payload       BLOB,
    UNIQUE (source_id, record),
    CHECK (removed = 0 OR (payload IS NULL AND patient IS NULL))
) STRICT;

-- What was applied, in order, for the outputs. No clinical content.
CREATE TABLE change (
    number     INTEGER PRIMARY KEY,
    source_id  INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    -- 1 create, 2 amend, 3 retract, 4 withdraw
    op         INTEGER NOT NULL,
    record     TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

CREATE TABLE output (
    name     TEXT    PRIMARY KEY,
    kind     TEXT    NOT NULL,
    -- Every change up to this number is carried out.
    position INTEGER NOT NULL,
    -- The output's own note of where it stood at `position`.
    mark     TEXT,
    -- 1: it must compare all that is held with all that it wrote.
    resync   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What an output wrote under an id of its own making. Only these are ever written or deleted there.
CREATE TABLE output_map (
    output    TEXT    NOT NULL,
    source_id INTEGER NOT NULL REFERENCES source (id),
    record    TEXT    NOT NULL,
    -- The id at the output.
    target    TEXT    NOT NULL,
    -- The seq of the version last written; 0 = about to be written for the first time.
    seq       INTEGER NOT NULL,
    PRIMARY KEY (output, source_id, record)
) STRICT, WITHOUT ROWID;

CREATE TABLE withdrawal (
    job        INTEGER PRIMARY KEY,
    source_id  INTEGER NOT NULL REFERENCES source (id),
    -- Carried out by an output once its position is here.
    change_no  INTEGER NOT NULL,
    removed    INTEGER NOT NULL,
    -- 1: nothing of it is left in the write-ahead log either.
    purged     INTEGER NOT NULL,
    -- When the daemon was first told that every output carried it out.
    confirmed_at INTEGER
) STRICT;

CREATE TABLE dead_letter (
    id              INTEGER PRIMARY KEY,
    output          TEXT    NOT NULL,
    source_id       INTEGER NOT NULL REFERENCES source (id),
    record          TEXT    NOT NULL,
    seq             INTEGER NOT NULL,
    -- write, delete
    op              TEXT    NOT NULL,
    -- waiting (tried again by itself), refused, resolved, discarded
    state           TEXT    NOT NULL,
    -- The HTTP status, where there was one.
    status          INTEGER,
    -- Names no content.
    reason          TEXT    NOT NULL,
    attempts        INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    next_at         INTEGER NOT NULL,
    retry_requested INTEGER NOT NULL,
    closed_at       INTEGER
) STRICT;

CREATE UNIQUE INDEX dead_letter_open ON dead_letter (output, source_id, record)
    WHERE state IN ('waiting', 'refused');
