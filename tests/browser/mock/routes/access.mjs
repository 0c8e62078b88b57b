// Owns the mock's users, teams, roles, assignments and API keys.
import { randomBytes } from "node:crypto";
import { change, need, page, pick, remove, unique } from "../lists.mjs";
import { invalid, refuse } from "../refusal.mjs";
import { inSeconds, named, now, uid } from "../state.mjs";

const userView =
  (scope) =>
  ({ uid, email, name, state, lastLoginAt, createdAt, version }) => ({
    uid,
    email,
    name,
    state,
    lastLoginAt,
    createdAt,
    version,
    teams: scope.teams
      .filter((team) => team.members.some((member) => member.uid === uid))
      .map(named),
  });
const keyView = ({ secret: _secret, ...rest }) => rest;

/** Which assignments give a user a permission. */
function reasons({ scope }, user, permission, project) {
  const teams = scope.teams.filter((team) =>
    team.members.some((member) => member.uid === user.uid),
  );
  return scope.assignments.flatMap((assignment) => {
    const team = teams.find(
      (candidate) => candidate.uid === assignment.subject.uid,
    );
    if (assignment.subject.uid !== user.uid && !team) return [];
    if (assignment.project && assignment.project.uid !== project) return [];
    const role = scope.roles.find(
      (candidate) => candidate.uid === assignment.role.uid,
    );
    if (!role?.permissions.includes(permission)) return [];
    return [
      {
        role: named(role),
        via: team
          ? { kind: "team", name: team.name }
          : { kind: "user", name: user.name },
        project: assignment.project,
      },
    ];
  });
}

const users = [
  [
    "GET",
    "/v1/users",
    (context) => {
      need(context, "user.list");
      const { scope } = context.me;
      return page(context, scope.users.map(userView(scope)), {
        text: (user) => `${user.name} ${user.email}`,
        filters: { state: (user, state) => user.state === state },
      });
    },
  ],
  [
    "POST",
    "/v1/users",
    (context) => {
      const {
        state,
        me: { scope, user: actor },
        body,
        requestId,
      } = context;
      need(context, "user.create");
      unique(scope.users, "email", body.email);
      const user = state.addUser(scope, body);
      state.record(scope, actor, "user.create", user, { requestId });
      return {
        status: 201,
        json: {
          user: userView(scope)(user),
          invite: body.password ? null : state.invite(scope, user),
        },
      };
    },
  ],
  [
    "GET",
    "/v1/users/:user",
    ({ me, params }) => userView(me.scope)(pick(me.scope.users, params.user)),
  ],
  [
    "PATCH",
    "/v1/users/:user",
    (context) => {
      const {
        state,
        me: { scope, user: actor },
        params,
        body,
        requestId,
      } = context;
      need(context, "user.update");
      const user = pick(scope.users, params.user);
      if (body.email !== undefined)
        unique(scope.users, "email", body.email, user);
      change(context, user, body, ["name", "email", "state"]);
      if (user.state === "disabled")
        state.endSessions((session) => session.user === user);
      state.record(scope, actor, "user.update", user, {
        requestId,
        detail: body.state
          ? { state: body.state }
          : { fields: Object.keys(body) },
      });
      return userView(scope)(user);
    },
  ],
  [
    "DELETE",
    "/v1/users/:user",
    (context) => {
      need(context, "user.delete");
      const user = pick(context.me.scope.users, context.params.user);
      remove(context.me.scope.users, user);
    },
  ],
  [
    "POST",
    "/v1/users/:user/invite",
    (context) => {
      need(context, "user.update");
      const user = pick(context.me.scope.users, context.params.user);
      return context.state.invite(
        context.me.scope,
        user,
        user.state === "invited" ? "invite" : "reset",
      );
    },
  ],
  [
    "POST",
    "/v1/users/:user/logout",
    (context) => {
      need(context, "user.update");
      const user = pick(context.me.scope.users, context.params.user);
      context.state.endSessions((session) => session.user === user);
    },
  ],
  [
    "GET",
    "/v1/users/:user/why",
    ({ me, params, query }) => {
      const user = pick(me.scope.users, params.user);
      const [permission, project] = [
        query.get("permission"),
        query.get("project"),
      ];
      const because = reasons(me, user, permission, project);
      const place = project
        ? `in project ${me.scope.projects.find((candidate) => candidate.uid === project)?.name}`
        : "in the whole scope";
      const explanation = because.length
        ? `${user.name} may ${permission} ${place}.`
        : `No role of ${user.name}, directly or through a team, has ${permission} ${place}.`;
      return { allowed: because.length > 0, because, explanation };
    },
  ],
  [
    "GET",
    "/v1/who-can",
    ({ me, query }) => ({
      items: me.scope.users
        .map((user) => ({
          user: { uid: user.uid, name: user.name, email: user.email },
          because: reasons(
            me,
            user,
            query.get("permission"),
            query.get("project"),
          ),
        }))
        .filter((holder) => holder.because.length),
    }),
  ],
];

