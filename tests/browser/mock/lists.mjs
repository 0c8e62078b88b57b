// Owns what every list and every object of the mock does alike: paging, sorting, search, versions, permission.
import { invalid, refuse } from "./refusal.mjs";

export function page(
  { query },
  items,
  { text = (item) => item.name, filters = {} } = {},
) {
  const q = query.get("q")?.toLowerCase();
  let found = items.filter(
    (item) => !q || text(item).toLowerCase().includes(q),
  );
  for (const [name, value] of Object.entries(filters)) {
    const wanted = query.get(name);
    if (wanted) found = found.filter((item) => value(item, wanted));
  }
  const sort = query.get("sort") ?? "name";
  const key = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? -1 : 1;
  found = [...found].sort(
    (a, b) => sign * String(a[key] ?? "").localeCompare(String(b[key] ?? "")),
  );
  const limit = Number(query.get("limit") ?? 50);
  const start = Number(
    Buffer.from(query.get("cursor") ?? "", "base64url").toString() || 0,
  );
  const end = start + limit;
  return {
    items: found.slice(start, end),
    nextCursor:
      end < found.length
        ? Buffer.from(String(end)).toString("base64url")
        : null,
    total: found.length,
  };
}

export function need({ state, me }, permission, project) {
  const held = state.permissionsOf(me);
  const has =
    held.tenant.includes(permission) ||
    (project
      ? held.projects[project]?.includes(permission)
      : Object.values(held.projects).some((names) =>
          names.includes(permission),
        ));
  if (!has)
    refuse(403, "forbidden", `You need the permission ${permission}.`, {
      hint: "Ask an administrator for a role that has it.",
    });
}

export function pick(items, uid) {
  return (
    items.find((item) => item.uid === uid) ??
    refuse(404, "not-found", "There is no such object.")
  );
}

/** Applies a change when the caller saw the newest version. */
export function change({ version }, object, body, allowed) {
  if (!version)
    refuse(428, "version-required", "Send If-Match with the version you read.");
  if (version !== object.version)
    refuse(412, "stale", "The object was changed by somebody else.", {
      hint: "Read it again and repeat your change.",
    });
  for (const key of Object.keys(body))
    if (!allowed.includes(key)) invalid(key, "This field is not known.");
  Object.assign(object, body);
  object.version += 1;
  return object;
}

export function remove(items, object) {
  items.splice(items.indexOf(object), 1);
}

export function unique(items, field, value, except) {
  if (!value?.trim()) invalid(field, "This is needed.");
  if (
    items.some(
      (item) =>
        item !== except &&
        item[field]?.toLowerCase() === value.trim().toLowerCase(),
    )
  ) {
    refuse(409, "conflict", `There is already one with this ${field}.`, {
      fields: [{ field, message: "This is already used." }],
    });
  }
}
