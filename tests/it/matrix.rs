//! The isolation matrix: every operation of the OpenAPI document against every
//! built-in role and against everybody who has no business there.
//!
//! Operations, permissions and parameters come from the document, roles from
//! `rbac`: a new operation is in the matrix by itself, and one with a new kind
//! of object fails here until the world below has such an object.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use palisade::rbac::{BUILT_IN, BuiltIn, Level, Permission, PermissionSet, RoleScope};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{PASSWORD, TestApp, eventually},
    client::{Client, Reply},
    coverage::{NOTHING, Operation, operations},
};

/// In everything of the tenant that others must not see; in its second project too.
const CANARY: &str = "canary";
/// In what only members of the second project may see.
const SECOND: &str = "canarysecond";
/// In the kubeconfig.
const SECRET: &str = "-kubetoken";

/// By parameter of a path: the uid of one object.
type Objects = BTreeMap<&'static str, String>;

/// Two tenants, full of things.
struct World {
    t: TestApp,
    system: Client,
    acme: Client,
    rival: Client,
    /// In the first project of acme and in the tenant itself.
    theirs: Objects,
    /// In the second project of acme.
    second: Objects,
    /// The rival's own.
    own: Objects,
}

impl World {
    async fn new() -> Self {
        let t = TestApp::start().await;
        let system = t.set_up().await;
        let (acme, rival) = (t.tenant(&system, "acme").await, t.tenant(&system, "rival").await);
        let theirs = furnish(&acme, "canary").await;
        let second = furnish(&acme, SECOND).await;
        let own = furnish(&rival, "plain").await;
        let tenants = system.get("/v1/tenants?q=acme").await;
        let mut theirs = theirs;
        theirs.insert("tenant", tenants.text("/items/0/uid").to_owned());
        let tenants = system.get("/v1/tenants?q=rival").await;
        let mut own = own;
        own.insert("tenant", tenants.text("/items/0/uid").to_owned());
        Self { t, system, acme, rival, theirs, second, own }
    }

    /// A user of acme (or the system scope) with this role; roles for projects
    /// are held in the first project only.
    async fn holder(&self, role: &BuiltIn) -> Client {
        let email = format!("holder-{}@example.com", role.uid);
        let new = json!({"email": email, "name": "Holder", "password": PASSWORD});
        let (admin, scope) = match role.scope {
            RoleScope::System => (&self.system, "system"),
            RoleScope::Tenant | RoleScope::Project => (&self.acme, "tenant"),
        };
        let created = admin.post("/v1/users", new).await;
        created.assert_status(201);
        let mut body = json!({"role": role.uid, "user": created.text("/user/uid")});
        if role.scope == RoleScope::Project {
            body["project"] = json!(self.theirs["project"]);
        }
        admin.post("/v1/assignments", body).await.assert_status(201);
        self.enter(&email, scope).await
    }

    async fn enter(&self, email: &str, scope: &str) -> Client {
        let reply = self.t.try_log_in(email, PASSWORD, scope).await;
        reply.assert_status(200);
        self.t.anonymous().with_token(reply.text("/tokens/accessToken"))
    }

    /// A user of acme without any role.
    async fn outsider(&self) -> Client {
        let new = json!({"email": "outsider@example.com", "name": "Out", "password": PASSWORD});
        self.acme.post("/v1/users", new).await.assert_status(201);
        self.enter("outsider@example.com", "tenant").await
    }
}

