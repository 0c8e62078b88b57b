-- Who does the work that one process does at a time, and until when. The fence
-- grows with every change of the holder, so that a former one is known by it.

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;
