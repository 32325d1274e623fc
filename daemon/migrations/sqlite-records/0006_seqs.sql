-- Most amendments leave what the gate reads of their record as it was. Without its seq they leave this index alone.
DROP INDEX record_by_patient;
CREATE INDEX record_by_patient ON record (source, patient, retracted, category, confidentiality, erased);
