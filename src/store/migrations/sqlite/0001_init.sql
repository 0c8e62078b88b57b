-- The first schema. SQLite and PostgreSQL have the same tables and columns;
-- a test compares the two files. Times are microseconds since 1970 in UTC.
-- References between rows of a tenant name the tenant too: no row can refer to
-- a row of another tenant, whatever the statement says.

CREATE TABLE installation (
    id TEXT PRIMARY KEY CHECK (id = 'self'),
    keystore_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    setup_digest BLOB,
    setup_done_at INTEGER,
    sealed_keystore BLOB NOT NULL
) STRICT;

CREATE TABLE tenant (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    slug TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE tenant_key (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    key_version INTEGER NOT NULL,
    root_key TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (tenant_id, key_version)
) STRICT;

CREATE TABLE setting (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    sealed BLOB,
    version INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;

CREATE TABLE project (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
) STRICT;

-- A deleted user keeps its row and uid; the personal columns become NULL.
CREATE TABLE app_user (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT PRIMARY KEY,
    email_index BLOB,
    email_sealed BLOB,
    name_sealed BLOB,
    state TEXT NOT NULL,
    password_hash TEXT,
    password_changed_at INTEGER,
    last_login_at INTEGER,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant_id, email_index),
    UNIQUE (tenant_id, id)
) STRICT;
CREATE INDEX app_user_by_email ON app_user (email_index);

CREATE TABLE password_history (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    password_hash TEXT NOT NULL,
    PRIMARY KEY (user_id, changed_at),
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
) STRICT;

-- Invitations, password resets and password-change tickets.
CREATE TABLE one_time_secret (
    digest BLOB PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE session (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    address TEXT,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX session_by_user ON session (user_id);

CREATE TABLE refresh_token (
    digest BLOB PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    session_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER,
    FOREIGN KEY (tenant_id, session_id) REFERENCES session (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);

CREATE TABLE team (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
) STRICT;

CREATE TABLE team_member (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    team_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, team_id, user_id),
    FOREIGN KEY (tenant_id, team_id) REFERENCES team (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX team_member_by_user ON team_member (user_id);

-- Custom roles only; the built-in ones are in the program.
CREATE TABLE role (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    scope TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE assignment (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT PRIMARY KEY,
    role_id TEXT NOT NULL,
    user_id TEXT,
    team_id TEXT,
    project_id TEXT,
    created_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, team_id) REFERENCES team (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX assignment_once ON assignment
    (tenant_id, role_id, COALESCE(user_id, ''), COALESCE(team_id, ''), COALESCE(project_id, ''));
CREATE INDEX assignment_by_user ON assignment (user_id);
CREATE INDEX assignment_by_team ON assignment (team_id);

CREATE TABLE api_key (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE cluster (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    phase TEXT NOT NULL,
    reasons TEXT NOT NULL,
    report TEXT,
    last_heartbeat_at INTEGER,
    kubeconfig_sealed BLOB,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id)
) STRICT;
CREATE INDEX cluster_by_tenant ON cluster (tenant_id, name, id);

CREATE TABLE import_token (
    digest BLOB PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    cluster_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    FOREIGN KEY (tenant_id, cluster_id) REFERENCES cluster (tenant_id, id) ON DELETE CASCADE
) STRICT;

-- Revoked keys stay: the bus must keep refusing them.
CREATE TABLE agent_credential (
    public_key TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    cluster_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX agent_credential_by_cluster ON agent_credential (cluster_id);

CREATE TABLE cluster_statistic (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    cluster_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    point TEXT NOT NULL,
    PRIMARY KEY (cluster_id, at),
    FOREIGN KEY (tenant_id, cluster_id) REFERENCES cluster (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX cluster_statistic_by_age ON cluster_statistic (at);

-- `position` and `link` are filled once, when the record joins its tenant's
-- chain; nothing else of a record ever changes. No foreign key: records
-- outlive the tenant.
CREATE TABLE audit_record (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    project_id TEXT,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    action TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id TEXT,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    request_id TEXT NOT NULL,
    address TEXT,
    mac BLOB NOT NULL,
    position INTEGER,
    link BLOB
) STRICT;
CREATE INDEX audit_record_by_time ON audit_record (tenant_id, at, id);
CREATE INDEX audit_record_by_object ON audit_record (tenant_id, object_id);
CREATE UNIQUE INDEX audit_record_by_position ON audit_record (tenant_id, position);
CREATE INDEX audit_record_unsealed ON audit_record (at, id) WHERE position IS NULL;

CREATE TABLE audit_checkpoint (
    tenant_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    link BLOB NOT NULL,
    at INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (tenant_id, position)
) STRICT;

CREATE TABLE idempotency (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    outcome_sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, caller, idempotency_key)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- What the caches of every node must forget.
CREATE TABLE invalidation (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX invalidation_by_time ON invalidation (at);
