//! The OpenAPI document, made from the routes.
//!
//! What every operation has in common is added here once: the problem
//! document, the credentials, `Idempotency-Key` on POST and `If-Match` on
//! updates. `x-permission` names the permission that an operation needs;
//! operations without it and without credentials are public.

use utoipa::{
    OpenApi,
    openapi::{
        Components, Content, HttpMethod, ObjectBuilder, Ref, RefOr, Required, Response,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::{SchemaType, Type},
        security::{
            ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
        },
    },
};

use super::{cookies, respond::Problem, router};

/// The frame of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Palisade",
        description = "Manage fleets of Kubernetes clusters from behind the firewall.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem))
)]
pub(super) struct Frame;

/// The document as JSON, pretty-printed.
pub fn document() -> String {
    let (_, api) = router::described().split_for_parts();
    finish(api).to_pretty_json().unwrap_or_default()
}

/// Adds what all operations have in common.
pub(super) fn finish(mut api: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let components = api.components.get_or_insert_with(Components::new);
    components
        .add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.add_security_scheme(
        "cookie",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(cookies::ACCESS))),
    );
    for item in api.paths.paths.values_mut() {
        for (method, operation) in [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Patch, &mut item.patch),
            (HttpMethod::Delete, &mut item.delete),
        ] {
            if let Some(operation) = operation {
                complete(operation, &method);
            }
        }
    }
    api
}

fn complete(operation: &mut Operation, method: &HttpMethod) {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let mut response = Response::new("A problem document that says what is wrong.");
    response.content.insert("application/problem+json".to_owned(), problem.into());
    for range in ["4XX", "5XX"] {
        operation.responses.responses.insert(range.to_owned(), response.clone().into());
    }
    if operation.security.is_some() {
        return; // public: the route says so with an empty requirement
    }
    operation.security = Some(vec![
        SecurityRequirement::new("bearer", Vec::<String>::new()),
        SecurityRequirement::new("cookie", Vec::<String>::new()),
    ]);
    let parameters = operation.parameters.get_or_insert_with(Vec::new);
    match method {
        HttpMethod::Post => parameters.push(header(
            "Idempotency-Key",
            "A new value for each new request; repeating it repeats the answer, not the effect.",
            Required::False,
        )),
        HttpMethod::Put | HttpMethod::Patch if has_if_match(operation) => {}
        _ => {}
    }
}

/// Whether the operation updates something that has a version. The mark itself
/// is not for readers, and two marks would have no order.
fn has_if_match(operation: &mut Operation) -> bool {
    let marks = operation.extensions.as_mut();
    let versioned = marks.is_some_and(|marks| marks.remove("x-versioned").is_some());
    if versioned {
        operation.parameters.get_or_insert_with(Vec::new).push(header(
            "If-Match",
            "The ETag of the last read.",
            Required::True,
        ));
    }
    versioned
}

fn header(name: &str, description: &str, required: Required) -> RefOr<Parameter> {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String))))
        .build()
        .into()
}
