// Owns what the mock remembers: tenants with everything in them, sessions, audit, open event streams.
import { randomBytes } from "node:crypto";
import { demoData } from "./demo.mjs";
import { newCluster, overviewOf, summarise } from "./fleet.mjs";
import { builtInRoles, permissions } from "./permissions.mjs";

export const uid = () => randomBytes(6).toString("hex");
export const now = () => new Date().toISOString();
export const inSeconds = (seconds) =>
  new Date(Date.now() + seconds * 1000).toISOString();
export const DEFAULT_POLICY = {
  minLength: 15,
  requireUpper: false,
  requireLower: false,
  requireDigit: false,
  requireSymbol: false,
  expiresAfterDays: 0,
  history: 0,
  blockList: ["palisade"],
  version: 1,
};

export class State {
  constructor({ demo }) {
    this.setup = "required";
    this.setupCode = "K7QM-2XWD-90TR";
    this.fqdn = "palisade.bank.example";
    this.general = { fqdn: this.fqdn, version: 1 };
    this.origin = "";
    this.sessions = new Map();
    this.refreshes = new Map();
    this.invites = new Map();
    this.streams = new Set();
    this.failures = new Map();
    this.lifetime = 900;
    this.system = this.#scope("Palisade system", "system", "system");
    this.tenants = [];
    this.keys = {
      rootKey: { id: "rk-1", createdAt: now() },
      jwtKeys: [{ id: "jk-1", createdAt: now(), state: "signing" }],
      sealMode: "unattended",
    };
    this.certificate = certificate(this.fqdn);
    this.started = Date.now();
    if (demo) demoData(this);
  }

