//! Clusters, their agents and their measurements.

use super::{
    super::{
        Failure, ListQuery,
        clusters::{self, ClusterFilter, ClusterRow, Observation},
        enrolment::{self, AgentCredential, ImportToken},
        projects,
        statistics::{self, PointRow},
    },
    Given, on_both,
    sample::{self, at, digest, new_id},
};
use crate::{ids::ClusterId, rbac::Reach};

on_both! {
    async fn a_cluster_reads_as_it_was_written(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.read().await.unwrap();
        let found = clusters::find(&mut tx, acme.tenant, acme.cluster).await.unwrap().unwrap();
        assert_eq!((found.tenant_id, found.project_id), (acme.tenant, acme.project));
        assert_eq!((found.name.as_str(), found.phase.as_str()), ("edge", "pending"));
        assert_eq!((found.reasons.as_str(), found.report), ("[]", None));
        assert_eq!((found.last_heartbeat_at, found.has_kubeconfig), (None, true));
        assert_eq!((found.created_at, found.version), (at(100), 1));
        assert!(clusters::find(&mut tx, acme.tenant, new_id!(ClusterId)).await.unwrap().is_none());
        assert_eq!(clusters::all(&mut tx).await.unwrap().len(), 1);
    }

    async fn names_of_clusters_are_unique_in_a_project_only(given: Given) {
        let acme = given.world("acme").await;
        let second = sample::project("second");
        given.commit(async |tx| {
            projects::insert(tx, acme.tenant, &second).await?;
            clusters::insert(tx, &sample::cluster(acme.tenant, second.id, "edge")).await
        }).await;

        let mut tx = given.store.begin().await.unwrap();
        let same = sample::cluster(acme.tenant, acme.project, "edge");
        let refused = clusters::insert(&mut tx, &same).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Duplicate);
    }

    async fn a_cluster_is_renamed_only_with_its_current_version(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            assert!(!clusters::rename(tx, acme.tenant, acme.cluster, "core", 2).await?);
            assert!(clusters::rename(tx, acme.tenant, acme.cluster, "core", 1).await?);
            assert!(!clusters::rename(tx, acme.tenant, acme.cluster, "rim", 1).await?);
            let found = clusters::find(tx, acme.tenant, acme.cluster).await?.unwrap();
            assert_eq!((found.name.as_str(), found.version), ("core", 2));
            Ok(())
        }).await;
    }

    async fn an_observation_keeps_the_report_and_the_version(given: Given) {
        let acme = given.world("acme").await;
        let seen = |report: Option<&str>, heartbeat| Observation {
            phase: "healthy".to_owned(),
            reasons: "[1]".to_owned(),
            report: report.map(str::to_owned),
            last_heartbeat_at: heartbeat,
        };
        given.commit(async |tx| {
            let (tenant, id) = (acme.tenant, acme.cluster);
            clusters::observe(tx, tenant, id, &seen(Some("{\"n\":1}"), Some(at(200)))).await?;
            clusters::observe(tx, tenant, id, &seen(None, Some(at(300)))).await?;
            let found = clusters::find(tx, tenant, id).await?.unwrap();
            assert_eq!(found.report.as_deref(), Some("{\"n\":1}"));
            assert_eq!(found.last_heartbeat_at, Some(at(300)));
            assert_eq!((found.phase.as_str(), found.version), ("healthy", 1));
            // A cluster that is gone meanwhile is ignored.
            clusters::observe(tx, tenant, new_id!(ClusterId), &seen(None, None)).await
        }).await;
    }

    async fn a_kubeconfig_is_kept_sealed(given: Given) {
        let acme = given.world("acme").await;
        let bare = sample::cluster(acme.tenant, acme.project, "bare");
        given.commit(async |tx| {
            clusters::insert(tx, &bare).await?;
            assert!(clusters::kubeconfig(tx, acme.tenant, bare.id).await?.is_none());
            let found = clusters::kubeconfig(tx, acme.tenant, acme.cluster).await?.unwrap();
            assert_eq!(found, b"sealed kubeconfig");
            let all = clusters::sealed_of_tenant(tx, acme.tenant).await?;
            assert_eq!(all, [(acme.cluster, b"sealed kubeconfig".to_vec())]);
            assert!(clusters::set_kubeconfig(tx, acme.tenant, bare.id, b"x").await?);
            assert!(clusters::find(tx, acme.tenant, bare.id).await?.unwrap().has_kubeconfig);
            assert!(!clusters::set_kubeconfig(tx, acme.tenant, new_id!(ClusterId), b"x").await?);
            Ok(())
        }).await;
    }

    async fn clusters_are_filtered_by_reach_phase_and_project(given: Given) {
        let acme = given.world("acme").await;
        let second = sample::project("second");
        let healthy = ClusterRow {
            phase: "healthy".to_owned(),
            ..sample::cluster(acme.tenant, second.id, "core")
        };
        given.commit(async |tx| {
            projects::insert(tx, acme.tenant, &second).await?;
            clusters::insert(tx, &healthy).await
        }).await;

        let mut tx = given.store.read().await.unwrap();
        let only = Reach::Projects([second.id].into());
        let nowhere = Reach::Projects([].into());
        let phase = |phase: &str| ClusterFilter { phase: Some(phase.to_owned()), project: None };
        let project = |project| ClusterFilter { phase: None, project: Some(project) };
        for (reach, filter, names) in [
            (&Reach::Tenant, ClusterFilter::default(), vec!["core", "edge"]),
            (&only, ClusterFilter::default(), vec!["core"]),
            (&nowhere, ClusterFilter::default(), vec![]),
            (&Reach::Tenant, phase("pending"), vec!["edge"]),
            (&only, phase("pending"), vec![]),
            (&Reach::Tenant, project(acme.project), vec!["edge"]),
            (&only, project(acme.project), vec![]),
        ] {
            let list = ListQuery::default();
            let page = clusters::list(&mut tx, acme.tenant, reach, &filter, &list).await.unwrap();
            let found: Vec<_> = page.items.iter().map(|row| row.name.as_str()).collect();
            assert_eq!(found, names, "{reach:?} {filter:?}");
            assert_eq!(page.total as usize, names.len());
        }
    }

    async fn a_deleted_cluster_leaves_only_the_key_that_must_stay_refused(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            assert!(clusters::delete(tx, acme.tenant, acme.cluster).await?);
            assert!(!clusters::delete(tx, acme.tenant, acme.cluster).await?);
            Ok(())
        }).await;
        let rows = given.rows_that_mention(acme.cluster).await;
        let tables: Vec<_> = rows.iter().map(|(table, _)| table.as_str()).collect();
        assert_eq!(tables, ["agent_credential"]);
    }

    async fn an_import_token_is_used_once_and_in_time(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            assert!(enrolment::find_token(tx, acme.import_token, at(1_000)).await?.is_none());
            assert!(!enrolment::use_token(tx, acme.import_token, at(1_000)).await?);
            let found = enrolment::find_token(tx, acme.import_token, at(999)).await?.unwrap();
            assert_eq!((found.tenant_id, found.cluster_id), (acme.tenant, acme.cluster));
            assert_eq!(found.expires_at, at(1_000));
            assert!(enrolment::find_used_token(tx, acme.import_token).await?.is_none());
            assert!(enrolment::use_token(tx, acme.import_token, at(999)).await?);
            assert!(!enrolment::use_token(tx, acme.import_token, at(999)).await?);
            assert!(enrolment::find_token(tx, acme.import_token, at(999)).await?.is_none());
            let used = enrolment::find_used_token(tx, acme.import_token).await?.unwrap();
            assert_eq!((used.cluster_id, used.expires_at), (acme.cluster, at(1_000)));
            Ok(())
        }).await;
    }

    async fn import_tokens_are_forgotten_after_their_time(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            assert!(enrolment::use_token(tx, acme.import_token, at(999)).await?);
            assert_eq!(enrolment::prune_tokens(tx, at(1_000)).await?, 0);
            assert!(enrolment::find_used_token(tx, acme.import_token).await?.is_some());
            assert_eq!(enrolment::prune_tokens(tx, at(1_001)).await?, 1);
            assert!(enrolment::find_used_token(tx, acme.import_token).await?.is_none());
            Ok(())
        }).await;
    }

    async fn a_new_import_token_makes_the_earlier_one_useless(given: Given) {
        let acme = given.world("acme").await;
        let token = ImportToken {
            tenant_id: acme.tenant,
            cluster_id: acme.cluster,
            expires_at: at(2_000),
        };
        given.commit(async |tx| {
            let second = digest();
            enrolment::replace_token(tx, second, &token).await?;
            assert!(enrolment::find_token(tx, acme.import_token, at(300)).await?.is_none());
            assert!(enrolment::find_token(tx, second, at(300)).await?.is_some());
            Ok(())
        }).await;
    }

    async fn a_public_key_enrols_once(given: Given) {
        let acme = given.world("acme").await;
        let again = AgentCredential {
            public_key: acme.agent_key.clone(),
            tenant_id: acme.tenant,
            cluster_id: acme.cluster,
            expires_at: at(1),
            revoked_at: None,
        };
        let mut tx = given.store.begin().await.unwrap();
        let refused = enrolment::insert_credential(&mut tx, &again).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Duplicate);
    }

    async fn revoked_keys_are_refused_until_their_last_token_expires(given: Given) {
        let acme = given.world("acme").await;
        let (tenant, cluster, key) = (acme.tenant, acme.cluster, acme.agent_key.as_str());
        given.commit(async |tx| {
            enrolment::extend(tx, tenant, key, at(3_000)).await?;
            assert_eq!(enrolment::live_of_tenant(tx, tenant).await?.len(), 1);
            assert!(enrolment::revoked(tx, at(0)).await?.is_empty());

            let revoked = enrolment::revoke_cluster(tx, tenant, cluster, at(300)).await?;
            assert_eq!(revoked, [key]);
            assert!(enrolment::revoke_cluster(tx, tenant, cluster, at(400)).await?.is_empty());

            assert!(enrolment::live_of_tenant(tx, tenant).await?.is_empty());
            let found = enrolment::find_credential(tx, key).await?.unwrap();
            assert_eq!((found.revoked_at, found.expires_at), (Some(at(300)), at(3_000)));
            assert_eq!(enrolment::of_cluster(tx, tenant, cluster).await?.len(), 1);
            assert_eq!(enrolment::revoked(tx, at(2_999)).await?.len(), 1);
            assert!(enrolment::revoked(tx, at(3_000)).await?.is_empty());
            Ok(())
        }).await;
    }

    async fn measurements_come_oldest_first_and_once_per_moment(given: Given) {
        let acme = given.world("acme").await;
        let point = |seconds, text: &str| PointRow { at: at(seconds), point: text.to_owned() };
        given.commit(async |tx| {
            let (tenant, cluster) = (acme.tenant, acme.cluster);
            for point in [point(300, "c"), point(200, "b"), point(200, "again")] {
                statistics::insert(tx, tenant, cluster, &point).await?;
            }
            statistics::insert(tx, tenant, new_id!(ClusterId), &point(200, "x")).await?;
            let found = statistics::since(tx, tenant, cluster, at(200)).await?;
            let found: Vec<_> = found.iter().map(|row| (row.at, row.point.as_str())).collect();
            assert_eq!(found, [(at(200), "b"), (at(300), "c")]);
            assert_eq!(statistics::prune(tx, at(300)).await?, 2);
            assert_eq!(statistics::since(tx, tenant, cluster, at(0)).await?.len(), 1);
            Ok(())
        }).await;
    }
}
