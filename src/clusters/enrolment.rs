//! How an agent gets its credentials and keeps them.
//!
//! Owns: the manifest behind a token, trading the token for credentials, and
//! renewing them by the agent's own signature.
//! Must not know: how credentials look; the bus writes them.
//!
//! Nobody has signed in here: a token or a signature is all that counts, so
//! everything is checked before anything is told.

use std::time::Duration;

use super::{
    Clusters, Credential, CredentialState,
    manifest::{self, ManifestInput},
};
use crate::{
    audit::{Event, Outcome},
    bus::{
        AgentPublicKey,
        message::{EnrolRequest, Enrolment, RenewRequest},
    },
    clock::Timestamp,
    error::{Error, Kind, Result},
    identity::{OneTimeSecret, Purpose},
    ids::{ClusterId, TenantId},
    rbac::{Actor, Principal, RequestMeta},
    secret::Secret,
    store::{self, Tx, enrolment::AgentCredential},
};

/// How far an agent's clock may be off.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

impl Clusters {
    /// The import manifest, as long as its token can be used; reading it does
    /// not use the token. `NotFound`.
    pub async fn manifest(&self, token: &str) -> Result<Secret<String>> {
        let secret = parse(token)?;
        let mut tx = self.ledger.store().read().await?;
        let digest = *secret.digest().as_bytes();
        let found = store::enrolment::find_token(&mut tx, digest, self.now()).await?;
        let found = found.ok_or_else(no_token)?;
        let row = store::clusters::find(&mut tx, found.tenant_id, found.cluster_id).await?;
        let row = row.ok_or_else(no_token)?;
        let front = (self.front)();
        Ok(manifest::render(&ManifestInput {
            cluster_name: row.name,
            cluster: row.id.to_string(),
            management_url: front.origin,
            token: Secret::new(token.to_owned()),
            ca_pem: front.ca_pem,
            image: front.image,
            bus_address: None,
            proxy: None,
        }))
    }

    /// Trades a token for credentials. Of several agents that try, one wins;
    /// an agent that enrolled for the cluster earlier is cut off. The one that
    /// has won may ask again until the token expires, because its answer may
    /// have been lost: the credentials are worth nothing without its own key.
    ///
    /// `NotFound` for a token that is unknown or expired; `Conflict` with code
    /// `token-used`; `Unavailable` without a bus.
    pub async fn enrol(&self, request: EnrolRequest, meta: RequestMeta) -> Result<Enrolment> {
        let secret = parse(&request.token)?;
        let key = public_key(&request.public_key)?;
        let bus = self.bus()?;
        let digest = *secret.digest().as_bytes();
        let mut tx = self.ledger.store().read().await?;
        let token = match store::enrolment::find_token(&mut tx, digest, self.now()).await? {
            Some(token) => token,
            None => {
                store::enrolment::find_used_token(&mut tx, digest).await?.ok_or_else(no_token)?
            }
        };
        drop(tx);

        let (tenant, cluster) = (token.tenant_id, token.cluster_id);
        let mut change = self.ledger.begin(&agent(tenant, cluster, meta)).await?;
        let now = self.now();
        let row = store::clusters::find(change.tx(), tenant, cluster).await?;
        let row = row.ok_or_else(no_token)?;
        let (jwt, expires_at) =
            bus.issue_agent(tenant, cluster, &key, now, self.terms.credential_life);
        let credential = AgentCredential {
            public_key: key.to_string(),
            tenant_id: tenant,
            cluster_id: cluster,
            expires_at,
            revoked_at: None,
        };
        let event = Event::new("cluster.enrol").on(cluster).in_project(row.project_id);
        let mut event = event.with("agentVersion", request.agent_version);
        let mut earlier = Vec::new();
        if store::enrolment::use_token(change.tx(), digest, now).await? {
            let tx = change.tx();
            earlier = store::enrolment::revoke_cluster(tx, tenant, cluster, now).await?;
            store::enrolment::insert_credential(tx, &credential)
                .await
                .map_err(|error| error.on_duplicate("publicKey", "This key has enrolled before"))?;
        } else if now < token.expires_at && enrolled_before(change.tx(), &credential).await? {
            event = event.with("again", true);
        } else {
            return Err(token_used());
        }
        change.outdate_fleet();
        change.commit(event.with("publicKey", key.to_string())).await?;

        let earlier: Vec<AgentPublicKey> =
            earlier.iter().filter_map(|key| key.parse().ok()).collect();
        self.cut_off(tenant, &earlier, now).await;
        self.enrolled(tenant, cluster, expires_at);
        Ok(enrolment(cluster, jwt, expires_at, now))
    }