const teams = [
  [
    "GET",
    "/v1/teams",
    (context) => (
      need(context, "team.list"),
      page(context, context.me.scope.teams)
    ),
  ],
  [
    "POST",
    "/v1/teams",
    (context) => {
      const {
        state,
        me: { scope, user },
        body,
        requestId,
      } = context;
      need(context, "team.create");
      unique(scope.teams, "name", body.name);
      const team = {
        uid: uid(),
        name: body.name.trim(),
        description: body.description ?? "",
        createdAt: now(),
        version: 1,
        members: [],
      };
      scope.teams.push(team);
      state.record(scope, user, "team.create", team, { requestId });
      return { status: 201, json: team };
    },
  ],
  [
    "GET",
    "/v1/teams/:team",
    ({ me, params }) => pick(me.scope.teams, params.team),
  ],
  [
    "PATCH",
    "/v1/teams/:team",
    (context) => (
      need(context, "team.update"),
      change(
        context,
        pick(context.me.scope.teams, context.params.team),
        context.body,
        ["name", "description"],
      )
    ),
  ],
  [
    "DELETE",
    "/v1/teams/:team",
    (context) => (
      need(context, "team.delete"),
      remove(
        context.me.scope.teams,
        pick(context.me.scope.teams, context.params.team),
      )
    ),
  ],
  [
    "PUT",
    "/v1/teams/:team/members/:user",
    (context) => {
      const {
        state,
        me: { scope, user: actor },
        params,
      } = context;
      need(context, "team.update");
      const team = pick(scope.teams, params.team);
      const { uid, name, email } = pick(scope.users, params.user);
      if (!team.members.some((member) => member.uid === uid))
        team.members.push({ uid, name, email });
      team.version += 1;
      state.record(scope, actor, "team.addMember", team, {
        detail: { user: uid },
      });
    },
  ],
  [
    "DELETE",
    "/v1/teams/:team/members/:user",
    (context) => {
      need(context, "team.update");
      const team = pick(context.me.scope.teams, context.params.team);
      team.members = team.members.filter(
        (member) => member.uid !== context.params.user,
      );
      team.version += 1;
    },
  ],
];

