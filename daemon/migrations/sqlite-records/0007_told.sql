-- What was told to a recipient is found by the recipient; what was withheld stands under nobody. Everything is found
-- by again.
DELETE FROM audit_block;
DELETE FROM audit_unit;
UPDATE audit_indexed SET through = 0;
CREATE INDEX audit_block_told ON audit_block (recipient, source, block);
