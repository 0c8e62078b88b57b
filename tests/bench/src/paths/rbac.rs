//! Permission decisions, beside policy engines that are asked the same
//! questions about the same roles and must give the same answers.

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use palisade::{
    clock::{Random, SystemRandom, random_bytes},
    ids::{ProjectId, RoleId, TenantId},
    rbac::{Actor, Grant, Grants, Permission, PermissionSet, Source, rights},
};
use serde_json::{Value, json};

use super::{Size, seal::rate};
use crate::{
    measure::Samples,
    process::program,
    table::{Goal, Row},
};

/// Few and many roles of one user.
const ROLES: [usize; 2] = [20, 1_000];
const QUESTIONS: usize = 200;

pub(super) fn measure(size: Size) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut by_roles = Vec::new();
    for roles in ROLES {
        let world = World::draw(roles, &SystemRandom);
        let mut engines = Engines::start(&world)?;
        let answers = world.answers();
        let yes = answers.iter().filter(|yes| **yes).count();
        ensure!((QUESTIONS / 10..QUESTIONS * 9 / 10).contains(&yes), "{yes} of {QUESTIONS} yes");
        let mut ours = Samples::default();
        for engine in ["cedar", "casbin"] {
            let theirs = engines.ask(engine, 1)?;
            ensure!(theirs.answers == answers, "{engine} answers differently");
        }
        let (mut cedar, mut casbin) = (Samples::default(), Samples::default());
        world.rate(size.of(200_000))?; // warm
        for _ in 0..size.rounds {
            ours.push(world.rate(size.of(400_000))?);
            // A tenth of a second and more each, whatever the speed.
            cedar.push(engines.ask("cedar", size.of(200_000 / roles))?.rate);
            casbin.push(engines.ask("casbin", size.of(200_000 / roles))?.rate);
        }
        let path = format!("RBAC decision, user with {roles} roles");
        for (peer, theirs) in [("cedar-policy", cedar), ("casbin", casbin)] {
            let goal = Goal::AtLeast(20.0);
            rows.push(Row::beside(&path, "k per CPU second", &ours, peer, &theirs, goal));
        }
        by_roles.push(ours);
    }
    rows.push(Row::beside(
        "RBAC decision, 1,000 roles",
        "k per CPU second",
        &by_roles[1],
        "ours with 20 roles",
        &by_roles[0],
        Goal::AtLeast(0.8),
    ));
    Ok(rows)
}

/// A right of the product that somebody asks for.
type Ask = fn(&Grants, &Actor, Option<ProjectId>) -> bool;

/// The whole decision as a request makes it: the permit, then the object.
fn asked<R: palisade::rbac::Right>(
    grants: &Grants,
    actor: &Actor,
    project: Option<ProjectId>,
) -> bool {
    let permit = grants.permit::<R>(actor.clone());
    permit.is_ok_and(|permit| permit.on("object", project).is_ok())
}

const ASKED: [(Permission, Ask); 8] = [
    (Permission::ClusterGet, asked::<rights::ClusterGet>),
    (Permission::ClusterList, asked::<rights::ClusterList>),
    (Permission::ClusterUpdate, asked::<rights::ClusterUpdate>),
    (Permission::ClusterDelete, asked::<rights::ClusterDelete>),
    (Permission::ProjectUpdate, asked::<rights::ProjectUpdate>),
    (Permission::ClusterProfileApply, asked::<rights::ClusterProfileApply>),
    (Permission::PackGet, asked::<rights::PackGet>),
    (Permission::AuditList, asked::<rights::AuditList>),
];

/// A user, its roles, and questions about what it may do.
struct World {
    grants: Grants,
    all: Vec<Grant>,
    actor: Actor,
    questions: Vec<(usize, Option<ProjectId>)>,
}

impl World {
    /// One role in ten holds in the whole tenant and allows one thing that is
    /// never asked for; the others allow two things in one project each.
    fn draw(roles: usize, random: &dyn Random) -> Self {
        let below = |bound: usize| usize::from(u16::from_le_bytes(random_bytes(random))) % bound;
        let projects: Vec<_> = (0..roles / 2).map(|_| ProjectId::random(random)).collect();
        let one = |number: usize| {
            let in_tenant = number.is_multiple_of(10);
            let permissions: PermissionSet = if in_tenant {
                [Permission::TeamList].into_iter().collect()
            } else {
                [ASKED[below(8)].0, ASKED[below(8)].0].into_iter().collect()
            };
            Grant {
                role: RoleId::random(random),
                permissions,
                source: Source::User,
                project: (!in_tenant).then(|| projects[below(projects.len())]),
            }
        };
        let all: Vec<_> = (0..roles).map(one).collect();
        let question = |_| (below(8), Some(projects[below(projects.len())]));
        Self {
            grants: Grants::new(all.clone()),
            all,
            actor: Actor::system(TenantId::random(random)),
            questions: (0..QUESTIONS).map(question).collect(),
        }
    }

    fn answer(&self, number: usize) -> bool {
        let (asked, project) = self.questions[number];
        ASKED[asked].1(&self.grants, &self.actor, project)
    }

    fn answers(&self) -> Vec<bool> {
        (0..QUESTIONS).map(|number| self.answer(number)).collect()
    }

    fn rate(&self, decisions: usize) -> Result<f64> {
        let mut number = 0;
        rate(decisions, || {
            black_box(self.answer(number % QUESTIONS));
            number += 1;
        })
    }

    fn as_json(&self) -> Value {
        let project = |project: Option<ProjectId>| project.map(|project| project.to_string());
        let grants: Vec<_> = self
            .all
            .iter()
            .map(|grant| {
                let names: Vec<_> = grant.permissions.iter().map(Permission::name).collect();
                json!({
                    "role": grant.role.to_string(),
                    "permissions": names,
                    "project": project(grant.project),
                })
            })
            .collect();
        let question = |(asked, place): &(usize, Option<ProjectId>)| json!({"permission": ASKED[*asked].0.name(), "project": project(*place)});
        let questions: Vec<_> = self.questions.iter().map(question).collect();
        json!({"grants": grants, "questions": questions})
    }
}

/// The program in `engines`, which has read a world.
struct Engines {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

struct Answered {
    answers: Vec<bool>,
    rate: f64,
}

impl Engines {
    fn start(world: &World) -> Result<Self> {
        let program = program("BENCH_ENGINES", "palisade-bench-engines");
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the policy engines; use tests/bench/run")?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut engines = Self { child, input, output };
        engines.say(&world.as_json().to_string())?;
        Ok(engines)
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("it was closed")?;
        writeln!(input, "{line}")?;
        Ok(input.flush()?)
    }

    /// Lets an engine decide so many times, going through the questions.
    fn ask(&mut self, engine: &str, decisions: usize) -> Result<Answered> {
        self.say(&format!("{engine} {}", decisions.max(QUESTIONS)))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("the policy engines have failed")?;
        let nanos = said["cpuNanos"].as_f64().context("no time")?;
        let decisions = said["decisions"].as_f64().context("no count")?;
        let answers = said["answers"].as_array().context("no answers")?;
        let answers = answers.iter().map(|yes| yes.as_bool().unwrap_or(false)).collect();
        Ok(Answered { answers, rate: decisions / nanos * 1e6 })
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}
