// Owns the mock's clusters, their import, statistics, kubeconfigs, the overview and the event stream.
import { overviewOf, statistics } from "../fleet.mjs";
import { change, need, page, pick, remove, unique } from "../lists.mjs";
import { invalid, refuse } from "../refusal.mjs";
import { inSeconds, uid } from "../state.mjs";

function importOf(state) {
  const token = `${uid()}${uid()}`;
  const manifestUrl = `https://${state.fqdn}/v1/agent/manifest/${token}`;
  return {
    command: `curl -fsS ${manifestUrl} | kubectl apply -f -`,
    pinnedCommand: `curl -fsS --pinnedpubkey 'sha256//b7Jx3mVhC0rT1sQ8yqk5u9eWb2mJx0aL4dPzR6tYh1A=' -k ${manifestUrl} | kubectl apply -f -`,
    manifestUrl,
    expiresAt: inSeconds(3600),
  };
}

const find = ({ me, params }) => pick(me.scope.clusters, params.cluster);

function events({ state, me, response }) {
  const stream = { scope: me.scope, user: me.user, response };
  response.writeHead(200, {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
  });
  response.write(": hello\n\n");
  state.streams.add(stream);
  const alive = setInterval(() => response.write(": alive\n\n"), 15_000);
  // The request closes as soon as its body is read; only the response lives as long as the stream.
  response.on("close", () => {
    clearInterval(alive);
    state.streams.delete(stream);
  });
}

export const clusters = [
  [
    "GET",
    "/v1/clusters",
    (context) => {
      need(context, "cluster.list");
      return page(context, context.me.scope.clusters, {
        filters: {
          phase: (cluster, phase) => cluster.phase === phase,
          project: (cluster, project) => cluster.project.uid === project,
        },
      });
    },
  ],
  [
    "POST",
    "/v1/clusters",
    (context) => {
      const {
        state,
        me: { scope, user },
        body,
        requestId,
      } = context;
      need(context, "cluster.import", body.project);
      if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(body.name ?? ""))
        invalid("name", "Use lower-case letters, digits and hyphens.");
      unique(scope.clusters, "name", body.name);
      const project = pick(scope.projects, body.project);
      const cluster = state.addCluster(scope, body.name, project);
      state.record(scope, user, "cluster.import", cluster, {
        requestId,
        project: { uid: project.uid, name: project.name },
      });
      state.changed(scope, cluster);
      return { status: 201, json: { cluster, import: importOf(state) } };
    },
  ],
  ["GET", "/v1/clusters/:cluster", find],
  [
    "PATCH",
    "/v1/clusters/:cluster",
    (context) => {
      const {
        state,
        me: { scope, user },
        body,
        requestId,
      } = context;
      const cluster = find(context);
      need(context, "cluster.update", cluster.project.uid);
      unique(scope.clusters, "name", body.name, cluster);
      change(context, cluster, body, ["name"]);
      state.record(scope, user, "cluster.update", cluster, {
        requestId,
        detail: body,
      });
      state.changed(scope, cluster);
      return cluster;
    },
  ],
  [
    "DELETE",
    "/v1/clusters/:cluster",
    (context) => {
      const {
        state,
        me: { scope, user },
        requestId,
      } = context;
      const cluster = find(context);
      need(context, "cluster.delete", cluster.project.uid);
      remove(scope.clusters, cluster);
      state.record(scope, user, "cluster.delete", cluster, { requestId });
      state.tell(scope, "clusterDeleted", { uid: cluster.uid });
      state.tell(scope, "overview", overviewOf(scope));
    },
  ],
  [
    "POST",
    "/v1/clusters/:cluster/import-token",
    (context) => {
      const cluster = find(context);
      need(context, "cluster.import", cluster.project.uid);
      if (cluster.phase !== "pending")
        refuse(409, "conflict", "The cluster has already enrolled.");
      return importOf(context.state);
    },
  ],
  [
    "GET",
    "/v1/clusters/:cluster/statistics",
    (context) => statistics(find(context)),
  ],
  [
    "PUT",
    "/v1/clusters/:cluster/kubeconfig",
    (context) => {
      const cluster = find(context);
      if (!/apiVersion/.test(context.body.kubeconfig ?? ""))
        invalid(
          "kubeconfig",
          "This is not a kubeconfig: apiVersion is missing.",
        );
      context.me.scope.kubeconfigs.set(cluster.uid, context.body.kubeconfig);
      cluster.hasKubeconfig = true;
    },
  ],
  [
    "GET",
    "/v1/clusters/:cluster/kubeconfig",
    (context) => {
      const cluster = find(context);
      need(context, "cluster.kubeconfig", cluster.project.uid);
      const {
        state,
        me: { scope, user },
      } = context;
      state.record(scope, user, "cluster.kubeconfig", cluster);
      context.response.writeHead(200, {
        "Content-Type": "application/yaml",
        "Content-Disposition": `attachment; filename="${cluster.name}.yaml"`,
      });
      context.response.end(scope.kubeconfigs.get(cluster.uid) ?? "");
    },
  ],
  ["GET", "/v1/overview", ({ me }) => overviewOf(me.scope)],
  ["GET", "/v1/events", events],
];
