// Owns the mock's settings, certificate, keys and platform state.
import { change, need } from "../lists.mjs";
import { refuse } from "../refusal.mjs";
import { now, uid } from "../state.mjs";

const keysView = ({ keys, tenants }) => ({
  ...keys,
  tenantKeys: tenants.length,
});
const policyFields = [
  "minLength",
  "requireUpper",
  "requireLower",
  "requireDigit",
  "requireSymbol",
  "expiresAfterDays",
  "history",
  "blockList",
];

export const appliance = [
  ["GET", "/v1/settings/password-policy", ({ me }) => me.scope.policy],
  [
    "PUT",
    "/v1/settings/password-policy",
    (context) => {
      need(context, "passwordPolicy.update");
      change(context, context.me.scope.policy, context.body, policyFields);
      context.state.record(
        context.me.scope,
        context.me.user,
        "settings.update",
        { uid: null, name: "password policy" },
      );
      return context.me.scope.policy;
    },
  ],
  ["GET", "/v1/settings/general", ({ state }) => state.general],
  [
    "PUT",
    "/v1/settings/general",
    (context) => (
      need(context, "platform.update"),
      change(context, context.state.general, context.body, ["fqdn"])
    ),
  ],
  [
    "GET",
    "/v1/settings/certificate",
    (context) => (need(context, "certificate.get"), context.state.certificate),
  ],
  [
    "PUT",
    "/v1/settings/certificate",
    (context) => {
      const { state, body } = context;
      need(context, "certificate.update");
      const fields = [];
      if (!body.certificate.includes("BEGIN CERTIFICATE"))
        fields.push({
          field: "certificate",
          message: "This holds no PEM certificate.",
        });
      if (!body.privateKey.includes("PRIVATE KEY"))
        fields.push({
          field: "privateKey",
          message: "This holds no PEM private key.",
        });
      if (fields.length)
        refuse(422, "invalid", "The certificate was not accepted.", { fields });
      state.certificate = {
        ...state.certificate,
        source: "imported",
        issuer: "CN=Nordbank Issuing CA 2",
        daysLeft: 24,
        version: state.certificate.version + 1,
      };
      return state.certificate;
    },
  ],
  [
    "POST",
    "/v1/settings/certificate/reset",
    (context) => {
      need(context, "certificate.update");
      Object.assign(context.state.certificate, {
        source: "internal",
        issuer: "CN=Palisade internal CA 3f9a",
        daysLeft: 396,
      });
      return context.state.certificate;
    },
  ],
  [
    "GET",
    "/v1/keys",
    (context) => (
      need(context, "platform.get"),
      { json: keysView(context.state) }
    ),
  ],
  [
    "POST",
    "/v1/keys/:which/rotate",
    (context) => {
      const { state, params } = context;
      need(context, "platform.update");
      if (params.which === "root")
        state.keys.rootKey = {
          id: `rk-${uid().slice(0, 4)}`,
          createdAt: now(),
        };
      else
        state.keys.jwtKeys = [
          { id: `jk-${uid().slice(0, 4)}`, createdAt: now(), state: "signing" },
          ...state.keys.jwtKeys.map((key) => ({ ...key, state: "verifying" })),
        ];
      return { json: keysView(state) };
    },
  ],
  [
    "GET",
    "/v1/platform",
    (context) => {
      need(context, "platform.get");
      const agents = context.state.tenants
        .flatMap((tenant) => tenant.clusters)
        .filter((cluster) => cluster.phase === "healthy").length;
      const checks = [
        ["store", "SQLite, 41 MB"],
        ["bus", "nats-server 2.9.10 answers in 1 ms"],
        ["keystore", "Unsealed"],
        ["disk", "94 GiB free"],
        ["clock", "4 ms off"],
      ];
      return {
        json: {
          version: "0.1.0",
          uptimeSeconds:
            Math.round((Date.now() - context.state.started) / 1000) + 93_000,
          node: "palisade-1",
          memoryBytes: 211 * 1024 ** 2,
          checks: checks.map(([name, detail]) => ({ name, ok: true, detail })),
          bus: { connected: true, agents },
        },
      };
    },
  ],
];
