//! API keys: how programs act for a user.

use axum::{Json, extract::State};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ListView, not_blank};
use crate::{
    app::App,
    clock::Timestamp,
    gateway::{
        extract::{Allowed, Id, ListParams, ValidJson, ValidQuery},
        respond::{Answer, Created, Done},
    },
    identity::{ApiKey, NewApiKey},
    ids::{ApiKeyId, UserId},
    rbac::rights::{ApiKeyCreate, ApiKeyDelete, ApiKeyList},
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_api_keys, create_api_key))
        .routes(routes!(delete_api_key))
}

/// A credential for programs. It has the permissions of its owner.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ApiKeyView {
    uid: ApiKeyId,
    name: String,
    /// How its text begins.
    prefix: String,
    owner: ApiKeyOwner,
    created_at: Timestamp,
    /// Until when it works; `null`: until it is deleted.
    expires_at: Option<Timestamp>,
    /// Roughly.
    last_used_at: Option<Timestamp>,
}

/// The user that a key acts for.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKeyOwner {
    uid: UserId,
    name: String,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        let (uid, name) = key.owner;
        Self {
            uid: key.id,
            name: key.name,
            prefix: key.prefix,
            owner: ApiKeyOwner { uid, name },
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// A new key for the caller itself.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewApiKeyBody {
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// 1 to 3650; absent: until it is deleted.
    #[garde(inner(range(min = 1, max = 3650)))]
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

/// A new key with its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CreatedApiKeyView {
    api_key: ApiKeyView,
    /// The bearer token. It is shown only now.
    secret: String,
}

/// List the API keys of everybody in the tenant.
#[utoipa::path(get, path = "/v1/api-keys", tag = "API keys", params(ListParams),
    extensions(("x-permission" = json!("apiKey.list"))),
    responses((status = 200, description = "One page.", body = ListView<ApiKeyView>)))]
async fn list_api_keys(
    State(app): State<App>,
    Allowed(permit): Allowed<ApiKeyList>,
    ValidQuery(list): ValidQuery<ListParams>,
) -> Answer<Json<ListView<ApiKeyView>>> {
    Ok(Json(app.api_keys().list(&permit, &list.query()?).await?.into()))
}

/// Make an API key for oneself.
#[utoipa::path(post, path = "/v1/api-keys", tag = "API keys", request_body = NewApiKeyBody,
    extensions(("x-permission" = json!("apiKey.create"))),
    responses((status = 201, description = "Created.", body = CreatedApiKeyView)))]
async fn create_api_key(
    State(app): State<App>,
    Allowed(permit): Allowed<ApiKeyCreate>,
    ValidJson(new): ValidJson<NewApiKeyBody>,
) -> Answer<Created<CreatedApiKeyView>> {
    let new = NewApiKey { name: new.name, expires_in_days: new.expires_in_days };
    let created = app.api_keys().create(&permit, new).await?;
    let secret = created.secret.expose().clone();
    Ok(Created(CreatedApiKeyView { api_key: created.key.into(), secret }))
}

/// Delete an API key; it stops working at once.
#[utoipa::path(delete, path = "/v1/api-keys/{apiKey}", tag = "API keys",
    params(("apiKey" = ApiKeyId, Path, description = "The key.")),
    extensions(("x-permission" = json!("apiKey.delete"))),
    responses((status = 204, description = "Gone.")))]
async fn delete_api_key(
    State(app): State<App>,
    Allowed(permit): Allowed<ApiKeyDelete>,
    Id(key): Id<ApiKeyId>,
) -> Answer<Done> {
    app.api_keys().delete(&permit, key).await?;
    Ok(Done)
}
