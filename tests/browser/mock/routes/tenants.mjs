// Owns the mock's tenants and projects.
import { change, need, page, pick, remove, unique } from "../lists.mjs";
import { invalid, refuse } from "../refusal.mjs";
import { now, uid } from "../state.mjs";

const tenantView = ({
  uid,
  name,
  slug,
  state,
  createdAt,
  version,
  projects,
  users,
  clusters,
}) => ({
  uid,
  name,
  slug,
  state,
  createdAt,
  version,
  counts: {
    projects: projects.length,
    users: users.length,
    clusters: clusters.length,
  },
});
const projectView = (scope) => (project) => ({
  ...project,
  counts: {
    clusters: scope.clusters.filter(
      (cluster) => cluster.project.uid === project.uid,
    ).length,
  },
});

function invitedAdmin(state, tenant, admin) {
  if (!/@/.test(admin.email))
    invalid("admin.email", "Enter an e-mail address.");
  const user = state.addUser(tenant, admin);
  state.assign(tenant, "Tenant administrator", {
    kind: "user",
    uid: user.uid,
    name: user.name,
  });
  return { user, invite: admin.password ? null : state.invite(tenant, user) };
}

export const tenants = [
  [
    "GET",
    "/v1/tenants",
    (context) => (
      need(context, "tenant.list"),
      page(context, context.state.tenants.map(tenantView))
    ),
  ],
  [
    "POST",
    "/v1/tenants",
    (context) => {
      const { state, me, body, requestId } = context;
      need(context, "tenant.create");
      unique(state.tenants, "slug", body.slug);
      if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(body.slug))
        invalid("slug", "Use lower-case letters, digits and hyphens.");
      const tenant = state.addTenant(body.name, body.slug);
      const made = body.admin
        ? invitedAdmin(state, tenant, body.admin)
        : { invite: null };
      state.record(state.system, me.user, "tenant.create", tenant, {
        requestId,
      });
      return {
        status: 201,
        json: { tenant: tenantView(tenant), invite: made.invite },
      };
    },
  ],
  [
    "GET",
    "/v1/tenants/:tenant",
    (context) => (
      need(context, "tenant.get"),
      tenantView(pick(context.state.tenants, context.params.tenant))
    ),
  ],
  [
    "PATCH",
    "/v1/tenants/:tenant",
    (context) => {
      need(context, "tenant.update");
      const tenant = pick(context.state.tenants, context.params.tenant);
      change(context, tenant, context.body, ["name", "state"]);
      if (tenant.state === "suspended")
        context.state.endSessions((session) => session.scope === tenant);
      context.state.record(
        context.state.system,
        context.me.user,
        "tenant.update",
        tenant,
        { requestId: context.requestId },
      );
      return tenantView(tenant);
    },
  ],
  [
    "DELETE",
    "/v1/tenants/:tenant",
    (context) => {
      need(context, "tenant.delete");
      const tenant = pick(context.state.tenants, context.params.tenant);
      remove(context.state.tenants, tenant);
      context.state.record(
        context.state.system,
        context.me.user,
        "tenant.delete",
        tenant,
      );
    },
  ],
  [
    "POST",
    "/v1/tenants/:tenant/admins",
    (context) => {
      need(context, "tenant.update");
      const tenant = pick(context.state.tenants, context.params.tenant);
      unique(tenant.users, "email", context.body.email);
      return {
        status: 201,
        json: invitedAdmin(context.state, tenant, context.body),
      };
    },
  ],
  [
    "POST",
    "/v1/tenants/:tenant/key/rotate",
    (context) => {
      need(context, "tenant.update");
      const tenant = pick(context.state.tenants, context.params.tenant);
      tenant.keyVersion = (tenant.keyVersion ?? 1) + 1;
      return { json: { version: tenant.keyVersion } };
    },
  ],

  [
    "GET",
    "/v1/projects",
    (context) => {
      need(context, "project.list");
      return page(
        context,
        context.me.scope.projects.map(projectView(context.me.scope)),
      );
    },
  ],
  [
    "POST",
    "/v1/projects",
    (context) => {
      const { me, body, state, requestId } = context;
      need(context, "project.create");
      unique(me.scope.projects, "name", body.name);
      const project = {
        uid: uid(),
        name: body.name.trim(),
        description: body.description ?? "",
        createdAt: now(),
        version: 1,
      };
      me.scope.projects.push(project);
      state.record(me.scope, me.user, "project.create", project, { requestId });
      return { status: 201, json: projectView(me.scope)(project) };
    },
  ],
  [
    "GET",
    "/v1/projects/:project",
    ({ me, params }) =>
      projectView(me.scope)(pick(me.scope.projects, params.project)),
  ],
  [
    "PATCH",
    "/v1/projects/:project",
    (context) => {
      const { me, params, body, state } = context;
      need(context, "project.update");
      const project = pick(me.scope.projects, params.project);
      if (body.name !== undefined)
        unique(me.scope.projects, "name", body.name, project);
      change(context, project, body, ["name", "description"]);
      state.record(me.scope, me.user, "project.update", project);
      return projectView(me.scope)(project);
    },
  ],
  [
    "DELETE",
    "/v1/projects/:project",
    (context) => {
      const { me, params, state } = context;
      need(context, "project.delete");
      const project = pick(me.scope.projects, params.project);
      if (
        me.scope.clusters.some((cluster) => cluster.project.uid === project.uid)
      ) {
        refuse(409, "project-not-empty", "The project still holds clusters.", {
          hint: "Delete its clusters first.",
        });
      }
      remove(me.scope.projects, project);
      state.record(me.scope, me.user, "project.delete", project);
    },
  ],
];
