-- `reach`: nothing beyond this seq was handed over, of a grant's live feed and of each job. It is committed before
-- anything up to it is, so that after an unclean end what may have left is known. `reach_from`: nothing up to this seq
-- of a job was handed over since what was in doubt of it was last entered: what is current may lie far beyond where
-- it begins to look.
ALTER TABLE sharing_grant ADD COLUMN reach INTEGER NOT NULL DEFAULT 0 CHECK (reach >= 0);
ALTER TABLE job ADD COLUMN reach INTEGER NOT NULL DEFAULT 0 CHECK (reach >= 0);
ALTER TABLE job ADD COLUMN reach_from INTEGER NOT NULL DEFAULT 0 CHECK (reach_from >= 0);

-- Of what there is already, anything that is due may have left.
UPDATE sharing_grant SET reach = (SELECT head_seq FROM stream WHERE stream.source = sharing_grant.source)
WHERE ended_at IS NULL;
UPDATE job SET reach = (SELECT head_seq FROM stream WHERE stream.source = job.source) WHERE kind <> 'withdraw';