/// One object of each kind, all of them with `mark` in their names.
async fn furnish(admin: &Client, mark: &str) -> Objects {
    let uid = async |path: &str, body: Value, pointer: &str| {
        let reply = admin.post(path, body).await;
        reply.assert_status(201);
        reply.text(pointer).to_owned()
    };
    let name = json!({"name": format!("{mark} thing"), "description": format!("{mark} words")});
    let project = uid("/v1/projects", name.clone(), "/uid").await;
    let new = json!({"name": format!("{mark}-cluster"), "project": project});
    let cluster = uid("/v1/clusters", new, "/cluster/uid").await;
    let kubeconfig = admin.request(Method::PUT, &format!("/v1/clusters/{cluster}/kubeconfig"));
    let kubeconfig = kubeconfig.json(&json!({"kubeconfig": kubeconfig_text(mark)}));
    admin.send(kubeconfig).await.assert_status(204);
    let new = json!({"email": format!("{mark}@{mark}.example.com"), "name": format!("{mark} One")});
    let user = uid("/v1/users", new, "/user/uid").await;
    let team = uid("/v1/teams", name, "/uid").await;
    let join = admin.request(Method::PUT, &format!("/v1/teams/{team}/members/{user}"));
    admin.send(join).await.assert_status(204);
    let new = json!({"name": format!("{mark} role"), "scope": "project",
        "permissions": ["cluster.get"]});
    let role = uid("/v1/roles", new, "/uid").await;
    let new = json!({"role": role, "team": team, "project": project});
    let assignment = uid("/v1/assignments", new, "/uid").await;
    let key = uid("/v1/api-keys", json!({"name": format!("{mark} key")}), "/apiKey/uid").await;
    let records = admin.get(&format!("/v1/audit?object={cluster}")).await;
    let record = records.text("/items/0/uid").to_owned();
    Objects::from([
        ("project", project),
        ("cluster", cluster),
        ("user", user),
        ("team", team),
        ("role", role),
        ("assignment", assignment),
        ("apiKey", key),
        ("record", record),
    ])
}

fn kubeconfig_text(mark: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: \
         https://k.example.com}}\nusers:\n- name: u\n  user: {{token: {mark}{SECRET}}}\ncontexts:\n- \
         name: x\n  context: {{cluster: c, user: u}}\ncurrent-context: x\n"
    )
}

/// A body with which the operation gets as far as its object.
fn body(operation: &Operation) -> Value {
    match operation.path.rsplit('/').next().expect("a segment") {
        "kubeconfig" => json!({"kubeconfig": kubeconfig_text("stray")}),
        "admins" => json!({"email": "new@example.com", "name": "New"}),
        _ if operation.method == Method::PATCH => json!({"name": "Another name"}),
        _ => json!({}),
    }
}

/// Calls it at `path`. Whatever comes back, some things are in no answer.
async fn call(client: &Client, operation: &Operation, path: &str) -> Reply {
    let request = client.request(operation.method.clone(), path).header("if-match", "\"1\"");
    let request = match operation.method {
        Method::GET | Method::DELETE => request,
        _ => request.json(&body(operation)),
    };
    let reply = client.send(request).await;
    let name = format!("{} {path}", operation.method);
    assert!(!reply.status.is_server_error(), "{name}: {}", reply.body);
    assert!(!reply.body.contains("$argon2"), "{name} shows the hash of a password");
    let may_show = operation.method == Method::GET && operation.path.ends_with("/kubeconfig");
    assert!(may_show || !reply.body.contains(SECRET), "{name} shows a kubeconfig");
    reply
}

#[track_caller]
fn without(mark: &str, name: &str, reply: &Reply) {
    let shows = reply.body.to_lowercase().contains(mark);
    assert!(!shows, "{name} shows {mark}: {}", reply.body);
}

/// The parameters of a path, in order.
fn parameters(path: &str) -> Vec<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

/// The path with each parameter replaced.
fn filled(path: &str, with: impl Fn(&str) -> String) -> String {
    let fill = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(parameter) => with(parameter),
        None => part.to_owned(),
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

fn of<'o>(objects: &'o Objects, parameter: &str) -> &'o str {
    let found = objects.get(parameter);
    found.unwrap_or_else(|| panic!("the world of the matrix has no {parameter}: add one"))
}

/// Needs the whole tenant: a chain has no gaps.
const WHOLE_TENANT: [&str; 2] = ["/v1/audit/export.jsonl", "/v1/audit/verify"];

/// What a caller may do and where; `None` for one who is not signed in.
type Holds = Option<(PermissionSet, RoleScope)>;

