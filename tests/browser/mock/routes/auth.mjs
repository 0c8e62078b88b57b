// Owns the mock's set-up, log-in, refresh, log-out, passwords and invitations.
import { invalid, refuse } from "../refusal.mjs";
import { DEFAULT_POLICY, uid } from "../state.mjs";

const open = { open: true };

function me({ scope, user, expiresAt }, state) {
  return {
    user: { uid: user.uid, email: user.email, name: user.name },
    tenant: {
      uid: scope.uid,
      name: scope.name,
      slug: scope.slug,
      kind: scope.kind,
    },
    expiresAt,
    permissions: state.permissionsOf({ scope, user }),
  };
}

function setCookies(response, { id, refresh }) {
  const flags = "Path=/; HttpOnly; SameSite=Strict";
  response.setHeader("Set-Cookie", [
    `mock-session=${id}; ${flags}`,
    `mock-refresh=${refresh}; ${flags}`,
  ]);
}

function strong(field, password, policy) {
  if ([...(password ?? "")].length < policy.minLength)
    invalid(
      field,
      `The password needs at least ${policy.minLength} characters.`,
    );
}

function checkCode(state, code) {
  if (state.setup === "done")
    refuse(409, "conflict", "The appliance is already set up.");
  if (code !== state.setupCode)
    refuse(
      403,
      "wrong-setup-code",
      "This is not the code on the screen of the virtual machine.",
      {
        hint: "Look at the console again. The code changes when the machine restarts.",
      },
    );
}

const setupChecks = [
  { name: "address", outcome: "ok", detail: "10.20.4.5/24 on ens192" },
  {
    name: "name in DNS",
    outcome: "warning",
    detail:
      "palisade.bank.example does not resolve yet. Clusters need it later.",
  },
  {
    name: "clock",
    outcome: "ok",
    detail: "Synchronised with 10.20.0.1, 4 ms off",
  },
  { name: "disk", outcome: "ok", detail: "96 GiB free on the data disk" },
  { name: "bus", outcome: "ok", detail: "The broker answers" },
];
const kit = (state) =>
  `PALISADE RECOVERY KIT\nInstallation  ${state.fqdn}\nMade          ${new Date().toISOString()}\n\nRecovery key\n  ABEL-QINT-7FRO-92KX-VOLT-MIRA\n  SUND-40PE-KATE-LUMA-8RIV-OTTO\n\nKeep this where the administrators of the appliance\ncannot reach it alone. It opens every backup.\n`;

async function login({ state, body, response, requestId }) {
  const key = body.email?.toLowerCase();
  const scopes =
    body.scope === "system"
      ? [state.system]
      : state.tenants.filter((tenant) => tenant.state === "active");
  const found = scopes
    .filter((scope) => !body.tenant || scope.uid === body.tenant)
    .map((scope) => ({
      scope,
      user: scope.users.find((user) => user.email.toLowerCase() === key),
    }))
    .filter(
      ({ user }) =>
        user?.password &&
        user.password === body.password &&
        user.state === "active",
    );
  if (found.length === 0) {
    const failures = (state.failures.get(key) ?? 0) + 1;
    state.failures.set(key, failures);
    for (const scope of scopes.slice(0, 1))
      state.record(scope, null, "auth.login", null, {
        outcome: "failed",
        requestId,
      });
    if (failures > 9)
      refuse(429, "too-many-attempts", "Too many failed attempts.", {
        retryAfter: 60,
      });
    refuse(
      401,
      "wrong-credentials",
      "The e-mail address or the password is wrong.",
    );
  }
  state.failures.delete(key);
  if (found.length > 1)
    return {
      outcome: "chooseTenant",
      tenants: found.map(({ scope: { uid, name, slug } }) => ({
        uid,
        name,
        slug,
      })),
    };
  const [{ scope, user }] = found;
  if (user.expired) {
    const changeToken = uid();
    state.invites.set(changeToken, { scope, user, purpose: "change" });
    return { outcome: "passwordExpired", changeToken };
  }
  const signed = state.signIn(scope, user);
  setCookies(response, signed);
  state.record(scope, user, "auth.login", user, { requestId });
  return { outcome: "signedIn", session: me(signed.session, state) };
}