const roles = [
  [
    "GET",
    "/v1/permissions",
    ({ state, me }) => ({ items: state.permissions(me.scope) }),
  ],
  [
    "GET",
    "/v1/roles",
    (context) => (
      need(context, "role.list"),
      page(context, context.me.scope.roles)
    ),
  ],
  [
    "POST",
    "/v1/roles",
    (context) => {
      const {
        state,
        me: { scope, user },
        body,
        requestId,
      } = context;
      need(context, "role.create");
      unique(scope.roles, "name", body.name);
      const role = {
        uid: uid(),
        description: "",
        permissions: [],
        ...body,
        builtIn: false,
        createdAt: now(),
        version: 1,
      };
      scope.roles.push(role);
      state.record(scope, user, "role.create", role, { requestId });
      return { status: 201, json: role };
    },
  ],
  [
    "GET",
    "/v1/roles/:role",
    ({ me, params }) => pick(me.scope.roles, params.role),
  ],
  [
    "PATCH",
    "/v1/roles/:role",
    (context) => {
      const {
        state,
        me: { scope, user },
        params,
        body,
      } = context;
      need(context, "role.update");
      const role = pick(scope.roles, params.role);
      if (role.builtIn)
        refuse(409, "conflict", "Built-in roles cannot be changed.");
      if (body.name !== undefined) unique(scope.roles, "name", body.name, role);
      change(context, role, body, ["name", "description", "permissions"]);
      state.record(scope, user, "role.update", role, { detail: body });
      return role;
    },
  ],
  [
    "DELETE",
    "/v1/roles/:role",
    (context) => (
      need(context, "role.delete"),
      remove(
        context.me.scope.roles,
        pick(context.me.scope.roles, context.params.role),
      )
    ),
  ],
  [
    "GET",
    "/v1/assignments",
    (context) => {
      need(context, "role.list");
      const subject = (assignment, wanted) => assignment.subject.uid === wanted;
      return page(context, context.me.scope.assignments, {
        text: (assignment) => assignment.subject.name,
        filters: {
          user: subject,
          team: subject,
          role: (assignment, role) => assignment.role.uid === role,
          project: (assignment, project) => assignment.project?.uid === project,
        },
      });
    },
  ],
  [
    "POST",
    "/v1/assignments",
    (context) => {
      const {
        state,
        me: { scope, user: actor },
        body,
        requestId,
      } = context;
      need(context, "role.assign");
      const role = pick(scope.roles, body.role);
      if (role.scope === "project" && !body.project)
        invalid("project", "This role is held in a project. Choose one.");
      const subject = body.user
        ? { kind: "user", ...named(pick(scope.users, body.user)) }
        : { kind: "team", ...named(pick(scope.teams, body.team)) };
      const assignment = state.assign(
        scope,
        role.name,
        subject,
        body.project ? named(pick(scope.projects, body.project)) : null,
      );
      state.record(
        scope,
        actor,
        "assignment.create",
        { uid: assignment.uid, name: `${role.name} for ${subject.name}` },
        { requestId },
      );
      return { status: 201, json: assignment };
    },
  ],
  [
    "DELETE",
    "/v1/assignments/:assignment",
    (context) => (
      need(context, "role.assign"),
      remove(
        context.me.scope.assignments,
        pick(context.me.scope.assignments, context.params.assignment),
      )
    ),
  ],
];

const keys = [
  [
    "GET",
    "/v1/api-keys",
    (context) => (
      need(context, "apiKey.list"),
      page(context, context.me.scope.apiKeys.map(keyView))
    ),
  ],
  [
    "POST",
    "/v1/api-keys",
    (context) => {
      const {
        state,
        me: { scope, user },
        body,
        requestId,
      } = context;
      need(context, "apiKey.create");
      unique(scope.apiKeys, "name", body.name);
      const secret = `pal_${randomBytes(30).toString("base64url")}`;
      const apiKey = {
        uid: uid(),
        name: body.name,
        prefix: secret.slice(0, 8),
        owner: named(user),
        createdAt: now(),
        expiresAt: body.expiresInDays
          ? inSeconds(body.expiresInDays * 86_400)
          : null,
        lastUsedAt: null,
        secret,
      };
      scope.apiKeys.push(apiKey);
      state.record(scope, user, "apiKey.create", apiKey, { requestId });
      return { status: 201, json: { apiKey: keyView(apiKey), secret } };
    },
  ],
  [
    "DELETE",
    "/v1/api-keys/:key",
    (context) => (
      need(context, "apiKey.delete"),
      remove(
        context.me.scope.apiKeys,
        pick(context.me.scope.apiKeys, context.params.key),
      )
    ),
  ],
];

export const access = [...users, ...teams, ...roles, ...keys];
