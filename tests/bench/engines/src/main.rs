//! Decides the same questions as Palisade with other policy engines.
//!
//! The first line on standard input is a world as JSON: the roles of one user
//! and questions. Each further line is `ENGINE COUNT`; the answer is one line
//! of JSON: the answers to all questions, and the processor time of COUNT
//! decisions that went through the questions in order.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    hint::black_box,
    io::{BufRead, Write as _},
};

use anyhow::{Context as _, Result, bail};
use casbin::{CoreApi, DefaultModel, Enforcer, MemoryAdapter, MgmtApi};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request,
};
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize)]
struct World {
    grants: Vec<Grant>,
    questions: Vec<Question>,
}

/// A role of the user: what it allows, in one project or everywhere.
#[derive(Deserialize)]
struct Grant {
    role: String,
    permissions: Vec<String>,
    project: Option<String>,
}

#[derive(Deserialize)]
struct Question {
    permission: String,
    project: String,
}

trait Engine {
    fn decide(&self, question: usize) -> Result<bool>;
}

/// One policy for each role; the user is in all of them.
struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    requests: Vec<Request>,
}

impl Cedar {
    fn new(world: &World) -> Result<Self> {
        let mut text = String::new();
        let mut roles = HashSet::new();
        for Grant { role, permissions, project } in &world.grants {
            let actions: Vec<_> = permissions.iter().map(|p| format!("Action::\"{p}\"")).collect();
            let place = project.as_ref().map(|project| format!(" == Project::\"{project}\""));
            writeln!(
                text,
                "permit(principal in Role::\"{role}\", action in [{}], resource{});",
                actions.join(", "),
                place.unwrap_or_default()
            )?;
            roles.insert(named("Role", role)?);
        }
        let user = named("User", "u")?;
        let entity = Entity::new_no_attrs(user.clone(), roles);
        let requests = world.questions.iter().map(|Question { permission, project }| {
            let action = named("Action", permission)?;
            let place = named("Project", project)?;
            Ok(Request::new(user.clone(), action, place, Context::empty(), None)?)
        });
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: text.parse()?,
            entities: Entities::from_entities([entity], None)?,
            requests: requests.collect::<Result<_>>()?,
        })
    }
}

fn named(kind: &str, id: &str) -> Result<EntityUid> {
    Ok(format!("{kind}::\"{id}\"").parse()?)
}

impl Engine for Cedar {
    fn decide(&self, question: usize) -> Result<bool> {
        let request = &self.requests[question];
        let answer = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        Ok(answer.decision() == Decision::Allow)
    }
}

/// Roles with domains, the cheap comparisons first.
struct Casbin {
    enforcer: Enforcer,
    questions: Vec<(String, String)>,
}

const MODEL: &str = r#"
[request_definition]
r = sub, dom, act

[policy_definition]
p = sub, dom, act

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.act == p.act && (p.dom == "*" || r.dom == p.dom) && g(r.sub, p.sub)
"#;

impl Casbin {
    fn new(world: &World) -> Result<Self> {
        let enforcer = tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
            let model = DefaultModel::from_str(MODEL).await?;
            let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await?;
            let mut policies = Vec::new();
            let mut roles = Vec::new();
            for Grant { role, permissions, project } in &world.grants {
                let place = project.clone().unwrap_or_else(|| "*".to_owned());
                let unique: HashSet<_> = permissions.iter().collect();
                for permission in unique {
                    policies.push(vec![role.clone(), place.clone(), permission.clone()]);
                }
                roles.push(vec!["u".to_owned(), role.clone()]);
            }
            enforcer.add_policies(policies).await?;
            enforcer.add_grouping_policies(roles).await?;
            anyhow::Ok(enforcer)
        })?;
        let questions = world.questions.iter();
        let questions = questions.map(|asked| (asked.project.clone(), asked.permission.clone()));
        Ok(Self { enforcer, questions: questions.collect() })
    }
}

impl Engine for Casbin {
    fn decide(&self, question: usize) -> Result<bool> {
        let (project, permission) = &self.questions[question];
        Ok(self.enforcer.enforce(("u", project.as_str(), permission.as_str()))?)
    }
}

/// Nanoseconds of processor time of this thread.
fn own_cpu() -> Result<u64> {
    // The kernel brings the account of a running thread up to date when it yields.
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().context("an empty schedstat")?.parse()?)
}

fn main() -> Result<()> {
    // Cedar refuses to decide when little stack seems to be left, and musl knows
    // the size of a main thread's stack only as far as it has grown.
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(answer)?;
    thread.join().map_err(|_| anyhow::anyhow!("it has panicked"))?
}

fn answer() -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let world: World = serde_json::from_str(&lines.next().context("no world")??)?;
    let (cedar, casbin) = (Cedar::new(&world)?, Casbin::new(&world)?);
    let questions = world.questions.len();
    for line in lines {
        let line = line?;
        let (engine, decisions) = line.split_once(' ').context("expected ENGINE COUNT")?;
        let engine: &dyn Engine = match engine {
            "cedar" => &cedar,
            "casbin" => &casbin,
            other => bail!("there is no engine {other}"),
        };
        let decisions: usize = decisions.parse()?;
        let before = own_cpu()?;
        for number in 0..decisions {
            black_box(engine.decide(number % questions)?);
        }
        let nanos = own_cpu()? - before;
        let answers: Vec<_> = (0..questions).map(|n| engine.decide(n)).collect::<Result<_>>()?;
        let said = serde_json::json!({
            "answers": answers, "decisions": decisions, "cpuNanos": nanos,
        });
        let mut out = std::io::stdout().lock();
        writeln!(out, "{said}")?;
        out.flush()?;
    }
    Ok(())
}
