//! What etcd and Patroni say, and the few things that they are told.
//!
//! Owns: their interfaces over HTTPS, with this node's certificate.
//! Must not know: how they are started, or what follows from what they say.

use std::{fs, io, net::Ipv4Addr, time::Duration};

use reqwest::{Certificate, Client, Identity, Response};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    members::NodeName,
    render::{AFTER_FIRST_STANDBY, ETCD_CLIENTS, ETCD_PEERS, KeyReader, Keys, PATRONI, keys},
};
use crate::{
    clock::Timestamp,
    error::{Error, Kind, Result, chain},
    node::paths::Paths,
};

/// They are on this machine or the next one.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Patroni answers a planned switchover when it is done.
const SWITCHOVER: Duration = Duration::from_mins(1);

/// What a database is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DatabaseRole {
    /// Writes go there.
    Leader,
    /// It has every acknowledged write, or is one of those of which one has.
    Synchronous,
    /// It follows, maybe behind.
    Replica,
}

/// The database of a node, as Patroni sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseNode {
    /// What it is to the others.
    pub role: DatabaseRole,
    /// Patroni's word: `running`, `streaming`, `stopped` …
    pub state: String,
    /// Its history: it grows with every new leader.
    pub timeline: Option<u64>,
    /// By how many bytes it is behind; nothing for the leader, and when nobody knows.
    pub lag_bytes: Option<u64>,
}

/// The etcd of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdNode {
    /// Whether it leads the others.
    pub leader: bool,
    /// Its release.
    pub version: String,
    /// Bytes on disk.
    pub bytes: u64,
}

/// A member as etcd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdMember {
    /// Its number, as etcd writes it.
    pub id: String,
    /// Its name; empty before it has started for the first time.
    pub name: String,
    /// Where its peers find it.
    pub peers: Vec<String>,
}

/// A database of the list that all Patronis share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose.
    pub name: String,
    /// What it does.
    pub database: DatabaseNode,
}

/// When somebody else began to lead, from Patroni's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Who has led since.
    pub leader: String,
    /// Why.
    pub why: String,
}

/// Asks engines with this node's certificate.
#[derive(Clone, Debug)]
pub struct Engines {
    client: Client,
}

impl Engines {
    /// With the certificate of this node. `Unavailable` when it has none.
    pub fn new(paths: &Paths) -> Result<Self> {
        Self::with(&keys(paths, KeyReader::Palisade, "node"))
    }

    fn with(keys: &Keys) -> Result<Self> {
        let client = identity(keys).and_then(|(identity, authority)| {
            Client::builder()
                .https_only(true)
                .no_proxy()
                .tls_certs_only([authority])
                .identity(identity)
                .timeout(TIMEOUT)
                .connect_timeout(Duration::from_secs(2))
                .pool_max_idle_per_host(1)
                .build()
                .map_err(|error| io::Error::other(chain(&error)))
        });
        let client = client.map_err(|error| {
            Error::unavailable("The certificate of this node cannot be used.")
                .with_hint("Let this node join the cluster again.")
                .caused_by(error)
        })?;
        Ok(Self { client })
    }

    /// How the etcd at this address does.
    pub async fn etcd(&self, at: Ipv4Addr) -> Result<EtcdNode> {
        let status: EtcdStatus = self.etcd_call(at, "maintenance/status", &json!({})).await?;
        Ok(EtcdNode {
            leader: status.leader == status.header.member_id && status.leader != "0",
            version: status.version,
            bytes: status.db_size.parse().unwrap_or(0),
        })
    }

    /// Whether the etcd at this address can agree with the others.
    pub async fn etcd_agrees(&self, at: Ipv4Addr) -> Result<bool> {
        let url = format!("https://{at}:{ETCD_CLIENTS}/health");
        let health: Value = answer(self.client.get(url).send().await, "etcd").await?;
        Ok(health["health"] == "true")
    }

    /// The members that etcd has.
    pub async fn etcd_members(&self, at: Ipv4Addr) -> Result<Vec<EtcdMember>> {
        let list: EtcdMembers = self.etcd_call(at, "cluster/member/list", &json!({})).await?;
        let member = |it: EtcdListed| EtcdMember { id: it.id, name: it.name, peers: it.peer_urls };
        Ok(list.members.into_iter().map(member).collect())
    }

