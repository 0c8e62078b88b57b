// Owns the mock's permissions and built-in roles.
import { randomBytes } from "node:crypto";

const verbs = {
  list: "See the list of",
  get: "Read",
  create: "Create",
  update: "Change",
  delete: "Delete",
};
const crud = (component, words, scope) =>
  Object.entries(verbs).map(([operation, verb]) => ({
    name: `${component}.${operation}`,
    component,
    operation,
    scope,
    description: `${verb} ${words}`,
  }));
const one = (name, description, scope) => ({
  name,
  component: name.split(".")[0],
  operation: name.split(".")[1],
  scope,
  description,
});

const shared = (scope) => [
  ...crud("user", "users", scope),
  ...crud("team", "teams", scope),
  ...crud("role", "roles", scope),
  one("role.assign", "Give roles and take them away", scope),
  ...crud("apiKey", "API keys", scope),
  one("audit.list", "Search and export the audit", scope),
  one("audit.get", "Read an audit record", scope),
  one("passwordPolicy.get", "Read the password policy", scope),
  one("passwordPolicy.update", "Change the password policy", scope),
];

export const permissions = [
  ...crud("cluster", "clusters", "project"),
  one("cluster.import", "Import clusters", "project"),
  one("cluster.kubeconfig", "Download kubeconfigs", "project"),
  one("project.get", "Read projects", "project"),
  one("project.list", "See the list of projects", "project"),
  one("project.update", "Change projects", "project"),
  one("project.create", "Create projects", "tenant"),
  one("project.delete", "Delete projects", "tenant"),
  ...shared("tenant"),
  ...crud("tenant", "tenants", "system"),
  ...shared("system"),
  one("certificate.get", "Read the certificate", "system"),
  one("certificate.update", "Import a certificate", "system"),
  one("platform.get", "See the state of the appliance and its keys", "system"),
  one(
    "platform.update",
    "Change settings of the appliance and rotate keys",
    "system",
  ),
];

export function builtInRoles(kind) {
  const names = (test) => [
    ...new Set(permissions.filter(test).map((entry) => entry.name)),
  ];
  const role = (name, description, scope, held) => ({
    uid: randomBytes(6).toString("hex"),
    name,
    description,
    builtIn: true,
    scope,
    permissions: held,
    createdAt: new Date().toISOString(),
    version: 1,
  });
  const read = (entry) => ["list", "get"].includes(entry.operation);
  if (kind === "system") {
    return [
      role(
        "System administrator",
        "Everything in the system scope.",
        "system",
        names((entry) => entry.scope === "system"),
      ),
      role(
        "System auditor",
        "Reads everything in the system scope, changes nothing.",
        "system",
        names((entry) => entry.scope === "system" && read(entry)),
      ),
    ];
  }
  return [
    role(
      "Tenant administrator",
      "Everything in the tenant.",
      "tenant",
      names((entry) => entry.scope !== "system"),
    ),
    role(
      "Tenant auditor",
      "Reads everything in the tenant, changes nothing.",
      "tenant",
      names((entry) => entry.scope !== "system" && read(entry)),
    ),
    role(
      "Cluster operator",
      "Imports and changes clusters of a project.",
      "project",
      names(
        (entry) => entry.scope === "project" && entry.name !== "cluster.delete",
      ),
    ),
    role(
      "Cluster viewer",
      "Sees the clusters of a project.",
      "project",
      names((entry) => entry.scope === "project" && read(entry)),
    ),
  ];
}
