-- How halves are narrowed, patients' own words, caseloads, emergency grants, and jobs over less than everything.

-- `zone` is a name of the IANA time zone database; days are days there.
ALTER TABLE deployment ADD COLUMN zone TEXT NOT NULL DEFAULT 'Europe/London';
ALTER TABLE deployment ADD COLUMN default_patients TEXT NOT NULL DEFAULT 'all'
    CHECK (default_patients IN ('all', 'caseload'));

-- Whether what a suspended unit shared out is withdrawn: then no grant of it is in force.
ALTER TABLE unit ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0 CHECK (withdrawn IN (0, 1));

-- `categories` is a set of bits, by the numbers of the contract. `ends_at` is the first moment behind the day
-- `ends_on`; both are null together.
ALTER TABLE agreement ADD COLUMN out_categories  INTEGER NOT NULL DEFAULT 4294967295;
ALTER TABLE agreement ADD COLUMN out_patients    TEXT    NOT NULL DEFAULT 'all';
ALTER TABLE agreement ADD COLUMN out_explicit    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agreement ADD COLUMN out_ends_on     TEXT;
ALTER TABLE agreement ADD COLUMN out_ends_at     INTEGER;
ALTER TABLE agreement ADD COLUMN out_review_on   TEXT;
ALTER TABLE agreement ADD COLUMN out_reference   TEXT    NOT NULL DEFAULT '';
ALTER TABLE agreement ADD COLUMN out_legal_basis TEXT    NOT NULL DEFAULT '';
ALTER TABLE agreement ADD COLUMN in_categories   INTEGER NOT NULL DEFAULT 4294967295;
ALTER TABLE agreement ADD COLUMN in_patients     TEXT    NOT NULL DEFAULT 'all';
ALTER TABLE agreement ADD COLUMN in_explicit     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agreement ADD COLUMN in_ends_on      TEXT;
ALTER TABLE agreement ADD COLUMN in_ends_at      INTEGER;
ALTER TABLE agreement ADD COLUMN in_review_on    TEXT;
ALTER TABLE agreement ADD COLUMN in_reference    TEXT    NOT NULL DEFAULT '';
ALTER TABLE agreement ADD COLUMN in_legal_basis  TEXT    NOT NULL DEFAULT '';

-- `patient`: of an emergency access, which holds until `until`; null with an agreement's grant.
ALTER TABLE sharing_grant ADD COLUMN patient INTEGER;
ALTER TABLE sharing_grant ADD COLUMN until   INTEGER;

DROP INDEX grant_in_force;
CREATE UNIQUE INDEX grant_in_force ON sharing_grant (source, recipient)
    WHERE ended_at IS NULL AND patient IS NULL;
CREATE UNIQUE INDEX emergency_in_force ON sharing_grant (source, recipient, patient)
    WHERE ended_at IS NULL AND patient IS NOT NULL;

-- `patient`: the one that the job is about; null: everyone. `before`: of a job over changes, the terms that
-- were in force before, as JSON.
CREATE TABLE job_of_scope (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    grant_id     INTEGER NOT NULL REFERENCES sharing_grant (id),
    source       TEXT    NOT NULL,
    recipient    TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('catch-up', 'patient', 'changes', 'withdraw')),
    state        TEXT    NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'received', 'confirmed')),
    patient      INTEGER,
    before       TEXT,
    upto         INTEGER NOT NULL DEFAULT 0,
    through      INTEGER NOT NULL DEFAULT 0,
    removed      INTEGER NOT NULL DEFAULT 0,
    not_removed  INTEGER NOT NULL DEFAULT 0,
    since        INTEGER NOT NULL,
    confirmed_at INTEGER,
    CHECK (kind <> 'catch-up' OR state = 'due'),
    CHECK ((kind = 'changes') = (before IS NOT NULL)),
    CHECK (kind <> 'patient' OR patient IS NOT NULL)
) STRICT;

INSERT INTO job_of_scope (id, grant_id, source, recipient, kind, state, upto, through, removed, not_removed,
                          since, confirmed_at)
SELECT id, grant_id, source, recipient, kind, state, upto, through, removed, not_removed, since, confirmed_at
FROM job;

-- A number is never given twice, not even those of jobs that are gone.
UPDATE sqlite_sequence SET seq = (SELECT max(seq) FROM sqlite_sequence WHERE name IN ('job', 'job_of_scope'))
WHERE name = 'job_of_scope';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'job_of_scope', seq FROM sqlite_sequence
WHERE name = 'job' AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'job_of_scope');

DROP TABLE job;
ALTER TABLE job_of_scope RENAME TO job;

CREATE INDEX job_by_grant ON job (grant_id);
CREATE INDEX job_due ON job (recipient, id) WHERE state <> 'confirmed';
CREATE INDEX withdrawal_by_pair ON job (source, recipient, id) WHERE kind = 'withdraw' AND patient IS NULL;
CREATE UNIQUE INDEX patient_job ON job (grant_id, patient) WHERE kind = 'patient' AND state = 'due';

-- Patients' own words. History stays; one a unit, patient and side is in force. `word`, `manner` are the
-- numbers of the contract (handfast/v1/sync.proto), `side` is 1 for share-out, 2 for share-in.
CREATE TABLE patient_word (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    unit        TEXT    NOT NULL REFERENCES unit (ods),
    patient     INTEGER NOT NULL,
    side        INTEGER NOT NULL CHECK (side IN (1, 2)),
    word        INTEGER NOT NULL CHECK (word IN (1, 2, 3)),
    said_at     INTEGER NOT NULL,
    manner      INTEGER NOT NULL CHECK (manner IN (1, 2, 3)),
    taken_by    TEXT    NOT NULL,
    recorded_by TEXT    NOT NULL,
    recorded_at INTEGER NOT NULL,
    in_force    INTEGER NOT NULL CHECK (in_force IN (0, 1))
) STRICT;

CREATE UNIQUE INDEX word_in_force ON patient_word (unit, patient, side) WHERE in_force = 1;
CREATE INDEX word_by_patient ON patient_word (patient, unit, id);

-- Patients on a unit's caseload by name, beside those that it recorded something about.
CREATE TABLE caseload_claim (
    unit    TEXT    NOT NULL REFERENCES unit (ods),
    patient INTEGER NOT NULL,
    by      TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (unit, patient)
) STRICT, WITHOUT ROWID;

-- Numbers that a unit said are one patient's.
CREATE TABLE joined_number (
    unit    TEXT    NOT NULL REFERENCES unit (ods),
    former  INTEGER NOT NULL,
    current INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (unit, former, current)
) STRICT, WITHOUT ROWID;

CREATE INDEX joined_by_current ON joined_number (unit, current);

-- Up to which seq of a source the payloads of a patient, or of a record, are not to be in the log; `done`: up to
-- which they are overwritten.
CREATE TABLE erased (
    source  TEXT    NOT NULL REFERENCES unit (ods),
    patient INTEGER,
    record  TEXT,
    upto    INTEGER NOT NULL,
    done    INTEGER NOT NULL DEFAULT 0,
    CHECK ((patient IS NULL) <> (record IS NULL))
) STRICT;

CREATE UNIQUE INDEX erased_patient ON erased (source, patient) WHERE patient IS NOT NULL;
CREATE UNIQUE INDEX erased_record ON erased (source, record) WHERE record IS NOT NULL;
CREATE INDEX erased_by_seq ON erased (source, upto);
CREATE INDEX erasure_to_finish ON erased (source) WHERE done < upto;