/// The stream does not end; the test below is for it.
fn ends(operation: &Operation) -> bool {
    operation.path != "/v1/events"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_lets_in_exactly_the_roles_that_hold_its_permission() {
    let world = World::new().await;
    let mut callers: Vec<(String, Holds, Client)> = Vec::new();
    for role in BUILT_IN {
        let holds = Some((role.permissions(), role.scope));
        callers.push((role.name.to_owned(), holds, world.holder(role).await));
    }
    let nothing = Some((PermissionSet::default(), RoleScope::Tenant));
    callers.push(("no role".to_owned(), nothing, world.outsider().await));
    callers.push(("nobody".to_owned(), None, world.t.anonymous()));
    callers.push(("a made-up token".to_owned(), None, world.t.anonymous().with_token("pk_x")));

    let mut called = 0;
    for operation in operations().iter().filter(|operation| ends(operation)) {
        let Some(permission) = &operation.permission else { continue };
        let permission: Permission = permission.parse().expect("known");
        let path = filled(&operation.path, |_| NOTHING.to_owned());
        for (who, holds, client) in &callers {
            let reply = call(client, operation, &path).await;
            let expected = match holds {
                None => "401",
                Some((set, scope)) if set.contains(permission) => {
                    let whole = WHOLE_TENANT.contains(&operation.path.as_str());
                    if whole && *scope == RoleScope::Project { "403" } else { "let in" }
                }
                Some(_) => "403",
            };
            let found = match reply.status.as_u16() {
                401 => "401",
                403 => "403",
                _ => "let in",
            };
            let name = format!("{who}: {} {path}", operation.method);
            assert_eq!(found, expected, "{name}: {} {}", reply.status, reply.body);
            called += 1;
        }
    }
    assert!(called > 600, "the matrix has only {called} cells");

    // Who may read, reads: otherwise refusing everything would do as well.
    for operation in operations().iter().filter(|operation| ends(operation)) {
        let Some(permission) = &operation.permission else { continue };
        let permission: Permission = permission.parse().expect("known");
        if operation.method != Method::GET || permission.level() == Level::System {
            continue;
        }
        let path = filled(&operation.path, |parameter| of(&world.theirs, parameter).to_owned());
        for (who, holds, client) in &callers {
            let Some((set, scope)) = holds else { continue };
            let whole = WHOLE_TENANT.contains(&operation.path.as_str());
            let fits = *scope == RoleScope::Tenant || (*scope == RoleScope::Project && !whole);
            if fits && set.contains(permission) {
                let reply = call(client, operation, &asked(&path)).await;
                assert_eq!(reply.status, 200, "{who}: GET {path}: {}", reply.body);
            }
        }
    }
}

/// Some questions need a subject; others do not mind it.
fn asked(path: &str) -> String {
    format!("{path}?permission=cluster.get")
}

/// Two answers that differ in nothing but the request id and the time.
#[track_caller]
fn assert_same(name: &str, foreign: &Reply, missing: &Reply) {
    let plain = |reply: &Reply| {
        let id = reply.headers["x-request-id"].to_str().expect("ASCII").to_owned();
        let mut headers = reply.headers.clone();
        headers.remove("x-request-id");
        headers.remove("date");
        (reply.status, headers, reply.body.replace(&id, "ID"))
    };
    assert_eq!(plain(foreign), plain(missing), "{name} tells a foreign object from a missing one");
}

/// Each operation on foreign objects: answered as if they did not exist.
async fn strangers(
    who: &str,
    client: &Client,
    foreign: &Objects,
    own: &Objects,
    kinds: &[&str],
    mark: &str,
) -> u32 {
    let mut compared = 0;
    for operation in operations().iter().filter(|operation| ends(operation)) {
        if operation.permission.is_none() {
            continue;
        }
        let parameters = parameters(&operation.path);
        // every foreign object alone, among own ones, and all of them together
        let mut choices: Vec<Vec<&str>> = parameters.iter().map(|one| vec![*one]).collect();
        if parameters.len() > 1 {
            choices.push(parameters.clone());
        }
        for choice in choices {
            if !choice.iter().all(|parameter| kinds.contains(parameter)) {
                continue;
            }
            let with = |missing: bool| {
                filled(&operation.path, |parameter| match choice.contains(&parameter) {
                    true if missing => NOTHING.to_owned(),
                    true => of(foreign, parameter).to_owned(),
                    false => of(own, parameter).to_owned(),
                })
            };
            let reply = call(client, operation, &asked(&with(false))).await;
            let missing = call(client, operation, &asked(&with(true))).await;
            let name = format!("{who}: {} {}", operation.method, operation.path);
            assert_same(&name, &reply, &missing);
            assert!(reply.status.is_client_error(), "{name}: {}", reply.body);
            without(mark, &name, &reply);
            compared += 1;
        }
        // and as a filter of a list
        for filter in &operation.filters {
            let Some(kind) = kind_of(filter).filter(|kind| kinds.contains(kind)) else { continue };
            let path = filled(&operation.path, |parameter| of(own, parameter).to_owned());
            let with = |uid: &str| format!("{}&{filter}={uid}", asked(&path));
            let reply = call(client, operation, &with(of(foreign, kind))).await;
            let missing = call(client, operation, &with(NOTHING)).await;
            assert_same(&format!("{who}: {path} by {filter}"), &reply, &missing);
            without(mark, &format!("{who}: {path} by {filter}"), &reply);
            compared += 1;
        }
    }
    compared
}

/// What kind of object a filter names.
fn kind_of(filter: &str) -> Option<&'static str> {
    Some(match filter {
        "project" => "project",
        "user" | "actor" => "user",
        "team" => "team",
        "role" => "role",
        "object" => "cluster",
        _ => return None,
    })
}

