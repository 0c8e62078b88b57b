//! The audit trail, settings, keys and the installation's own rows.

use std::time::Duration;

use super::{
    super::{
        Failure, ListQuery, Tx,
        audit::{self, AuditFilter, AuditRow, Checkpoint},
        idempotency::{self, Remembered},
        installation, invalidation,
        settings::{self, Setting},
        tenant_keys::{self, TenantKeyRow},
    },
    Given, on_both,
    sample::{self, at, digest, new_id},
};
use crate::{
    ids::{AuditId, ProjectId, TenantId},
    rbac::Reach,
};

on_both! {
    async fn a_record_gets_its_place_in_the_chain_once(given: Given) {
        let tenant = new_id!(TenantId);
        let record = AuditRow {
            actor_id: Some("somebody".to_owned()),
            object_id: Some("something".to_owned()),
            address: Some("192.0.2.7".to_owned()),
            project_id: Some(new_id!(ProjectId)),
            ..sample::record(tenant, "cluster.import", 100)
        };
        given.commit(async |tx| {
            audit::insert(tx, &record).await?;
            assert_eq!(audit::backlog(tx).await?, (1, Some(at(100))));
            assert_eq!(audit::unsealed(tx, 10).await?.len(), 1);
            audit::seal(tx, record.id, 1, [1; 32]).await?;
            audit::seal(tx, record.id, 2, [2; 32]).await?;
            assert_eq!(audit::backlog(tx).await?, (0, None));
            assert!(audit::unsealed(tx, 10).await?.is_empty());
            let found = audit::find(tx, tenant, &Reach::Tenant, record.id).await?.unwrap();
            assert_eq!((found.position, found.link), (Some(1), Some([1; 32])));
            assert_eq!((found.actor_id, found.object_id), (record.actor_id, record.object_id));
            assert_eq!((found.address, found.project_id), (record.address, record.project_id));
            assert_eq!((found.action, found.at), (record.action, record.at));
            assert!(audit::find(tx, tenant, &Reach::Tenant, new_id!(AuditId)).await?.is_none());
            Ok(())
        }).await;
    }

    async fn two_records_cannot_have_the_same_place(given: Given) {
        let tenant = new_id!(TenantId);
        let records = [1, 2].map(|seconds| sample::record(tenant, "cluster.get", seconds));
        let mut tx = given.store.begin().await.unwrap();
        for record in &records {
            audit::insert(&mut tx, record).await.unwrap();
        }
        audit::seal(&mut tx, records[0].id, 1, [1; 32]).await.unwrap();
        let refused = audit::seal(&mut tx, records[1].id, 1, [2; 32]).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Duplicate);
    }

    async fn forged_records_are_set_aside_and_stay_in_sight(given: Given) {
        let tenant = new_id!(TenantId);
        let records = [1, 2, 3].map(|seconds| sample::record(tenant, "cluster.get", seconds));
        given.commit(async |tx| {
            for record in &records {
                audit::insert(tx, record).await?;
            }
            audit::seal(tx, records[0].id, 1, [1; 32]).await?;
            for record in &records {
                audit::quarantine(tx, record.id).await?;
            }
            let aside = audit::quarantined(tx, tenant, 10).await?;
            let aside: Vec<_> = aside.iter().map(|row| (row.position, row.id)).collect();
            assert_eq!(aside, [(Some(-2), records[2].id), (Some(-1), records[1].id)]);
            assert_eq!(audit::backlog(tx).await?, (0, None));
            let chain = audit::chain_from(tx, tenant, 1, 10).await?;
            assert_eq!(chain.len(), 1, "a record that has its place keeps it");
            Ok(())
        }).await;
    }

    async fn records_wait_in_the_order_in_which_they_happened(given: Given) {
        let tenant = new_id!(TenantId);
        given.commit(async |tx| {
            for seconds in [30, 10, 20] {
                audit::insert(tx, &sample::record(tenant, "cluster.get", seconds)).await?;
            }
            let waiting = audit::unsealed(tx, 2).await?;
            assert_eq!(waiting.iter().map(|row| row.at).collect::<Vec<_>>(), [at(10), at(20)]);
            for (position, row) in (1..).zip(audit::unsealed(tx, 10).await?) {
                audit::seal(tx, row.id, position, [0; 32]).await?;
            }
            let chain = audit::chain_from(tx, tenant, 2, 10).await?;
            assert_eq!(chain.iter().map(|row| row.at).collect::<Vec<_>>(), [at(20), at(30)]);
            assert_eq!(audit::chain_from(tx, tenant, 1, 1).await?.len(), 1);
            Ok(())
        }).await;
    }

    async fn a_trail_can_be_narrowed_by_every_field(given: Given) {
        let tenant = new_id!(TenantId);
        let project = new_id!(ProjectId);
        let first = AuditRow {
            actor_id: Some("ann".to_owned()),
            object_id: Some("edge".to_owned()),
            project_id: Some(project),
            ..sample::record(tenant, "cluster.import", 10)
        };
        let second = AuditRow {
            outcome: "denied".to_owned(),
            ..sample::record(tenant, "clusterx.import", 20)
        };
        given.commit(async |tx| {
            audit::insert(tx, &first).await?;
            audit::insert(tx, &second).await
        }).await;

        let text = |text: &str| Some(text.to_owned());
        let none = AuditFilter::default;
        let mut tx = given.store.read().await.unwrap();
        for (filter, expected) in [
            (none(), 2),
            (AuditFilter { from: Some(at(20)), ..none() }, 1),
            (AuditFilter { to: Some(at(20)), ..none() }, 1),
            (AuditFilter { actor: text("ann"), ..none() }, 1),
            (AuditFilter { action: text("cluster.import"), ..none() }, 1),
            (AuditFilter { action: text("cluster"), ..none() }, 0),
            (AuditFilter { action: text("cluster."), ..none() }, 1),
            (AuditFilter { action: text("%."), ..none() }, 0),
            (AuditFilter { object: text("edge"), ..none() }, 1),
            (AuditFilter { outcome: text("denied"), ..none() }, 1),
            (AuditFilter { project: Some(project), ..none() }, 1),
        ] {
            let list = ListQuery::default();
            let page =
                audit::list(&mut tx, tenant, &Reach::Tenant, &filter, &list).await.unwrap();
            assert_eq!((page.items.len(), page.total as usize), (expected, expected), "{filter:?}");
        }
        let reach = Reach::Projects([project].into());
        let page = audit::list(&mut tx, tenant, &reach, &none(), &ListQuery::default()).await;
        assert_eq!(page.unwrap().total, 1, "records outside of projects need the whole tenant");
        assert!(audit::find(&mut tx, tenant, &reach, second.id).await.unwrap().is_none());
    }

    async fn the_newest_checkpoint_of_each_chain_is_the_last(given: Given) {
        let (one, two) = (new_id!(TenantId), new_id!(TenantId));
        let checkpoint = |tenant_id, position| Checkpoint {
            tenant_id,
            position,
            link: digest(),
            at: at(position),
            signature: vec![9; 64],
        };
        given.commit(async |tx| {
            for (tenant, position) in [(one, 5), (one, 9), (two, 7)] {
                audit::insert_checkpoint(tx, &checkpoint(tenant, position)).await?;
            }
            assert_eq!(audit::last_checkpoint(tx, one).await?.unwrap().position, 9);
            let from = audit::checkpoints_from(tx, one, 6, 10).await?;
            assert_eq!(from.iter().map(|row| row.position).collect::<Vec<_>>(), [9]);
            let last = audit::last_checkpoints(tx).await?;
            let mut last: Vec<_> = last.iter().map(|row| (row.tenant_id, row.position)).collect();
            let mut expected = [(one, 9), (two, 7)];
            last.sort();
            expected.sort();
            assert_eq!(last, expected);
            Ok(())
        }).await;
        let mut tx = given.store.begin().await.unwrap();
        let again = audit::insert_checkpoint(&mut tx, &checkpoint(one, 9)).await.unwrap_err();
        assert_eq!(again.failure(), Failure::Duplicate);
    }

    async fn an_idempotency_key_remembers_one_outcome_per_caller(given: Given) {
        let acme = given.world("acme").await;
        let outcome = Remembered { fingerprint: digest(), outcome_sealed: b"other".to_vec() };
        given.commit(async |tx| {
            idempotency::insert(tx, acme.tenant, "second", "key", &outcome, at(200)).await?;
            let found = idempotency::find(tx, acme.tenant, "second", "key").await?.unwrap();
            assert_eq!((found.fingerprint, found.outcome_sealed), (outcome.fingerprint, b"other".to_vec()));
            let found = idempotency::find(tx, acme.tenant, "caller", "key").await?.unwrap();
            assert_eq!(found.outcome_sealed, b"sealed");
            Ok(())
        }).await;

        let mut tx = given.store.begin().await.unwrap();
        let refused =
            idempotency::insert(&mut tx, acme.tenant, "caller", "key", &outcome, at(300)).await;
        assert_eq!(refused.unwrap_err().failure(), Failure::Duplicate);
        drop(tx);

        given.commit(async |tx| {
            assert_eq!(idempotency::prune(tx, at(200)).await?, 1);
            idempotency::forget_tenant(tx, acme.tenant).await?;
            assert!(idempotency::find(tx, acme.tenant, "second", "key").await?.is_none());
            Ok(())
        }).await;
    }

    async fn there_is_one_installation_and_its_set_up_ends_once(given: Given) {
        given.commit(async |tx| {
            assert!(installation::is_there(tx).await?);
            assert!(installation::find(tx).await?.is_none());
            assert!(installation::sealed_keystore(tx).await?.is_none());
            assert!(!installation::set_setup_code(tx, [1; 32]).await?);
            installation::create(tx, "keystore", b"sealed", [1; 32], at(100)).await?;
            assert!(installation::set_setup_code(tx, [2; 32]).await?);
            let found = installation::find(tx).await?.unwrap();
            assert_eq!((found.setup_digest, found.setup_done_at), (Some([2; 32]), None));
            assert_eq!((found.keystore_id.as_str(), found.created_at), ("keystore", at(100)));

            assert!(installation::finish_setup(tx, at(200)).await?);
            assert!(!installation::finish_setup(tx, at(300)).await?);
            assert!(!installation::set_setup_code(tx, [3; 32]).await?);
            let found = installation::find(tx).await?.unwrap();
            assert_eq!((found.setup_digest, found.setup_done_at), (None, Some(at(200))));

            installation::store_keystore(tx, "second", b"again").await?;
            assert_eq!(installation::sealed_keystore(tx).await?.unwrap(), b"again");
            Ok(())
        }).await;
        let mut tx = given.store.begin().await.unwrap();
        let second = installation::create(&mut tx, "other", b"x", [1; 32], at(1)).await;
        assert_eq!(second.unwrap_err().failure(), Failure::Duplicate);
    }

    async fn news_is_read_since_a_moment_and_then_forgotten(given: Given) {
        given.commit(async |tx| {
            for (subject, seconds) in [("a", 300), ("b", 200), ("b", 0)] {
                let id = new_id!(AuditId);
                invalidation::insert(tx, id, subject).await?;
                let older = "UPDATE invalidation SET at = at - $1 WHERE id = $2";
                tx.execute(older, (i64::from(seconds) * 1_000_000, id)).await?;
            }
            let subjects = async |tx: &mut Tx, back| {
                let news = invalidation::within(tx, Duration::from_secs(back)).await.unwrap();
                let mut subjects: Vec<_> = news.into_iter().map(|news| news.subject).collect();
                subjects.sort();
                subjects
            };
            assert_eq!(subjects(tx, 360).await, ["a", "b", "b"]);
            assert_eq!(subjects(tx, 100).await, ["b"]);
            assert_eq!(invalidation::prune(tx, Duration::from_secs(100)).await?, 2);
            assert_eq!(subjects(tx, 360).await, ["b"]);
            Ok(())
        }).await;
    }

    async fn a_setting_changes_only_with_its_current_version(given: Given) {
        let acme = given.world("acme").await;
        let setting = |value: &str| Setting { value: value.to_owned(), sealed: None, version: 0 };
        given.commit(async |tx| {
            let tenant = acme.tenant;
            assert!(settings::find(tx, tenant, "banner").await?.is_none());
            assert!(!settings::put(tx, tenant, "banner", &setting("1"), 1).await?);
            assert!(settings::put(tx, tenant, "banner", &setting("1"), 0).await?);
            assert!(!settings::put(tx, tenant, "banner", &setting("2"), 0).await?);
            assert!(settings::put(tx, tenant, "banner", &setting("2"), 1).await?);
            let found = settings::find(tx, tenant, "banner").await?.unwrap();
            assert_eq!((found.value.as_str(), found.sealed, found.version), ("2", None, 2));

            let sealed = settings::sealed_of_tenant(tx, tenant).await?;
            assert_eq!(sealed, [("password-policy".to_owned(), vec![7; 8])]);
            settings::reseal(tx, tenant, "password-policy", b"again").await?;
            let found = settings::find(tx, tenant, "password-policy").await?.unwrap();
            assert_eq!((found.sealed.as_deref(), found.version), (Some(&b"again"[..]), 1));
            Ok(())
        }).await;
    }

    async fn versions_of_a_tenants_key_come_newest_first(given: Given) {
        let acme = given.world("acme").await;
        given.world("globex").await;
        let key = |key_version, root_key: &str| TenantKeyRow {
            tenant_id: acme.tenant,
            key_version,
            root_key: root_key.to_owned(),
            wrapped: vec![2; 64],
        };
        given.commit(async |tx| {
            tenant_keys::insert(tx, &key(2, "root-1")).await?;
            tenant_keys::rewrap(tx, &key(1, "root-2")).await?;
            let keys = tenant_keys::of_tenant(tx, acme.tenant).await?;
            let keys: Vec<_> = keys.iter().map(|k| (k.key_version, k.root_key.as_str())).collect();
            assert_eq!(keys, [(2, "root-1"), (1, "root-2")]);
            assert_eq!(tenant_keys::all(tx).await?.len(), 3);
            tenant_keys::delete_before(tx, acme.tenant, 2).await?;
            assert_eq!(tenant_keys::of_tenant(tx, acme.tenant).await?.len(), 1);
            assert_eq!(tenant_keys::all(tx).await?.len(), 2);
            Ok(())
        }).await;
        let mut tx = given.store.begin().await.unwrap();
        let again = tenant_keys::insert(&mut tx, &key(2, "root-1")).await.unwrap_err();
        assert_eq!(again.failure(), Failure::Duplicate);
    }
}
