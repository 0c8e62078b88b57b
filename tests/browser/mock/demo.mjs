// Owns the demonstration data: a bank with a dozen clusters in every phase.

const PASSWORD = "correct horse battery staple";
const ago = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString();

export function demoData(state) {
  state.setup = "done";
  const root = state.addUser(state.system, {
    name: "Robin Okafor",
    email: "root@palisade.example",
    password: PASSWORD,
  });
  state.assign(state.system, "System administrator", {
    kind: "user",
    uid: root.uid,
    name: root.name,
  });
  state.record(state.system, null, "auth.login", root, {
    outcome: "denied",
    detail: { reason: "wrong-credentials" },
  });

  const bank = state.addTenant("Nordbank", "nordbank");
  state.record(state.system, root, "tenant.create", bank);
  const second = state.addTenant("Harbour Logistics", "harbour");
  const shared = state.addUser(second, {
    name: "Ana Keller",
    email: "ana@nordbank.example",
    password: PASSWORD,
  });
  state.assign(second, "Tenant administrator", {
    kind: "user",
    uid: shared.uid,
    name: shared.name,
  });
  state.addTenant("Old Mutual Fund", "old-mutual").state = "suspended";

  const users = people(state, bank);
  fleet(state, bank, users.ana);
  fillAudit(state, bank, users);
}

function people(state, bank) {
  const add = (name, email, options = {}) =>
    state.addUser(bank, {
      name,
      email: `${email}@nordbank.example`,
      password: PASSWORD,
      ...options,
    });
  const ana = add("Ana Keller", "ana");
  const vic = add("Victor Lindqvist", "vic");
  const eva = add("Eva Marin", "eva", { expired: true });
  add("Jonas Brandt", "jonas", { password: null });
  Object.assign(add("Mira Sato", "mira"), { state: "disabled" });
  for (const name of ["Piotr Zielinski", "Leila Haddad", "Tom Ferreira"])
    add(name, name.split(" ")[0].toLowerCase());
  ana.lastLoginAt = ago(4);
  vic.lastLoginAt = ago(2_900);
  for (const [name, project] of [
    ["Payments", "Payments"],
    ["Core platform", "Core"],
    ["Retail", "Retail"],
  ]) {
    bank.projects.push({
      uid: id(state),
      name,
      description: `Clusters of ${project.toLowerCase()} systems`,
      createdAt: ago(90_000),
      version: 1,
    });
  }
  const team = {
    uid: id(state),
    name: "Platform operations",
    description: "On call for every cluster",
    createdAt: ago(80_000),
    version: 1,
    members: [vic, eva].map(({ uid, name, email }) => ({ uid, name, email })),
  };
  bank.teams.push(team);
  state.assign(bank, "Tenant administrator", {
    kind: "user",
    uid: ana.uid,
    name: ana.name,
  });
  state.assign(bank, "Tenant auditor", {
    kind: "user",
    uid: vic.uid,
    name: vic.name,
  });
  state.assign(
    bank,
    "Cluster operator",
    { kind: "team", uid: team.uid, name: team.name },
    { uid: bank.projects[0].uid, name: "Payments" },
  );
  bank.apiKeys.push({
    uid: id(state),
    name: "nightly-report",
    prefix: "pal_7f3a",
    owner: { uid: ana.uid, name: ana.name },
    createdAt: ago(50_000),
    expiresAt: new Date(Date.now() + 40 * 86_400_000).toISOString(),
    lastUsedAt: ago(340),
    secret: "x",
  });
  return { ana, vic, eva };
}

const id = (state) => state.addUser({ users: [] }, { name: "", email: "" }).uid;

