//! Migrations: once, in any number of nodes, and never on a foreign schema.

use super::{
    super::{Failure, Store, StoreSettings, Tx, tenants},
    Given, on_both,
};

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
        assert_eq!(applied, 1);
    }

    async fn a_migration_that_was_applied_with_other_content_is_refused(given: Given) {
        let checksum = match given.settings {
            StoreSettings::Sqlite { .. } => "x'00'",
            StoreSettings::Postgres(_) => r"'\x00'",
        };
        execute(&given, &format!("UPDATE _sqlx_migrations SET checksum = {checksum}")).await;
        let refused = given.store.migrate().await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Schema);
        let told = crate::error::chain(&refused);
        assert!(told.contains("is not one of Palisade's: restore a backup"), "{told}");
        assert!(told.contains("migration 1 was previously applied but has been modified"), "{told}");
    }

    async fn a_schema_that_a_newer_node_has_expanded_is_accepted(given: Given) {
        execute(
            &given,
            "INSERT INTO _sqlx_migrations
                 (version, description, installed_on, success, checksum, execution_time)
             SELECT 999, 'newer', installed_on, success, checksum, execution_time
             FROM _sqlx_migrations",
        ).await;
        given.store.migrate().await.unwrap();
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