const OF_TENANTS: [&str; 8] =
    ["project", "cluster", "user", "team", "role", "assignment", "apiKey", "record"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_object_answers_byte_for_byte_like_one_that_does_not_exist() {
    let world = World::new().await;
    let before = photograph(&world).await;

    // another tenant's administrator, who may do everything at home
    let mut with_tenant = OF_TENANTS.to_vec();
    with_tenant.push("tenant");
    let (rival, own) = (&world.rival, &world.own);
    let compared = strangers("rival", rival, &world.theirs, own, &with_tenant, CANARY).await;
    assert!(compared > 40, "only {compared} comparisons");
    // the system's administrator has users, teams, roles and keys too, but not these
    let system = &world.system;
    let mine = furnish_system(system).await;
    let compared = strangers("system", system, &world.theirs, &mine, &OF_TENANTS, CANARY).await;
    assert!(compared > 40, "only {compared} comparisons");
    // roles in the first project, looking at the second
    for role in BUILT_IN.iter().filter(|role| role.scope == RoleScope::Project) {
        let holder = world.holder(role).await;
        let kinds = ["project", "cluster", "record"];
        let (second, first) = (&world.second, &world.theirs);
        let compared = strangers(role.name, &holder, second, first, &kinds, SECOND).await;
        assert!(compared > 10, "only {compared} comparisons");
    }

    references(&world).await;
    assert_eq!(photograph(&world).await, before, "somebody has changed something");
}

/// A few of the system scope's own objects, for the places beside foreign ones.
async fn furnish_system(system: &Client) -> Objects {
    let post = async |path: &str, body: Value, pointer: &str| {
        let reply = system.post(path, body).await;
        reply.assert_status(201);
        reply.text(pointer).to_owned()
    };
    let user = json!({"email": "plain@example.com", "name": "Plain"});
    let user = post("/v1/users", user, "/user/uid").await;
    let team = post("/v1/teams", json!({"name": "plain"}), "/uid").await;
    let mut own: Objects = OF_TENANTS.iter().map(|kind| (*kind, NOTHING.to_owned())).collect();
    own.extend([("user", user), ("team", team), ("tenant", NOTHING.to_owned())]);
    own
}

/// A body that names something foreign is answered like one that names nothing.
async fn references(world: &World) {
    let (theirs, own) = (&world.theirs, &world.own);
    let viewer = "0000000000b1";
    let cases = |object: &dyn Fn(&'static str) -> String| {
        [
            ("/v1/assignments", json!({"role": viewer, "user": object("user")})),
            ("/v1/assignments", json!({"role": viewer, "team": object("team")})),
            ("/v1/assignments", json!({"role": object("role"), "user": own["user"]})),
            (
                "/v1/assignments",
                json!({"role": own["role"], "user": own["user"], "project": object("project")}),
            ),
            ("/v1/clusters", json!({"name": "mine", "project": object("project")})),
        ]
    };
    let foreign = cases(&|kind| theirs[kind].clone());
    let missing = cases(&|_| NOTHING.to_owned());
    for ((path, foreign), (_, missing)) in foreign.into_iter().zip(missing) {
        let name = format!("{path} {foreign}");
        let foreign = world.rival.post(path, foreign).await;
        assert!(foreign.status.is_client_error(), "{name}: {}", foreign.body);
        assert_same(&name, &foreign, &world.rival.post(path, missing).await);
    }
}

/// All of acme as its administrator sees it, without what changes by looking.
async fn photograph(world: &World) -> Vec<String> {
    let mut seen = Vec::new();
    for objects in [&world.theirs, &world.second] {
        for operation in operations().iter().filter(|operation| ends(operation)) {
            let parameters = parameters(&operation.path);
            let changes = operation.path.contains("/kubeconfig") || operation.path.contains("/why");
            if operation.method != Method::GET || parameters.is_empty() || changes {
                continue;
            }
            if parameters.iter().all(|parameter| OF_TENANTS.contains(parameter)) {
                let path = filled(&operation.path, |parameter| of(objects, parameter).to_owned());
                // A record gets its place in the chain a moment after it was written.
                let reply = eventually(Duration::from_secs(10), || async {
                    let reply = world.acme.get(&path).await;
                    reply.assert_status(200);
                    (!reply.body.contains("\"position\":null")).then_some(reply)
                })
                .await;
                seen.push(format!("{path}: {}", reply.body));
            }
        }
        let assignments =
            world.acme.get(&format!("/v1/assignments?team={}", objects["team"])).await;
        seen.push(assignments.body);
        seen.push(world.acme.get("/v1/api-keys?q=canary").await.body);
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_search_or_export_shows_anything_of_another_tenant_or_project() {
    let world = World::new().await;
    let outsider = world.outsider().await;
    let nobody = world.t.anonymous();
    let mut callers = vec![
        ("rival".to_owned(), CANARY, &world.own, world.rival.clone()),
        ("system".to_owned(), CANARY, &world.own, world.system.clone()),
        ("no role".to_owned(), CANARY, &world.own, outsider),
        ("nobody".to_owned(), CANARY, &world.own, nobody),
    ];
    for role in BUILT_IN.iter().filter(|role| role.scope == RoleScope::Project) {
        let holder = world.holder(role).await;
        callers.push((role.name.to_owned(), SECOND, &world.theirs, holder));
    }
    for operation in operations().iter().filter(|operation| ends(operation)) {
        if operation.method != Method::GET {
            continue;
        }
        for (who, mark, objects, client) in &callers {
            let path = filled(&operation.path, |parameter| match parameter {
                _ if operation.permission.is_none() => "nothing".to_owned(),
                parameter => of(objects, parameter).to_owned(),
            });
            for path in [asked(&path), format!("{}&q={mark}&limit=200", asked(&path))] {
                let reply = call(client, operation, &path).await;
                without(mark, &format!("{who}: GET {path}"), &reply);
            }
        }
    }
}

/// What a stream has said until it says `until`.
async fn heard(stream: reqwest::Response, until: &str) -> String {
    let (mut chunks, mut text) = (stream.bytes_stream(), String::new());
    let listen = async {
        while let Some(chunk) = chunks.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk.expect("a piece of the stream")));
            if text.contains(until) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), listen).await.expect("it is told in time");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_stream_tells_nothing_of_another_tenant_or_project() {
    let world = World::new().await;
    let viewer = BuiltIn::find("0000000000c2").expect("built in");
    let listeners =
        [(&world.rival, CANARY), (&world.holder(viewer).await, SECOND), (&world.acme, "nothing")];
    let mut streams = Vec::new();
    for (client, mark) in listeners {
        let stream = client.request(Method::GET, "/v1/events").send().await.expect("a stream");
        assert_eq!(stream.status(), 200);
        streams.push((stream, mark));
    }
    let rename = async |admin: &Client, objects: &Objects, name: &str| {
        let path = format!("/v1/clusters/{}", objects["cluster"]);
        let version = admin.get(&path).await.number("/version");
        admin.patch(&path, version, json!({"name": name})).await.assert_status(200);
    };
    // what is foreign first, then what each of them hears
    rename(&world.acme, &world.second, "canarysecond-renamed").await;
    let path = format!("/v1/clusters/{}", world.second["cluster"]);
    world.acme.delete(&path).await.assert_status(204);
    rename(&world.acme, &world.theirs, "canary-renamed").await;
    rename(&world.rival, &world.own, "plain-renamed").await;

    let mut said = Vec::new();
    for ((stream, mark), until) in
        streams.into_iter().zip(["plain-renamed", "canary-renamed", "canary-renamed"])
    {
        let text = heard(stream, until).await;
        assert!(!text.to_lowercase().contains(mark), "{mark} was told: {text}");
        assert!(!text.contains(SECRET), "a kubeconfig was told: {text}");
        said.push(text);
    }
    let gone = &world.second["cluster"];
    assert!(!said[0].contains(gone) && !said[1].contains(gone), "a foreign uid was told");
    assert!(said[2].contains("canarysecond-renamed") && said[2].contains(gone), "{}", said[2]);
}