    /// New credentials for the key of an agent that has enrolled, also when the
    /// old ones have expired.
    ///
    /// `Forbidden` with code `signature-wrong`, `clock-skew` or
    /// `credential-revoked` (also when the cluster is gone).
    pub async fn renew(&self, request: RenewRequest, meta: RequestMeta) -> Result<Enrolment> {
        let key = public_key(&request.public_key)?;
        let cluster: ClusterId = request
            .cluster
            .parse()
            .map_err(|_| Error::invalid("cluster", "is no cluster's uid"))?;
        verify(&request, &key)?;
        let now = self.now();
        if now.since(request.at) > CLOCK_SKEW || request.at.since(now) > CLOCK_SKEW {
            let message = format!("The agent's clock is off: here it is {now}.");
            return Err(Error::new(Kind::Forbidden, "clock-skew", message)
                .with_hint("Set the clocks of the cluster's nodes, e.g. by NTP."));
        }
        let bus = self.bus()?;
        let mut tx = self.ledger.store().read().await?;
        let found = store::enrolment::find_credential(&mut tx, key.as_str()).await?;
        drop(tx);
        let tenant = match found {
            Some(found) if found.cluster_id == cluster => found.tenant_id,
            _ => return Err(revoked()),
        };

        let actor = agent(tenant, cluster, meta);
        let mut change = self.ledger.begin(&actor).await?;
        // After the transaction has begun: whoever revokes the key later does so
        // at a later moment, which voids what is issued here.
        let now = self.now();
        let row = store::clusters::find(change.tx(), tenant, cluster).await?;
        let (jwt, expires_at) =
            bus.issue_agent(tenant, cluster, &key, now, self.terms.credential_life);
        let extended =
            store::enrolment::extend(change.tx(), tenant, key.as_str(), expires_at).await?;
        let Some(row) = row.filter(|_| extended) else {
            drop(change);
            let event = Event::new("cluster.renew").on(cluster).outcome(Outcome::Denied);
            self.ledger.note(&actor, event).await?;
            return Err(revoked());
        };
        let event = Event::new("cluster.renew").on(cluster).in_project(row.project_id);
        change.commit(event).await?;
        self.enrolled(tenant, cluster, expires_at);
        Ok(enrolment(cluster, jwt, expires_at, now))
    }

    fn enrolled(&self, tenant: TenantId, cluster: ClusterId, expires_at: Timestamp) {
        let credential =
            Credential { state: CredentialState::Enrolled, expires_at: Some(expires_at) };
        self.registry.put_credential(tenant, cluster, credential);
    }
}

/// Whether this very key has enrolled for this very cluster and was not revoked
/// since; if so, its new expiry is noted.
async fn enrolled_before(tx: &mut Tx, credential: &AgentCredential) -> Result<bool> {
    let AgentCredential { public_key, tenant_id, cluster_id, expires_at, .. } = credential;
    let found = store::enrolment::find_credential(tx, public_key).await?;
    let is_its_own =
        |found: AgentCredential| (found.tenant_id, found.cluster_id) == (*tenant_id, *cluster_id);
    if !found.is_some_and(is_its_own) {
        return Ok(false);
    }
    Ok(store::enrolment::extend(tx, *tenant_id, public_key, *expires_at).await?)
}

fn agent(tenant: TenantId, cluster: ClusterId, request: RequestMeta) -> Actor {
    // An answer with credentials is never repeated, so a key for that is not kept.
    let request = RequestMeta { idempotency: None, ..request };
    Actor { principal: Principal::Agent(cluster), tenant, request }
}

fn enrolment(
    cluster: ClusterId,
    jwt: String,
    expires_at: Timestamp,
    server_time: Timestamp,
) -> Enrolment {
    Enrolment { cluster: cluster.to_string(), jwt, expires_at, server_time }
}

fn parse(token: &str) -> Result<OneTimeSecret> {
    OneTimeSecret::parse(Purpose::ClusterImport, token).map_err(|_| no_token())
}

fn public_key(text: &str) -> Result<AgentPublicKey> {
    text.parse().map_err(|error| Error::invalid("publicKey", format!("{error}")))
}

fn verify(request: &RenewRequest, key: &AgentPublicKey) -> Result<()> {
    let text = RenewRequest::signed_text(&request.cluster, &request.public_key, request.at);
    let signature = data_encoding::BASE64URL_NOPAD.decode(request.signature.as_bytes());
    if signature.is_ok_and(|signature| key.verifies(text.as_bytes(), &signature)) {
        return Ok(());
    }
    let message = "The signature does not belong to this key and request.";
    Err(Error::new(Kind::Forbidden, "signature-wrong", message))
}

fn no_token() -> Error {
    Error::not_found("import token")
        .with_hint("It has expired or was replaced. Ask for a new import command.")
}

fn token_used() -> Error {
    Error::new(Kind::Conflict, "token-used", "This import token was used already.")
        .with_hint("Ask for a new import command and apply it.")
}

fn revoked() -> Error {
    let message = "The credentials of this agent were revoked, or its cluster was removed.";
    Error::new(Kind::Forbidden, "credential-revoked", message)
        .with_hint("Import the cluster again.")
}
