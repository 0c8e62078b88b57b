// Owns made-up clusters: phases, nodes, workloads, a day of measurements, the overview.

const GIB = 1024 ** 3;

export function newCluster({
  uid,
  name,
  project,
  createdAt,
  phase = "pending",
  nodes = 6,
  load = 0.4,
  version = "v1.34.2",
  ...rest
}) {
  const connected = phase !== "pending";
  return {
    uid,
    name,
    project,
    phase,
    reasons: connected
      ? []
      : [
          {
            code: "awaiting-agent",
            message: "The agent has not connected yet.",
          },
        ],
    kubernetesVersion: connected ? version : null,
    agentVersion: connected ? "0.1.0" : null,
    lastHeartbeatAt: connected ? new Date().toISOString() : null,
    createdAt,
    version: 1,
    summary: connected ? summarise(nodes, load) : null,
    hasKubeconfig: false,
    credential: connected
      ? {
          state: "enrolled",
          expiresAt: new Date(Date.now() + 30 * 86_400_000).toISOString(),
        }
      : { state: "awaiting", expiresAt: null },
    ...rest,
  };
}

export function summarise(nodes, load, version = "v1.34.2") {
  const pods = Math.round(nodes * 22 * (0.5 + load));
  return {
    nodes: { total: nodes, ready: nodes },
    pods: {
      running: pods,
      pending: 0,
      failed: 0,
      succeeded: Math.round(pods / 9),
      unknown: 0,
    },
    cpu: {
      allocatableMillis: nodes * 7_800,
      usedMillis: Math.round(nodes * 7_800 * load),
    },
    memory: {
      allocatableBytes: nodes * 31 * GIB,
      usedBytes: Math.round(nodes * 31 * GIB * Math.min(0.97, load * 1.25)),
    },
    apiLatencyMs: Math.round(6 + load * 30),
    unhealthyWorkloads: [],
    nodeList: Array.from({ length: nodes }, (_, index) => ({
      name:
        index < 3
          ? `control-${index + 1}`
          : `worker-${String(index - 2).padStart(2, "0")}`,
      ready: true,
      schedulable: true,
      reason: null,
      version,
    })),
  };
}

export function overviewOf(scope) {
  const clusters = {
    total: scope.clusters.length,
    pending: 0,
    healthy: 0,
    degraded: 0,
    unreachable: 0,
  };
  const total = {
    clusters,
    nodes: { total: 0, ready: 0 },
    pods: { running: 0, pending: 0, failed: 0 },
    cpu: { allocatableMillis: 0, usedMillis: 0 },
    memory: { allocatableBytes: 0, usedBytes: 0 },
  };
  for (const { phase, summary } of scope.clusters) {
    clusters[phase] += 1;
    if (!summary) continue;
    for (const part of ["nodes", "pods", "cpu", "memory"])
      for (const key of Object.keys(total[part]))
        total[part][key] += summary[part][key];
  }
  return {
    ...total,
    attention: scope.clusters
      .filter(({ phase }) => phase === "degraded" || phase === "unreachable")
      .slice(0, 20),
  };
}

export function statistics(cluster) {
  const step = 300;
  const start = Date.now() - 86_400_000;
  const { summary } = cluster;
  if (!summary) return { stepSeconds: step, points: [] };
  const points = Array.from({ length: 288 }, (_, index) => {
    const at = start + index * step * 1000;
    const day =
      0.75 +
      0.25 * Math.sin((new Date(at).getUTCHours() / 24) * 2 * Math.PI - 1.8) +
      Math.sin(index * 1.7) * 0.03;
    return {
      at: new Date(at).toISOString(),
      nodesReady: summary.nodes.ready,
      nodesTotal: summary.nodes.total,
      podsRunning: Math.round(summary.pods.running * (0.9 + day * 0.1)),
      podsPending: index % 40 === 0 ? 3 : summary.pods.pending,
      podsFailed: summary.pods.failed,
      cpuUsedMillis:
        index > 96 && index < 104
          ? null
          : Math.round((summary.cpu.usedMillis ?? 0) * day),
      cpuAllocatableMillis: summary.cpu.allocatableMillis,
      memoryUsedBytes: Math.round(
        (summary.memory.usedBytes ?? 0) * (0.9 + day * 0.1),
      ),
      memoryAllocatableBytes: summary.memory.allocatableBytes,
      apiLatencyMs: summary.apiLatencyMs,
    };
  });
  return { stepSeconds: step, points };
}
