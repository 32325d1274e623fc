-- What a job leaves out is found beside what it sends, whether its payload was erased or not.
DROP INDEX live_record;
CREATE INDEX live_record ON record (source, seq, patient, category, confidentiality, erased) WHERE retracted = 0;