function fleet(state, bank, ana) {
  const [payments, core, retail] = bank.projects;
  const list = [
    ["payments-eu-1", payments, { nodes: 12, load: 0.62 }],
    ["payments-eu-2", payments, { nodes: 12, load: 0.58 }],
    ["payments-us-1", payments, { nodes: 9, load: 0.41 }],
    ["core-build", core, { nodes: 20, load: 0.83, version: "v1.33.6" }],
    ["core-observability", core, { nodes: 7, load: 0.71 }],
    ["core-sandbox", core, { nodes: 3, load: 0.12 }],
    ["core-vault", core, { nodes: 5, load: 0.22 }],
    [
      "retail-branch-north",
      retail,
      { nodes: 4, load: 0.35, version: "v1.32.9" },
    ],
    [
      "retail-branch-south",
      retail,
      { nodes: 4, load: 0.38, version: "v1.32.9" },
    ],
    ["retail-mobile", retail, { nodes: 10, load: 0.55 }],
    ["retail-web", retail, { nodes: 10, load: 0.6 }],
  ];
  for (const [name, project, options] of list) {
    state.addCluster(bank, name, project, {
      phase: "healthy",
      createdAt: ago(70_000),
      ...options,
    });
    state.record(bank, ana, "cluster.import", bank.clusters.at(-1), {
      at: ago(70_000),
      project: { uid: project.uid, name: project.name },
    });
  }
  state.addCluster(bank, "payments-dr", payments, {});
  state.addCluster(bank, "retail-kiosk-test", retail, {});
  const byName = (name) =>
    bank.clusters.find((cluster) => cluster.name === name);
  degrade(byName("core-build"));
  Object.assign(byName("retail-branch-south"), {
    phase: "unreachable",
    lastHeartbeatAt: ago(47),
    reasons: [
      {
        code: "no-heartbeat",
        message:
          "No heartbeat for 47 minutes. The agent or its way to this appliance is down.",
      },
    ],
  });
  byName("payments-eu-1").hasKubeconfig = true;
  bank.kubeconfigs.set(
    byName("payments-eu-1").uid,
    "apiVersion: v1\nkind: Config\n",
  );
  byName("core-sandbox").summary.cpu.usedMillis = null;
  byName("core-sandbox").summary.memory.usedBytes = null;
}

function degrade(cluster) {
  const { summary } = cluster;
  summary.nodes.ready = 18;
  Object.assign(summary.nodeList[7], {
    ready: false,
    reason: "KubeletNotReady: container runtime is down",
  });
  Object.assign(summary.nodeList[9], {
    ready: false,
    schedulable: false,
    reason: "Drained for maintenance",
  });
  summary.pods.pending = 14;
  summary.pods.failed = 3;
  summary.unhealthyWorkloads = [
    {
      kind: "Deployment",
      namespace: "ci",
      name: "runner-large",
      reason: "4 of 10 replicas are available: insufficient memory",
    },
    {
      kind: "StatefulSet",
      namespace: "registry",
      name: "cache",
      reason: "Pod cache-2 is in CrashLoopBackOff",
    },
  ];
  cluster.phase = "degraded";
  cluster.reasons = [
    { code: "nodes-not-ready", message: "2 of 20 nodes are not ready." },
    {
      code: "workloads-unhealthy",
      message: "2 workloads have fewer replicas than wanted.",
    },
  ];
}

function fillAudit(state, bank, { ana, vic, eva }) {
  const agent = {
    kind: "agent",
    uid: bank.clusters[3].uid,
    name: "core-build",
  };
  for (let index = 0; index < 130; index += 1) {
    const cluster = bank.clusters[index % bank.clusters.length];
    const [actor, action, options] = [
      [
        ana,
        "cluster.update",
        { detail: { name: { before: "old-name", after: cluster.name } } },
      ],
      [
        vic,
        "cluster.kubeconfig",
        { outcome: "denied", detail: { permission: "cluster.kubeconfig" } },
      ],
      [agent, "cluster.phase", { detail: { from: "healthy", to: "degraded" } }],
      [
        null,
        "auth.login",
        { outcome: "failed", detail: { reason: "wrong-credentials" } },
      ],
      [eva, "auth.login", {}],
    ][index % 5];
    state.record(
      bank,
      actor,
      action,
      action.startsWith("auth") ? { uid: null, name: null } : cluster,
      {
        ...options,
        at: ago(1_500 - index * 11),
        requestId: `req-${4_100 + index}`,
      },
    );
  }
}
