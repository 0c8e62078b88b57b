// Owns the list of all routes of the mock: method, path, handler.
import { access } from "./routes/access.mjs";
import { appliance } from "./routes/appliance.mjs";
import { audit } from "./routes/audit.mjs";
import { auth } from "./routes/auth.mjs";
import { clusters } from "./routes/clusters.mjs";
import { control } from "./routes/control.mjs";
import { tenants } from "./routes/tenants.mjs";

/** "/v1/users/:user" becomes an expression with a group named user. */
const toExpression = (path) =>
  new RegExp(`^${path.replace(/:(\w+)/g, "(?<$1>[^/]+)")}$`);

export const routes = [
  ...auth,
  ...tenants,
  ...access,
  ...clusters,
  ...audit,
  ...appliance,
  ...control,
].map(([method, path, handler, options]) => [
  method,
  toExpression(path),
  handler,
  options,
]);
