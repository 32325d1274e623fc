-- Which record a copy at an output is of, asked by the copy's id.
CREATE INDEX output_map_target ON output_map (target);
