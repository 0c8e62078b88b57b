//! How the basic types look in the OpenAPI document.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, SchemaFormat,
        schema::{Schema, SchemaType, Type},
    },
};

use crate::{
    clock::Timestamp,
    ids::{
        ApiKeyId, AssignmentId, AuditId, ClusterId, ProjectId, RoleId, TeamId, TenantId, UserId,
    },
};

macro_rules! uid_schemas {
    ($($type:ty),+) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(SchemaType::new(Type::String))
                    .pattern(Some("^[0-9a-f]{12}$"))
                    .description(Some("12 lower-case hexadecimal characters"))
                    .into()
            }
        }

        impl ToSchema for $type {}
    )+};
}

uid_schemas!(
    TenantId,
    ProjectId,
    UserId,
    TeamId,
    RoleId,
    ApiKeyId,
    ClusterId,
    AuditId,
    AssignmentId
);

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Timestamp {}
