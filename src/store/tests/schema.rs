//! Migrations: once, in any number of nodes, and never on a foreign schema.

use super::{
    super::{Failure, Store, StoreSettings, Tx, tenants},
    Given, on_both,
};
use crate::release::Build;

async fn execute(given: &Given, sql: &str) {
    given.commit(async |tx: &mut Tx| tx.execute(sql, ()).await).await;
}

on_both! {
    async fn migrating_again_changes_nothing(given: Given) {
        let acme = given.world("acme").await;
        given.store.migrate().await.unwrap();
        let again = Store::open(&given.settings).await.unwrap();
        again.migrate().await.unwrap();
        let mut tx = again.read().await.unwrap();
        assert!(tenants::find(&mut tx, acme.tenant).await.unwrap().is_some());
        let applied: i64 =
            tx.fetch_one("SELECT COUNT(*) FROM _sqlx_migrations", ()).await.unwrap();
        assert_eq!(applied, i64::from(crate::release::DATA_FORMAT));
    }

    async fn a_migration_that_was_applied_with_other_content_is_refused(given: Given) {
        let checksum = match given.settings {
            StoreSettings::Sqlite { .. } => "x'00'",
            StoreSettings::Postgres(_) => r"'\x00'",
        };
        execute(
            &given,
            &format!("UPDATE _sqlx_migrations SET checksum = {checksum} WHERE version = 1"),
        ).await;
        let refused = given.store.migrate().await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Schema);
        let told = crate::error::chain(&refused);
        assert!(told.contains("is not one of Palisade's: restore a backup"), "{told}");
        assert!(told.contains("migration 1 was previously applied but has been modified"), "{told}");
    }

    async fn a_version_that_cannot_run_on_the_data_refuses_it_and_changes_nothing(given: Given) {
        let build = |version: &str, oldest: &str| Build {
            version: version.parse().unwrap(),
            oldest: oldest.parse().unwrap(),
        };
        // A newer version that has taken something away.
        given.store.migrate_to(&build("9.3.0", "9.2.0")).await.unwrap();
        let before = given.store.data_format().await.unwrap();
        let refused = given.store.migrate_to(&build("9.1.0", "9.0.0")).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::TooNew);
        let error = crate::error::Error::from(refused);
        assert_eq!(error.code(), "data-too-new");
        assert_eq!(
            error.message(),
            "The data was last used by version 9.3.0 and needs version 9.2.0 or newer; \
             this is version 9.1.0."
        );
        assert_eq!(given.store.data_format().await.unwrap(), before);
        // One that can run on it does, and does not make it look older.
        given.store.migrate_to(&build("9.2.0", "9.0.0")).await.unwrap();
        assert_eq!(given.store.data_format().await.unwrap(), before);
        given.store.migrate_to(&build("9.4.0", "9.2.0")).await.unwrap();
        let raised = given.store.data_format().await.unwrap().unwrap();
        assert_eq!(raised.version.to_string(), "9.4.0");
        assert_eq!(raised.oldest_version.to_string(), "9.2.0");
    }

    async fn a_schema_that_a_newer_node_has_expanded_is_accepted(given: Given) {
        execute(
            &given,
            "INSERT INTO _sqlx_migrations
                 (version, description, installed_on, success, checksum, execution_time)
             SELECT 999, 'newer', installed_on, success, checksum, execution_time
             FROM _sqlx_migrations WHERE version = 1",
        ).await;
        given.store.migrate().await.unwrap();
        assert_eq!(given.store.migrations().await.unwrap(), [1, 2, 3, 999]);
    }
}

#[tokio::test]
async fn nodes_that_migrate_at_the_same_time_do_not_harm_each_other() {
    let given = Given::postgres().await;
    execute(&given, "DROP SCHEMA public CASCADE").await;
    execute(&given, "CREATE SCHEMA public").await;
    let nodes = (0..4).map(async |_| {
        let store = Store::open(&given.settings).await.expect("open");
        store.migrate().await.expect("a migration");
    });
    futures_util::future::join_all(nodes).await;
    given.world("acme").await;
}
