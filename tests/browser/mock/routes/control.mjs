// Owns what tests do to the mock from outside: agents that appear, sessions that end.
import { named, now } from "../state.mjs";

const open = { open: true };

/** As `palisade simulate` does: makes clusters with an API key and lets their agents report, one after another. */
async function simulate({ state, body }) {
  const { scope } = state.session(undefined, body.token) ?? { scope: null };
  if (!scope) return { started: 0 };
  for (const cluster of scope.clusters
    .filter((candidate) => candidate.phase === "pending")
    .slice(0, 1))
    setTimeout(() => state.connect(scope, cluster), 300);
  for (let index = 1; index <= body.clusters; index += 1) {
    setTimeout(() => {
      const cluster = state.addCluster(
        scope,
        `sim-${String(index).padStart(3, "0")}`,
        named(scope.projects[0]),
      );
      state.changed(scope, cluster);
      setTimeout(() => state.connect(scope, cluster), 400);
    }, 150 * index);
  }
  return { started: body.clusters };
}

export const control = [
  ["POST", "/mock/simulate", simulate, open],
  [
    "POST",
    "/mock/end-sessions",
    ({ state }) => {
      state.endSessions(() => true);
      for (const stream of state.streams)
        stream.response.write(
          `id: ${Date.now()}\nevent: session\ndata: {"state":"ended","at":"${now()}"}\n\n`,
        );
    },
    open,
  ],
  [
    "POST",
    "/mock/drop-streams",
    ({ state }) => {
      for (const stream of state.streams) stream.response.destroy();
    },
    open,
  ],
];
