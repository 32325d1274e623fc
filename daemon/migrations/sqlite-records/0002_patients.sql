-- `erased`: the payload of the current version is not in the log any more.
ALTER TABLE record ADD COLUMN erased INTEGER NOT NULL DEFAULT 0 CHECK (erased IN (0, 1));

DROP INDEX live_record;
CREATE INDEX live_record ON record (source, seq, patient, category, confidentiality)
    WHERE retracted = 0 AND erased = 0;

-- A patient's current records, and how many there are of each kind, from the index alone.
CREATE INDEX record_by_patient ON record (source, patient, retracted, category, confidentiality, seq, erased);

-- Whose records were before they were another patient's, so that all their payloads can be found in the log.
CREATE TABLE moved (
    source  INTEGER NOT NULL,
    record  TEXT    NOT NULL,
    patient INTEGER NOT NULL,
    PRIMARY KEY (source, record, patient)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER move AFTER UPDATE OF patient ON record WHEN old.patient <> new.patient
BEGIN
    INSERT OR IGNORE INTO moved (source, record, patient) VALUES (old.source, old.record, old.patient);
END;
