-- Grants of one patient and narrowed ones, jobs over a patient or over changes, what clinicians are told of a
-- source, the audit log's head; and names that do not outlive what they name.

-- With which tags are made: keyed digests by which a name or a number is recognised without being kept.
-- NULL until this file is first opened with it.
ALTER TABLE meta ADD COLUMN tag_key BLOB CHECK (tag_key IS NULL OR length(tag_key) = 32);
-- 1: `record` may have rows with removed = 1, which are tombstones with a name.
ALTER TABLE meta ADD COLUMN named_tombstones INTEGER NOT NULL DEFAULT 1;
-- The last change that removed something of which traces may be left in this file; 0 = none.
ALTER TABLE meta ADD COLUMN residue INTEGER NOT NULL DEFAULT 0;

-- When the daemon was last heard of this source, milliseconds since 1970-01-01T00:00:00Z.
ALTER TABLE source ADD COLUMN as_of INTEGER;
-- When something of it was last withdrawn; NULL: nothing since its last catch-up.
ALTER TABLE source ADD COLUMN withdrawn_at INTEGER;

-- The tag of the patient of an emergency access; NULL: the grant of an agreement.
ALTER TABLE granted ADD COLUMN patient BLOB CHECK (patient IS NULL OR length(patient) = 16);
-- What the grant carries at most, a JSON list of Category values; empty: every category.
ALTER TABLE granted ADD COLUMN categories TEXT NOT NULL DEFAULT '[]';
-- 1: the source is suspended.
ALTER TABLE granted ADD COLUMN stale INTEGER NOT NULL DEFAULT 0;
-- 1: an emergency's patient was caught up.
ALTER TABLE granted ADD COLUMN caught_up INTEGER NOT NULL DEFAULT 0;

-- `confirmed_job` holds the catch-up under way, or else the job or 0, stamped with the epoch. This is the job over one
-- patient that last named the record.
ALTER TABLE record ADD COLUMN patient_job INTEGER NOT NULL DEFAULT 0;
CREATE INDEX record_patient ON record (source_id, patient);

-- Records removed while their grant stands: an older version that comes late does not bring one back.
CREATE TABLE tombstone (
    source_id INTEGER NOT NULL REFERENCES source (id),
    -- The tag of the record's name.
    name      BLOB    NOT NULL CHECK (length(name) = 16),
    seq       INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    grant_no  INTEGER NOT NULL,
    -- The job that removed it, stamped with the epoch.
    job       INTEGER NOT NULL,
    PRIMARY KEY (source_id, name)
) STRICT, WITHOUT ROWID;

-- Jobs that have begun and are not complete, but for the catch-up of a whole grant.
CREATE TABLE job (
    source_id INTEGER NOT NULL REFERENCES source (id),
    grant_no  INTEGER NOT NULL,
    -- 1 one patient, 2 changes
    scope     INTEGER NOT NULL,
    -- The patient's tag; empty with changes. A later job of the same patient takes the place of this one.
    patient   BLOB    NOT NULL,
    -- Stamped with the epoch.
    job       INTEGER NOT NULL,
    -- Records removed so far.
    removed   INTEGER NOT NULL,
    PRIMARY KEY (source_id, grant_no, scope, patient)
) STRICT, WITHOUT ROWID;

-- The withdrawal (or job) that removed the record; 0 = none that is to be confirmed.
ALTER TABLE change ADD COLUMN job INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN job INTEGER NOT NULL DEFAULT 0;
-- 1: of some records of the source, not of all that its grant carried.
ALTER TABLE withdrawal ADD COLUMN partial INTEGER NOT NULL DEFAULT 0;

-- The newest head of the daemon's audit log that was found to continue the one before, and the key that was
-- pinned with the first.
CREATE TABLE tree_head (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    size       INTEGER NOT NULL,
    root       BLOB    NOT NULL CHECK (length(root) = 32),
    signed_at  INTEGER NOT NULL,
    signature  BLOB    NOT NULL CHECK (length(signature) = 64),
    public_key BLOB    NOT NULL CHECK (length(public_key) = 32)
) STRICT;

-- The first head that did not fit, until a person clears it.
CREATE TABLE tree_alarm (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    at        INTEGER NOT NULL,
    why       TEXT    NOT NULL,
    -- The head as it came, for whoever looks into it.
    head      BLOB    NOT NULL,
    -- How many heads did not fit since then.
    heads     INTEGER NOT NULL
) STRICT;
