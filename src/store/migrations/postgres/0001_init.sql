-- The first schema. SQLite and PostgreSQL have the same tables and columns;
-- a test compares the two files. Times are microseconds since 1970 in UTC.
-- References between rows of a tenant name the tenant too: no row can refer to
-- a row of another tenant, whatever the statement says.

CREATE TABLE installation (
    id TEXT COLLATE "C" PRIMARY KEY CHECK (id = 'self'),
    keystore_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    setup_digest BYTEA,
    setup_done_at BIGINT,
    sealed_keystore BYTEA NOT NULL
);

CREATE TABLE tenant (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    slug TEXT COLLATE "C" NOT NULL UNIQUE,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE tenant_key (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    key_version BIGINT NOT NULL,
    root_key TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, key_version)
);

CREATE TABLE setting (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    sealed BYTEA,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE project (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
);

-- A deleted user keeps its row and uid; the personal columns become NULL.
CREATE TABLE app_user (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" PRIMARY KEY,
    email_index BYTEA,
    email_sealed BYTEA,
    name_sealed BYTEA,
    state TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C",
    password_changed_at BIGINT,
    last_login_at BIGINT,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (tenant_id, email_index),
    UNIQUE (tenant_id, id)
);
CREATE INDEX app_user_by_email ON app_user (email_index);

CREATE TABLE password_history (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    user_id TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, changed_at),
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
);

-- Invitations, password resets and password-change tickets.
CREATE TABLE one_time_secret (
    digest BYTEA PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    user_id TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE session (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    address TEXT COLLATE "C",
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX session_by_user ON session (user_id);

CREATE TABLE refresh_token (
    digest BYTEA PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    session_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    FOREIGN KEY (tenant_id, session_id) REFERENCES session (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);

CREATE TABLE team (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
);

CREATE TABLE team_member (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    team_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, team_id, user_id),
    FOREIGN KEY (tenant_id, team_id) REFERENCES team (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX team_member_by_user ON team_member (user_id);

-- Custom roles only; the built-in ones are in the program.
CREATE TABLE role (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    permissions TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE assignment (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" PRIMARY KEY,
    role_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    team_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, team_id) REFERENCES team (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX assignment_once ON assignment
    (tenant_id, role_id, COALESCE(user_id, ''), COALESCE(team_id, ''), COALESCE(project_id, ''));
CREATE INDEX assignment_by_user ON assignment (user_id);
CREATE INDEX assignment_by_team ON assignment (team_id);

CREATE TABLE api_key (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE cluster (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    phase TEXT COLLATE "C" NOT NULL,
    reasons TEXT COLLATE "C" NOT NULL,
    report TEXT COLLATE "C",
    last_heartbeat_at BIGINT,
    kubeconfig_sealed BYTEA,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id)
);
CREATE INDEX cluster_by_tenant ON cluster (tenant_id, name, id);

CREATE TABLE import_token (
    digest BYTEA PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    cluster_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    FOREIGN KEY (tenant_id, cluster_id) REFERENCES cluster (tenant_id, id) ON DELETE CASCADE
);

-- Revoked keys stay: the bus must keep refusing them.
CREATE TABLE agent_credential (
    public_key TEXT COLLATE "C" PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    cluster_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX agent_credential_by_cluster ON agent_credential (cluster_id);

CREATE TABLE cluster_statistic (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    cluster_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    point TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (cluster_id, at),
    FOREIGN KEY (tenant_id, cluster_id) REFERENCES cluster (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX cluster_statistic_by_age ON cluster_statistic (at);

-- `position` and `link` are filled once, when the record joins its tenant's
-- chain; nothing else of a record ever changes. No foreign key: records
-- outlive the tenant.
CREATE TABLE audit_record (
    id TEXT COLLATE "C" PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    project_id TEXT COLLATE "C",
    actor_kind TEXT COLLATE "C" NOT NULL,
    actor_id TEXT COLLATE "C",
    action TEXT COLLATE "C" NOT NULL,
    object_kind TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C",
    outcome TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C",
    mac BYTEA NOT NULL,
    position BIGINT,
    link BYTEA
);
CREATE INDEX audit_record_by_time ON audit_record (tenant_id, at, id);
CREATE INDEX audit_record_by_object ON audit_record (tenant_id, object_id);
CREATE UNIQUE INDEX audit_record_by_position ON audit_record (tenant_id, position);
CREATE INDEX audit_record_unsealed ON audit_record (at, id) WHERE position IS NULL;

CREATE TABLE audit_checkpoint (
    tenant_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    link BYTEA NOT NULL,
    at BIGINT NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, position)
);

CREATE TABLE idempotency (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    caller TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    outcome_sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, caller, idempotency_key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- What the caches of every node must forget.
CREATE TABLE invalidation (
    id TEXT COLLATE "C" PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX invalidation_by_time ON invalidation (at);
