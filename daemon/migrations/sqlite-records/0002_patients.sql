-- `erased`: the payload of the current version is not in the log any more.
ALTER TABLE record ADD COLUMN erased INTEGER NOT NULL DEFAULT 0 CHECK (erased IN (0, 1));

-- A patient's current records, and how many there are of each kind, from the index alone.
CREATE INDEX live_by_patient ON record (source, patient, category, confidentiality, seq) WHERE retracted = 0;