    /// Tells etcd of one more member, before that one starts.
    pub async fn add_etcd_member(&self, at: Ipv4Addr, new: Ipv4Addr) -> Result<()> {
        let url = etcd_peer(new);
        if self.etcd_members(at).await?.iter().any(|member| member.peers.contains(&url)) {
            return Ok(());
        }
        let body = json!({ "peerURLs": [url] });
        self.etcd_call::<Value>(at, "cluster/member/add", &body).await.map(drop)
    }

    /// Takes a member out of etcd. Nothing happens when it is not there.
    pub async fn remove_etcd_member(&self, at: Ipv4Addr, old: Ipv4Addr) -> Result<()> {
        let url = etcd_peer(old);
        let members = self.etcd_members(at).await?;
        let Some(member) = members.iter().find(|member| member.peers.contains(&url)) else {
            return Ok(());
        };
        let body = json!({ "ID": member.id });
        self.etcd_call::<Value>(at, "cluster/member/remove", &body).await.map(drop)
    }

    async fn etcd_call<T: DeserializeOwned>(
        &self,
        at: Ipv4Addr,
        what: &str,
        body: &Value,
    ) -> Result<T> {
        let url = format!("https://{at}:{ETCD_CLIENTS}/v3/{what}");
        answer(self.client.post(url).json(body).send().await, "etcd").await
    }

    /// All databases, as the Patroni at this address sees them.
    pub async fn databases(&self, at: Ipv4Addr) -> Result<Vec<Listed>> {
        let list: PatroniCluster = self.patroni_get(at, "cluster").await?;
        Ok(list.members.into_iter().map(Listed::from).collect())
    }

    /// When somebody else began to lead for the last time; nothing when nobody did.
    pub async fn last_change(&self, at: Ipv4Addr) -> Result<Option<Change>> {
        let history: Vec<Value> = self.patroni_get(at, "history").await?;
        Ok(history.iter().rev().find_map(change))
    }

    /// Lets any one standby acknowledge a write, once there is one.
    pub async fn any_standby_counts(&self, at: Ipv4Addr) -> Result<()> {
        let body: Value = serde_json::from_str(AFTER_FIRST_STANDBY).map_err(Error::internal)?;
        self.configure(at, &body).await
    }

    /// Changes what all Patronis share.
    pub async fn configure(&self, at: Ipv4Addr, change: &Value) -> Result<()> {
        let url = format!("https://{at}:{PATRONI}/config");
        let sent = self.client.patch(url).json(change).send().await;
        answer::<Value>(sent, "Patroni").await.map(drop)
    }

    /// Lets another database lead. Patroni answers when it does.
    pub async fn switch_over(
        &self,
        at: Ipv4Addr,
        from: &NodeName,
        to: Option<&NodeName>,
    ) -> Result<()> {
        let body = json!({ "leader": from, "candidate": to });
        let url = format!("https://{at}:{PATRONI}/switchover");
        let sent = self.client.post(url).json(&body).timeout(SWITCHOVER).send().await;
        said(sent, "Patroni").await.map(drop)
    }

    /// Lets a database lead although nobody does, and it may lack something.
    pub async fn fail_over(&self, at: Ipv4Addr, to: &NodeName) -> Result<()> {
        let url = format!("https://{at}:{PATRONI}/failover");
        let body = json!({ "candidate": to });
        let sent = self.client.post(url).json(&body).timeout(SWITCHOVER).send().await;
        said(sent, "Patroni").await.map(drop)
    }

    async fn patroni_get<T: DeserializeOwned>(&self, at: Ipv4Addr, what: &str) -> Result<T> {
        let url = format!("https://{at}:{PATRONI}/{what}");
        answer(self.client.get(url).send().await, "Patroni").await
    }
}

fn etcd_peer(address: Ipv4Addr) -> String {
    format!("https://{address}:{ETCD_PEERS}")
}

fn identity(keys: &Keys) -> io::Result<(Identity, Certificate)> {
    let mut pem = zeroize::Zeroizing::new(fs::read(&keys.key)?);
    pem.extend(fs::read(&keys.certificate)?);
    let wrong = |error: reqwest::Error| io::Error::other(chain(&error));
    let authority = Certificate::from_pem(&fs::read(&keys.authority)?).map_err(wrong)?;
    Ok((Identity::from_pem(&pem).map_err(wrong)?, authority))
}