  #scope(name, slug, kind) {
    return {
      uid: uid(),
      name,
      slug,
      kind,
      state: "active",
      createdAt: now(),
      version: 1,
      users: [],
      teams: [],
      projects: [],
      clusters: [],
      roles: builtInRoles(kind),
      assignments: [],
      apiKeys: [],
      audit: [],
      policy: structuredClone(DEFAULT_POLICY),
      kubeconfigs: new Map(),
    };
  }

  addTenant(name, slug) {
    const tenant = this.#scope(name, slug, "tenant");
    this.tenants.push(tenant);
    return tenant;
  }

  addUser(
    scope,
    {
      name,
      email,
      password = null,
      state = password ? "active" : "invited",
      expired = false,
    },
  ) {
    const user = {
      uid: uid(),
      email,
      name,
      state,
      lastLoginAt: null,
      createdAt: now(),
      version: 1,
      password,
      expired,
    };
    scope.users.push(user);
    return user;
  }

  assign(scope, roleName, subject, project = null) {
    const role = scope.roles.find((candidate) => candidate.name === roleName);
    const assignment = {
      uid: uid(),
      role: named(role),
      subject,
      project,
      createdAt: now(),
    };
    scope.assignments.push(assignment);
    return assignment;
  }

  scopeOf(tenantUid) {
    return [this.system, ...this.tenants].find(
      (scope) => scope.uid === tenantUid,
    );
  }

  signIn(scope, user) {
    const id = randomBytes(16).toString("hex");
    const refresh = randomBytes(16).toString("hex");
    const session = { scope, user, expiresAt: inSeconds(this.lifetime) };
    user.lastLoginAt = now();
    this.sessions.set(id, session);
    this.refreshes.set(refresh, session);
    return { id, refresh, session };
  }

  session(cookie, bearer) {
    if (bearer) {
      for (const scope of [this.system, ...this.tenants]) {
        const key = scope.apiKeys.find(
          (candidate) => candidate.secret === bearer,
        );
        if (key)
          return {
            scope,
            user: scope.users.find((user) => user.uid === key.owner.uid),
            expiresAt: key.expiresAt,
          };
      }
    }
    const session = this.sessions.get(cookie);
    return session && Date.parse(session.expiresAt) > Date.now()
      ? session
      : null;
  }

  endSessions(test) {
    for (const store of [this.sessions, this.refreshes])
      for (const [id, session] of store) if (test(session)) store.delete(id);
  }

  permissionsOf({ scope, user }) {
    const teams = scope.teams
      .filter((team) => team.members.some((member) => member.uid === user.uid))
      .map((team) => team.uid);
    const held = { tenant: new Set(), projects: {} };
    for (const { role, subject, project } of scope.assignments) {
      if (subject.uid !== user.uid && !teams.includes(subject.uid)) continue;
      const names =
        scope.roles.find((candidate) => candidate.uid === role.uid)
          ?.permissions ?? [];
      const target = project
        ? (held.projects[project.uid] ??= new Set())
        : held.tenant;
      for (const name of names) target.add(name);
    }
    return {
      tenant: [...held.tenant],
      projects: Object.fromEntries(
        Object.entries(held.projects).map(([key, set]) => [key, [...set]]),
      ),
    };
  }

  permissions = (scope) =>
    permissions.filter(
      (entry) => (scope.kind === "system") === (entry.scope === "system"),
    );

  record(
    scope,
    actor,
    action,
    object,
    {
      outcome = "success",
      detail = {},
      requestId = "req-0",
      at = now(),
      project = null,
    } = {},
  ) {
    scope.audit.unshift({
      uid: uid(),
      at,
      scope: scope.kind,
      project,
      actor: actor
        ? { kind: actor.kind ?? "user", uid: actor.uid, name: actor.name }
        : { kind: "anonymous", uid: null, name: null },
      action,
      object: {
        kind: action.split(".")[0],
        uid: object?.uid ?? null,
        name: object?.name ?? null,
      },
      outcome,
      detail,
      requestId,
      address: "10.20.4.17",
      position: scope.audit.length + 1,
    });
  }

  invite(scope, user, purpose = "invite") {
    const token = randomBytes(24).toString("base64url");
    const expiresAt = inSeconds(72 * 3600);
    this.invites.set(token, { scope, user, purpose });
    return { url: `${this.origin}/invite#token=${token}`, expiresAt };
  }

  addCluster(scope, name, project, options = {}) {
    const cluster = newCluster({
      uid: uid(),
      name,
      project: named(project),
      createdAt: now(),
      ...options,
    });
    scope.clusters.push(cluster);
    return cluster;
  }

  tell(scope, name, data) {
    const text = `id: ${Date.now()}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
    for (const stream of this.streams)
      if (stream.scope === scope) stream.response.write(text);
  }

  changed(scope, cluster) {
    this.tell(scope, "cluster", cluster);
    this.tell(scope, "overview", overviewOf(scope));
  }

  /** The agent of a cluster reports for the first time. */
  connect(scope, cluster) {
    Object.assign(cluster, {
      phase: "healthy",
      reasons: [],
      kubernetesVersion: "v1.34.2",
      agentVersion: "0.1.0",
      lastHeartbeatAt: now(),
      summary: summarise(6, 0.35),
      version: cluster.version + 1,
      credential: { state: "enrolled", expiresAt: inSeconds(30 * 86_400) },
    });
    this.changed(scope, cluster);
  }

  beat() {
    for (const scope of this.tenants) {
      const alive = scope.clusters.filter((cluster) =>
        ["healthy", "degraded"].includes(cluster.phase),
      );
      for (const cluster of alive) {
        cluster.lastHeartbeatAt = now();
        cluster.summary.cpu.usedMillis = Math.round(
          cluster.summary.cpu.usedMillis * (0.98 + Math.random() * 0.04),
        );
      }
      const one = alive[Math.floor(Math.random() * alive.length)];
      if (one) this.changed(scope, one);
    }
  }
}

export const named = ({ uid, name }) => ({ uid, name });

function certificate(fqdn) {
  return {
    source: "internal",
    subject: `CN=${fqdn}`,
    names: [fqdn, "10.20.4.5"],
    issuer: "CN=Palisade internal CA 3f9a",
    notBefore: inSeconds(-86_400),
    notAfter: inSeconds(396 * 86_400),
    daysLeft: 396,
    version: 1,
    fingerprint:
      "9B:41:7E:02:D5:C8:63:AF:11:90:5C:E7:34:B2:8D:F6:0A:77:E3:49:CC:15:82:6B:D0:3E:91:58:A4:F7:2C:60",
    caPem: `-----BEGIN CERTIFICATE-----\n${Array.from({ length: 9 }, () => randomBytes(48).toString("base64")).join("\n")}\n-----END CERTIFICATE-----\n`,
  };
}