function refresh({ state, cookies, response }) {
  const session = state.refreshes.get(cookies["mock-refresh"]);
  if (!session) refuse(401, "session-ended", "Your session has ended.");
  state.refreshes.delete(cookies["mock-refresh"]);
  const signed = state.signIn(session.scope, session.user);
  setCookies(response, signed);
  return { outcome: "signedIn", session: me(signed.session, state) };
}

function logout({ state, me: session, response }, everywhere) {
  if (session)
    state.endSessions((other) =>
      everywhere ? other.user === session.user : other === session,
    );
  response.setHeader("Set-Cookie", [
    "mock-session=; Path=/; Max-Age=0",
    "mock-refresh=; Path=/; Max-Age=0",
  ]);
}

function changePassword({ state, me: session, body }) {
  if (body.changeToken) {
    const change =
      state.invites.get(body.changeToken) ??
      refuse(401, "session-ended", "This took too long. Log in again.");
    strong("new", body.new, change.scope.policy);
    if (body.new === change.user.password)
      invalid("new", "Choose a password you have not used before.");
    Object.assign(change.user, { password: body.new, expired: false });
    return state.invites.delete(body.changeToken) ? undefined : undefined;
  }
  if (!session) refuse(401, "unauthenticated", "You are not logged in.");
  if (body.current !== session.user.password)
    invalid("current", "This is not your current password.");
  strong("new", body.new, session.scope.policy);
  session.user.password = body.new;
  return undefined;
}

const invited = ({ state, body }) =>
  state.invites.get(body.token) ??
  refuse(404, "not-found", "This link is used up or too old.");

export const auth = [
  ["GET", "/healthz", () => ({ ok: true }), open],
  [
    "GET",
    "/readyz",
    () => ({ ready: true, checks: [{ name: "store", ok: true, detail: "" }] }),
    open,
  ],
  [
    "GET",
    "/v1/context",
    ({ state }) => ({
      product: "Palisade",
      version: "0.1.0",
      setup: state.setup,
      tenant: null,
      fqdn: state.fqdn,
      fingerprint: state.certificate.fingerprint,
      passwordPolicy: DEFAULT_POLICY,
    }),
    open,
  ],
  [
    "POST",
    "/v1/setup/check",
    ({ state, body }) => (checkCode(state, body.code), { checks: setupChecks }),
    open,
  ],
  [
    "POST",
    "/v1/setup",
    async ({ state, body, response }) => {
      checkCode(state, body.code);
      strong("admin.password", body.admin.password, DEFAULT_POLICY);
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      const user = state.addUser(state.system, body.admin);
      state.assign(state.system, "System administrator", {
        kind: "user",
        uid: user.uid,
        name: user.name,
      });
      state.setup = "done";
      setCookies(response, state.signIn(state.system, user));
      state.record(
        state.system,
        { kind: "system", uid: null, name: "set-up" },
        "setup.complete",
        user,
      );
      return {
        status: 201,
        json: {
          recoveryKit: kit(state),
          fingerprint: state.certificate.fingerprint,
        },
      };
    },
    open,
  ],
  ["POST", "/v1/auth/login", login, open],
  ["POST", "/v1/auth/refresh", refresh, open],
  ["POST", "/v1/auth/logout", (context) => logout(context, false), open],
  ["POST", "/v1/auth/logout-everywhere", (context) => logout(context, true)],
  ["GET", "/v1/auth/me", ({ state, me: session }) => me(session, state)],
  ["POST", "/v1/auth/password", changePassword, open],
  [
    "POST",
    "/v1/auth/invite/inspect",
    (context) => {
      const { scope, user, purpose } = invited(context);
      return {
        tenant: { name: scope.name, slug: scope.slug, kind: scope.kind },
        name: user.name,
        email: user.email,
        purpose,
        policy: scope.policy,
      };
    },
    open,
  ],
  [
    "POST",
    "/v1/auth/invite/accept",
    (context) => {
      const { scope, user } = invited(context);
      strong("password", context.body.password, scope.policy);
      Object.assign(user, {
        password: context.body.password,
        state: "active",
        version: user.version + 1,
      });
      context.state.invites.delete(context.body.token);
      context.state.record(scope, user, "user.accept", user);
    },
    open,
  ],
];
