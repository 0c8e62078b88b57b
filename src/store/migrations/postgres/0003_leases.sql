-- Who does the work that one process does at a time, and until when. The fence
-- grows with every change of the holder, so that a former one is known by it.

CREATE TABLE leases (
    name TEXT COLLATE "C" PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    fence BIGINT NOT NULL,
    until BIGINT NOT NULL
);
