//! Tenants, users, their sessions and credentials.

use super::{
    super::{
        Failure, ListQuery, Tx, api_keys,
        one_time::{self, OneTimeRow},
        sessions, tenants,
        users::{self, UserRow},
    },
    Given, on_both,
    sample::{self, at, digest, new_id},
};
use crate::ids::{ApiKeyId, SessionId, TenantId, UserId};

on_both! {
    async fn a_tenant_is_found_by_identifier_and_by_slug(given: Given) {
        let acme = sample::tenant("acme");
        given.commit(async |tx| tenants::insert(tx, &acme).await).await;

        let mut tx = given.store.read().await.unwrap();
        let found = tenants::find(&mut tx, acme.id).await.unwrap().unwrap();
        assert_eq!((found.name, found.slug), (acme.name.clone(), acme.slug.clone()));
        assert_eq!((found.state, found.created_at, found.version), (acme.state, at(100), 1));
        assert_eq!(tenants::find_by_slug(&mut tx, "acme").await.unwrap().unwrap().id, acme.id);
        assert!(tenants::find(&mut tx, new_id!(TenantId)).await.unwrap().is_none());
        assert!(tenants::find_by_slug(&mut tx, "Acme").await.unwrap().is_none());
    }

    async fn two_tenants_cannot_have_the_same_slug(given: Given) {
        given.commit(async |tx| tenants::insert(tx, &sample::tenant("acme")).await).await;
        let mut tx = given.store.begin().await.unwrap();
        let refused = tenants::insert(&mut tx, &sample::tenant("acme")).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Duplicate);
    }

    async fn the_system_scope_is_in_no_list_of_tenants_and_cannot_be_deleted(given: Given) {
        let system = tenants::Tenant { id: TenantId::SYSTEM, ..sample::tenant("system") };
        let acme = sample::tenant("acme");
        given.commit(async |tx| {
            tenants::insert(tx, &system).await?;
            tenants::insert(tx, &acme).await
        }).await;

        let mut tx = given.store.begin().await.unwrap();
        assert!(!tenants::delete(&mut tx, TenantId::SYSTEM).await.unwrap());
        assert_eq!(tenants::all_ids(&mut tx).await.unwrap(), [acme.id]);
        let page = tenants::list(&mut tx, &ListQuery::default()).await.unwrap();
        assert_eq!((page.items.len(), page.total), (1, 1));
    }

    async fn a_tenant_changes_only_with_its_current_version(given: Given) {
        let acme = sample::tenant("acme");
        given.commit(async |tx| tenants::insert(tx, &acme).await).await;
        let changed = tenants::Tenant { state: "suspended".to_owned(), ..acme.clone() };

        given.commit(async |tx| {
            assert!(!tenants::update(tx, &changed, 2).await?);
            assert!(tenants::update(tx, &changed, 1).await?);
            assert!(!tenants::update(tx, &changed, 1).await?);
            Ok(())
        }).await;

        let mut tx = given.store.read().await.unwrap();
        let found = tenants::find(&mut tx, acme.id).await.unwrap().unwrap();
        assert_eq!((found.state.as_str(), found.version), ("suspended", 2));
    }

    async fn transactions_that_lock_a_tenant_come_one_after_the_other(given: Given) {
        let acme = given.world("acme").await;
        let mut first = given.store.begin().await.unwrap();
        tenants::lock(&mut first, acme.tenant).await.unwrap();
        let second = tokio::spawn({
            let (store, tenant, user) = (given.store.clone(), acme.tenant, acme.user.clone());
            async move {
                let mut tx = store.begin().await.unwrap();
                tenants::lock(&mut tx, tenant).await.unwrap();
                users::find(&mut tx, tenant, user.id).await.unwrap().unwrap().state
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        users::erase(&mut first, acme.tenant, acme.user.id).await.unwrap();
        first.commit().await.unwrap();
        assert_eq!(second.await.unwrap(), "deleted", "the second decides on what the first left");

        let mut tx = given.store.read().await.unwrap();
        let found = tenants::find(&mut tx, acme.tenant).await.unwrap().unwrap();
        assert_eq!(found.version, 1, "a lock is no change");
    }

    async fn a_deleted_tenant_takes_everything_with_it_but_its_audit_records(given: Given) {
        let acme = given.world("acme").await;
        let globex = given.world("globex").await;

        given.commit(async |tx| {
            let counts = tenants::counts(tx, acme.tenant).await?;
            assert_eq!((counts.projects, counts.users, counts.clusters), (1, 1, 1));
            assert!(tenants::delete(tx, acme.tenant).await?);
            assert!(!tenants::delete(tx, acme.tenant).await?);
            Ok(())
        }).await;

        let rows = given.rows_that_mention(acme.tenant).await;
        let tables: Vec<_> = rows.into_iter().map(|(table, _)| table).collect();
        assert_eq!(tables, ["audit_checkpoint", "audit_record"]);
        assert!(given.rows_that_mention(globex.tenant).await.len() > 15);
    }

    async fn two_users_of_a_tenant_cannot_have_the_same_e_mail(given: Given) {
        let acme = given.world("acme").await;
        let globex = given.world("globex").await;
        let same = |tenant| UserRow { email_index: acme.user.email_index, ..sample::user(tenant) };
        given.commit(async |tx| users::insert(tx, &same(globex.tenant)).await).await;

        let mut tx = given.store.begin().await.unwrap();
        let refused = users::insert(&mut tx, &same(acme.tenant)).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Duplicate);
        drop(tx);

        let mut tx = given.store.read().await.unwrap();
        let index = acme.user.email_index.unwrap();
        let found = users::find_everywhere(&mut tx, index).await.unwrap();
        assert_eq!(found.len(), 2);
        let found = users::find_by_email(&mut tx, acme.tenant, index).await.unwrap().unwrap();
        assert_eq!(found.id, acme.user.id);
    }

    async fn the_common_login_does_not_find_system_administrators(given: Given) {
        let system = tenants::Tenant { id: TenantId::SYSTEM, ..sample::tenant("system") };
        let admin = sample::user(TenantId::SYSTEM);
        given.commit(async |tx| {
            tenants::insert(tx, &system).await?;
            users::insert(tx, &admin).await
        }).await;

        let mut tx = given.store.read().await.unwrap();
        let index = admin.email_index.unwrap();
        assert!(users::find_everywhere(&mut tx, index).await.unwrap().is_empty());
        let found = users::find_by_email(&mut tx, TenantId::SYSTEM, index).await.unwrap();
        assert_eq!(found.unwrap().id, admin.id);
    }

    async fn a_first_password_makes_an_invited_user_active(given: Given) {
        let acme = given.world("acme").await;
        let invited = sample::user(acme.tenant);
        given.commit(async |tx| {
            users::insert(tx, &invited).await?;
            users::set_password(tx, acme.tenant, invited.id, "hash", at(300)).await?;
            users::upgrade_hash(tx, acme.tenant, invited.id, "stronger").await?;
            users::note_login(tx, acme.tenant, invited.id, at(400)).await
        }).await;

        let mut tx = given.store.read().await.unwrap();
        let found = users::find(&mut tx, acme.tenant, invited.id).await.unwrap().unwrap();
        assert_eq!((found.state.as_str(), found.version), ("active", 2));
        assert_eq!(found.password_hash.as_deref(), Some("stronger"));
        assert_eq!(found.password_changed_at, Some(at(300)));
        assert_eq!(found.last_login_at, Some(at(400)));
    }

    async fn a_new_password_does_not_enable_a_disabled_user(given: Given) {
        let acme = given.world("acme").await;
        let disabled = UserRow { state: "disabled".to_owned(), ..acme.user.clone() };
        given.commit(async |tx| {
            assert!(users::update(tx, &disabled, acme.user.version).await?);
            users::set_password(tx, acme.tenant, disabled.id, "hash", at(300)).await
        }).await;

        let mut tx = given.store.read().await.unwrap();
        let found = users::find(&mut tx, acme.tenant, disabled.id).await.unwrap().unwrap();
        assert_eq!(found.state, "disabled");
    }

    async fn a_user_changes_only_with_its_current_version(given: Given) {
        let acme = given.world("acme").await;
        let changed = UserRow { name_sealed: Some(b"new".to_vec()), ..acme.user.clone() };
        given.commit(async |tx| {
            assert!(!users::update(tx, &changed, acme.user.version - 1).await?);
            assert!(users::update(tx, &changed, acme.user.version).await?);
            assert!(!users::update(tx, &changed, acme.user.version).await?);
            Ok(())
        }).await;
    }

    async fn a_key_rotation_is_no_change_of_a_user(given: Given) {
        let acme = given.world("acme").await;
        let sealed = UserRow { email_sealed: Some(b"again".to_vec()), ..acme.user.clone() };
        given.commit(async |tx| users::reseal(tx, &sealed).await).await;

        let mut tx = given.store.read().await.unwrap();
        let found = users::find(&mut tx, acme.tenant, acme.user.id).await.unwrap().unwrap();
        assert_eq!(found.email_sealed.as_deref(), Some(&b"again"[..]));
        assert_eq!(found.version, acme.user.version);
    }

    async fn an_erased_user_leaves_its_uid_and_nothing_else(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            assert!(users::erase(tx, acme.tenant, acme.user.id).await?);
            assert!(!users::erase(tx, acme.tenant, acme.user.id).await?);
            Ok(())
        }).await;

        let rows = given.rows_that_mention(acme.user.id).await;
        let tables: Vec<_> = rows.iter().map(|(table, _)| table.as_str()).collect();
        assert_eq!(tables, ["app_user"]);
        let mut tx = given.store.begin().await.unwrap();
        let found = users::find(&mut tx, acme.tenant, acme.user.id).await.unwrap().unwrap();
        assert_eq!(found.state, "deleted");
        assert!(found.email_index.is_none() && found.email_sealed.is_none());
        assert!(found.name_sealed.is_none() && found.password_hash.is_none());
        assert!(found.last_login_at.is_none() && found.password_changed_at.is_none());
        assert!(users::all(&mut tx, acme.tenant).await.unwrap().is_empty());
        assert!(!users::update(&mut tx, &acme.user, found.version).await.unwrap());
        users::set_password(&mut tx, acme.tenant, acme.user.id, "h", at(9)).await.unwrap();
        let still = users::find(&mut tx, acme.tenant, acme.user.id).await.unwrap().unwrap();
        assert!(still.password_hash.is_none(), "a deleted user has a password");
    }

    async fn earlier_passwords_come_newest_first(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            for (hash, seconds) in [("second", 300), ("third", 400)] {
                users::remember_password(tx, acme.tenant, acme.user.id, hash, at(seconds)).await?;
            }
            let two = users::password_history(tx, acme.tenant, acme.user.id, 2).await?;
            assert_eq!(two, ["third", "second"]);
            Ok(())
        }).await;
    }

    async fn a_session_ends_once(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            let found = sessions::find(tx, acme.tenant, acme.session).await?.unwrap();
            assert_eq!((found.user_id, found.ended_at), (acme.user.id, None));
            assert_eq!(found.address.as_deref(), Some("192.0.2.7"));
            assert!(sessions::end(tx, acme.tenant, acme.session, at(300)).await?);
            assert!(!sessions::end(tx, acme.tenant, acme.session, at(400)).await?);
            let found = sessions::find(tx, acme.tenant, acme.session).await?.unwrap();
            assert_eq!(found.ended_at, Some(at(300)));
            assert!(sessions::find(tx, acme.tenant, new_id!(SessionId)).await?.is_none());
            Ok(())
        }).await;
    }

    async fn all_live_sessions_of_a_user_end_together(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            sessions::insert(tx, &sample::session(acme.tenant, acme.user.id)).await?;
            assert_eq!(sessions::end_all(tx, acme.tenant, acme.user.id, at(300)).await?, 2);
            assert_eq!(sessions::end_all(tx, acme.tenant, acme.user.id, at(300)).await?, 0);
            Ok(())
        }).await;
    }

    async fn all_sessions_of_a_user_but_one_end_together(given: Given) {
        let acme = given.world("acme").await;
        let others = [1, 2].map(|_| sample::session(acme.tenant, acme.user.id));
        given.commit(async |tx| {
            for other in &others {
                sessions::insert(tx, other).await?;
            }
            let (tenant, user, keep) = (acme.tenant, acme.user.id, acme.session);
            assert_eq!(sessions::end_others(tx, tenant, user, keep, at(300)).await?, 2);
            assert_eq!(sessions::end_others(tx, tenant, user, keep, at(300)).await?, 0);
            assert!(sessions::find(tx, tenant, keep).await?.unwrap().ended_at.is_none());
            Ok(())
        }).await;
    }

    async fn only_the_newest_passwords_of_every_user_stay_remembered(given: Given) {
        let (acme, rival) = (given.world("acme").await, given.world("rival").await);
        given.commit(async |tx| {
            users::prune_history(tx, 0).await?;
            for (second, hash) in [(1, "a"), (2, "b"), (3, "c")] {
                users::remember_password(tx, acme.tenant, acme.user.id, hash, at(second)).await?;
            }
            users::remember_password(tx, rival.tenant, rival.user.id, "r", at(1)).await?;
            assert_eq!(users::prune_history(tx, 3).await?, 0);
            assert_eq!(users::prune_history(tx, 2).await?, 1);
            let left = users::password_history(tx, acme.tenant, acme.user.id, 9).await?;
            assert_eq!(left, ["c", "b"]);
            let other = users::password_history(tx, rival.tenant, rival.user.id, 9).await?;
            assert_eq!(other, ["r"]);
            Ok(())
        }).await;
    }

    async fn expired_sessions_go_with_their_tokens(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            assert_eq!(sessions::prune(tx, at(1_000)).await?, 0);
            assert!(sessions::find_refresh(tx, acme.refresh).await?.is_some());
            assert_eq!(sessions::prune(tx, at(1_001)).await?, 1);
            assert!(sessions::find_refresh(tx, acme.refresh).await?.is_none());
            Ok(())
        }).await;
    }

    async fn a_refresh_token_is_used_once(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            let found = sessions::find_refresh(tx, acme.refresh).await?.unwrap();
            assert_eq!((found.tenant_id, found.session_id), (acme.tenant, acme.session));
            assert!(found.used_at.is_none());
            assert!(sessions::use_refresh(tx, acme.refresh, at(300)).await?);
            assert!(!sessions::use_refresh(tx, acme.refresh, at(301)).await?);
            let found = sessions::find_refresh(tx, acme.refresh).await?.unwrap();
            assert_eq!(found.used_at, Some(at(300)));
            assert!(sessions::find_refresh(tx, digest()).await?.is_none());
            assert!(!sessions::use_refresh(tx, digest(), at(300)).await?);
            Ok(())
        }).await;
    }

    async fn a_one_time_secret_is_used_once_and_in_time(given: Given) {
        let acme = given.world("acme").await;
        let (tenant_id, user_id) = (acme.tenant, acme.user.id);
        given.commit(async |tx| {
            assert!(one_time::find(tx, acme.invitation, at(1_000)).await?.is_none(), "expired");
            assert!(!one_time::use_up(tx, acme.invitation, at(1_000)).await?, "expired");
            let found = one_time::find(tx, acme.invitation, at(999)).await?.unwrap();
            assert_eq!((found.tenant_id, found.user_id), (tenant_id, user_id));
            assert_eq!((found.purpose.as_str(), found.expires_at), ("invite", at(1_000)));
            assert!(one_time::use_up(tx, acme.invitation, at(999)).await?);
            assert!(!one_time::use_up(tx, acme.invitation, at(999)).await?);
            assert!(one_time::find(tx, acme.invitation, at(999)).await?.is_none());
            Ok(())
        }).await;
    }

    async fn a_new_one_time_secret_makes_the_earlier_ones_useless(given: Given) {
        let acme = given.world("acme").await;
        let row = OneTimeRow {
            tenant_id: acme.tenant,
            user_id: acme.user.id,
            purpose: "reset".to_owned(),
            expires_at: at(2_000),
        };
        let second = digest();
        given.commit(async |tx| {
            one_time::replace(tx, second, &row).await?;
            assert!(one_time::find(tx, acme.invitation, at(300)).await?.is_none());
            assert!(one_time::find(tx, second, at(300)).await?.is_some());
            assert_eq!(one_time::prune(tx, at(2_000)).await?, 0);
            assert_eq!(one_time::prune(tx, at(2_001)).await?, 1);
            Ok(())
        }).await;
    }

    async fn an_api_key_is_found_for_login_in_whatever_tenant(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| api_keys::note_use(tx, acme.tenant, acme.api_key.id, at(5)).await)
            .await;

        let mut tx = given.store.begin().await.unwrap();
        let found = api_keys::find_for_login(&mut tx, acme.api_key.id).await.unwrap().unwrap();
        assert_eq!((found.tenant_id, found.user_id), (acme.tenant, acme.user.id));
        assert_eq!((found.digest, found.last_used_at), (acme.api_key.digest, Some(at(5))));
        let found = api_keys::find(&mut tx, acme.tenant, acme.api_key.id).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.expires_at), ("pipeline", None));
        assert!(api_keys::find_for_login(&mut tx, new_id!(ApiKeyId)).await.unwrap().is_none());
        assert!(api_keys::delete(&mut tx, acme.tenant, acme.api_key.id).await.unwrap());
        assert!(!api_keys::delete(&mut tx, acme.tenant, acme.api_key.id).await.unwrap());
        assert!(api_keys::find_for_login(&mut tx, acme.api_key.id).await.unwrap().is_none());
    }

    async fn api_keys_can_be_listed_for_one_owner(given: Given) {
        let acme = given.world("acme").await;
        let second = sample::user(acme.tenant);
        given.commit(async |tx| {
            users::insert(tx, &second).await?;
            api_keys::insert(tx, &sample::api_key(acme.tenant, second.id, "other")).await
        }).await;

        let mut tx = given.store.read().await.unwrap();
        let list = ListQuery::default();
        let names = async |tx: &mut Tx, owner: Option<UserId>| {
            let page = api_keys::list(tx, acme.tenant, owner, &list).await.unwrap();
            page.items.into_iter().map(|key| key.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&mut tx, Some(second.id)).await, ["other"]);
        assert_eq!(names(&mut tx, None).await, ["other", "pipeline"]);
    }
}