/// The text of a good answer. `Unavailable` when there is none.
async fn said(sent: reqwest::Result<Response>, who: &str) -> Result<String> {
    let failed = |why: String| {
        Error::new(Kind::Unavailable, "engine-failed", format!("{who} does not answer: {why}."))
    };
    let response = sent.map_err(|error| failed(chain(&error.without_url())))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| failed(chain(&error.without_url())))?;
    if status.is_success() {
        return Ok(text);
    }
    let why: String = text.trim().chars().take(300).collect();
    let message = format!("{who} refuses ({}): {why}.", status.as_u16());
    Err(Error::new(Kind::Unavailable, "engine-refuses", message))
}

async fn answer<T: DeserializeOwned>(sent: reqwest::Result<Response>, who: &str) -> Result<T> {
    let text = said(sent, who).await?;
    serde_json::from_str(&text).map_err(|error| {
        let message = format!("{who} answers in a form that is not known: {error}.");
        Error::new(Kind::Unavailable, "engine-unknown", message)
    })
}

/// etcd's gateway writes numbers of 64 bits as text.
#[derive(Deserialize)]
struct EtcdStatus {
    header: EtcdHeader,
    version: String,
    #[serde(default)]
    leader: String,
    #[serde(default, rename = "dbSize")]
    db_size: String,
}

#[derive(Deserialize)]
struct EtcdHeader {
    member_id: String,
}

#[derive(Deserialize)]
struct EtcdMembers {
    members: Vec<EtcdListed>,
}

#[derive(Deserialize)]
struct EtcdListed {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Vec<String>,
}

#[derive(Deserialize)]
struct PatroniCluster {
    members: Vec<PatroniMember>,
}

#[derive(Deserialize)]
struct PatroniMember {
    name: String,
    role: String,
    state: String,
    timeline: Option<u64>,
    /// A number, or the word `unknown`.
    lag: Option<Value>,
}

impl From<PatroniMember> for Listed {
    fn from(member: PatroniMember) -> Self {
        let role = match member.role.as_str() {
            "leader" | "master" | "primary" => DatabaseRole::Leader,
            "sync_standby" | "quorum_standby" => DatabaseRole::Synchronous,
            _ => DatabaseRole::Replica,
        };
        let database = DatabaseNode {
            role,
            state: member.state,
            timeline: member.timeline,
            lag_bytes: member.lag.as_ref().and_then(Value::as_u64),
        };
        Self { name: member.name, database }
    }
}

/// A line of the history: timeline, position, reason, and since Patroni 2 when and who.
fn change(line: &Value) -> Option<Change> {
    let line = line.as_array()?;
    Some(Change {
        at: line.get(3)?.as_str()?.parse().ok()?,
        leader: line.get(4)?.as_str()?.to_owned(),
        why: line.get(2)?.as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_patroni_become_roles_and_lags() {
        let text = r#"{"members":[
            {"name":"n1","role":"leader","state":"running","timeline":3,"host":"10.9.0.11"},
            {"name":"n2","role":"quorum_standby","state":"streaming","timeline":3,"lag":0},
            {"name":"n3","role":"replica","state":"stopped","lag":"unknown"}],"scope":"x"}"#;
        let list: PatroniCluster = serde_json::from_str(text).expect("read");
        let listed: Vec<_> = list.members.into_iter().map(Listed::from).collect();
        let roles: Vec<_> = listed.iter().map(|it| it.database.role).collect();
        assert_eq!(roles, [DatabaseRole::Leader, DatabaseRole::Synchronous, DatabaseRole::Replica]);
        let lags: Vec<_> = listed.iter().map(|it| it.database.lag_bytes).collect();
        assert_eq!(lags, [None, Some(0), None]);
    }

    #[test]
    fn the_last_line_of_the_history_that_names_a_leader_counts() {
        let text = r#"[[1,25,"no recovery target specified","2026-11-01T10:00:00.5+00:00","n1"],
            [2,29,"no recovery target specified","2026-11-02T10:00:00+00:00","n2"],[3,30,"x"]]"#;
        let history: Vec<Value> = serde_json::from_str(text).expect("read");
        let last = history.iter().rev().find_map(change).expect("one");
        assert_eq!((last.leader.as_str(), last.at), ("n2", Timestamp::from_seconds(1_793_613_600)));
    }
}
