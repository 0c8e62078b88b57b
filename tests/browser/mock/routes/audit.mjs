// Owns the mock's audit: list, one record, exports, verification.
import { page, pick } from "../lists.mjs";
import { now } from "../state.mjs";

const filters = {
  from: (record, from) => record.at >= from,
  to: (record, to) => record.at <= to,
  actor: (record, actor) =>
    record.actor.uid === actor ||
    record.actor.name?.toLowerCase().includes(actor.toLowerCase()),
  action: (record, action) =>
    record.action === action || record.action.startsWith(`${action}.`),
  object: (record, object) =>
    record.object.uid === object || record.object.name === object,
  outcome: (record, outcome) => record.outcome === outcome,
  project: (record, project) => record.project?.uid === project,
};
const sorted = ({ me }) =>
  [...me.scope.audit].sort((a, b) => b.at.localeCompare(a.at));
/** A cell that starts like a formula is made harmless. */
const cell = (value) =>
  `"${String(value ?? "")
    .replace(/^([=+\-@\t\r])/, "'$1")
    .replaceAll('"', '""')}"`;

function download(context, name, type, text) {
  context.response.writeHead(200, {
    "Content-Type": type,
    "Content-Disposition": `attachment; filename="${name}"`,
  });
  context.response.end(text);
}
function all(context) {
  context.query.set("limit", "100000");
  return page(context, sorted(context), { filters }).items;
}

export const audit = [
  [
    "GET",
    "/v1/audit",
    (context) =>
      page(context, sorted(context), {
        text: (record) => record.action,
        filters,
      }),
  ],
  [
    "GET",
    "/v1/audit/export.csv",
    (context) => {
      const rows = all(context).map((record) =>
        [
          record.at,
          record.actor.name,
          record.action,
          record.object.name,
          record.outcome,
          record.address,
          record.uid,
        ]
          .map(cell)
          .join(","),
      );
      download(
        context,
        "audit.csv",
        "text/csv",
        ["at,actor,action,object,outcome,address,uid", ...rows].join("\r\n"),
      );
    },
  ],
  [
    "GET",
    "/v1/audit/export.jsonl",
    (context) =>
      download(
        context,
        "audit.jsonl",
        "application/x-ndjson",
        all(context)
          .map((record) => JSON.stringify(record))
          .join("\n"),
      ),
  ],
  [
    "GET",
    "/v1/audit/verify",
    ({ me }) => ({
      ok: true,
      records: me.scope.audit.length,
      checkpointAt: now(),
      lagMs: 12,
      firstBad: null,
    }),
  ],
  [
    "GET",
    "/v1/audit/:record",
    ({ me, params }) => pick(me.scope.audit, params.record),
  ],
];
