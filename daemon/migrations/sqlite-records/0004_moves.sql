-- A record may become a patient's again that it was before. What a trigger's own statement says of conflicts
-- does not count where an upsert fires it, so that it must not meet any.
DROP TRIGGER move;
CREATE TRIGGER move AFTER UPDATE OF patient ON record WHEN old.patient <> new.patient
BEGIN
    INSERT INTO moved (source, record, patient)
    SELECT old.source, old.record, old.patient
    WHERE NOT EXISTS (SELECT 1 FROM moved
                      WHERE source = old.source AND record = old.record AND patient = old.patient);
END;
