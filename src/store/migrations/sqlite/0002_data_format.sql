-- Which versions have run on this data. A version that is older than
-- oldest_version refuses to start here.

CREATE TABLE data_format (
    id TEXT PRIMARY KEY CHECK (id = 'self'),
    version TEXT NOT NULL,
    oldest_version TEXT NOT NULL
) STRICT;
