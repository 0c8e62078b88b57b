//! Projects, teams, roles and who has them.

use super::{
    super::{
        Failure, ListQuery,
        assignments::{self, AssignmentFilter, AssignmentRow},
        clusters,
        projects::{self, Project},
        roles::{self, RoleRow},
        teams::{self, Team},
        users::{self, UserRow},
    },
    Given, on_both,
    sample::{self, at, new_id},
};
use crate::{
    ids::{AssignmentId, ProjectId, RoleId, TeamId},
    rbac::Reach,
};

on_both! {
    async fn a_project_knows_how_many_clusters_it_has(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.read().await.unwrap();
        let found = projects::find(&mut tx, acme.tenant, acme.project).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.clusters, found.version), ("default", 1, 1));
        assert!(projects::find(&mut tx, acme.tenant, new_id!(ProjectId)).await.unwrap().is_none());
        let names = projects::names(&mut tx, acme.tenant).await.unwrap();
        assert_eq!(names, [(acme.project, "default".to_owned())]);
    }

    async fn a_project_with_clusters_cannot_be_deleted(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.begin().await.unwrap();
        let refused = projects::delete(&mut tx, acme.tenant, acme.project).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Reference);
        drop(tx);

        given.commit(async |tx| {
            clusters::delete(tx, acme.tenant, acme.cluster).await?;
            assert!(projects::delete(tx, acme.tenant, acme.project).await?);
            assert!(!projects::delete(tx, acme.tenant, acme.project).await?);
            Ok(())
        }).await;
    }

    async fn names_of_projects_teams_and_roles_are_unique_in_a_tenant_only(given: Given) {
        let acme = given.world("acme").await;
        given.world("globex").await;
        let mut tx = given.store.begin().await.unwrap();
        let refused = projects::insert(&mut tx, acme.tenant, &sample::project("default")).await;
        assert_eq!(refused.unwrap_err().failure(), Failure::Duplicate);
        let mut tx = begin_again(tx, &given).await;
        let refused = teams::insert(&mut tx, acme.tenant, &sample::team("ops")).await;
        assert_eq!(refused.unwrap_err().failure(), Failure::Duplicate);
        let mut tx = begin_again(tx, &given).await;
        let refused = roles::insert(&mut tx, acme.tenant, &sample::role("reader")).await;
        assert_eq!(refused.unwrap_err().failure(), Failure::Duplicate);
    }

    async fn projects_teams_and_roles_change_only_with_their_current_version(given: Given) {
        let acme = given.world("acme").await;
        let project =
            Project { id: acme.project, description: "new".to_owned(), ..sample::project("web") };
        let team = Team { name: "sre".to_owned(), ..acme.team.clone() };
        let role = RoleRow { permissions: "cluster.get".to_owned(), ..acme.role.clone() };
        given.commit(async |tx| {
            assert!(!projects::update(tx, acme.tenant, &project, 2).await?);
            assert!(projects::update(tx, acme.tenant, &project, 1).await?);
            assert!(!projects::update(tx, acme.tenant, &project, 1).await?);
            assert!(!teams::update(tx, acme.tenant, &team, 2).await?);
            assert!(teams::update(tx, acme.tenant, &team, 1).await?);
            assert!(!roles::update(tx, acme.tenant, &role, 2).await?);
            assert!(roles::update(tx, acme.tenant, &role, 1).await?);
            Ok(())
        }).await;

        let mut tx = given.store.read().await.unwrap();
        let found = projects::find(&mut tx, acme.tenant, acme.project).await.unwrap().unwrap();
        assert_eq!((found.name, found.description, found.version), ("web".into(), "new".into(), 2));
        let found = teams::find(&mut tx, acme.tenant, acme.team.id).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.version), ("sre", 2));
        let found = roles::find(&mut tx, acme.tenant, acme.role.id).await.unwrap().unwrap();
        assert_eq!((found.permissions.as_str(), found.version), ("cluster.get", 2));
    }

    async fn projects_out_of_reach_are_not_listed_or_counted(given: Given) {
        let acme = given.world("acme").await;
        let second = sample::project("second");
        given.commit(async |tx| projects::insert(tx, acme.tenant, &second).await).await;

        let mut tx = given.store.read().await.unwrap();
        let list = ListQuery::default();
        for (reach, names) in [
            (Reach::Tenant, vec!["default", "second"]),
            (Reach::Projects([second.id].into()), vec!["second"]),
            (Reach::Projects([].into()), vec![]),
        ] {
            let page = projects::list(&mut tx, acme.tenant, &reach, &list).await.unwrap();
            let found: Vec<_> = page.items.iter().map(|project| project.name.as_str()).collect();
            assert_eq!((found, page.total as usize), (names.clone(), names.len()), "{reach:?}");
        }
    }

    async fn members_join_once_and_leave_once(given: Given) {
        let acme = given.world("acme").await;
        let (tenant, team) = (acme.tenant, acme.team.id);
        let second = sample::user(tenant);
        given.commit(async |tx| {
            users::insert(tx, &second).await?;
            assert!(teams::add_member(tx, tenant, team, second.id).await?);
            assert!(!teams::add_member(tx, tenant, team, second.id).await?);
            let mut members = teams::members(tx, tenant, team).await?;
            let mut expected = vec![acme.user.id, second.id];
            members.sort();
            expected.sort();
            assert_eq!(members, expected);
            assert!(teams::remove_member(tx, tenant, team, second.id).await?);
            assert!(!teams::remove_member(tx, tenant, team, second.id).await?);
            let rows = teams::memberships(tx, tenant).await?;
            assert_eq!(rows, [(acme.user.id, team, "ops".to_owned())]);
            Ok(())
        }).await;
    }

    async fn a_deleted_team_leaves_no_membership_and_no_assignment(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            let row = AssignmentRow {
                user_id: None,
                team_id: Some(acme.team.id),
                ..sample::assignment(acme.role.id, acme.user.id)
            };
            assignments::insert(tx, acme.tenant, &row).await?;
            assert!(teams::delete(tx, acme.tenant, acme.team.id).await?);
            assert!(!teams::delete(tx, acme.tenant, acme.team.id).await?);
            assert!(teams::find(tx, acme.tenant, acme.team.id).await?.is_none());
            Ok(())
        }).await;
        assert!(given.rows_that_mention(acme.team.id).await.is_empty());
    }

    async fn a_deleted_role_is_taken_from_everybody(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            assert_eq!(roles::all(tx, acme.tenant).await?.len(), 1);
            assert!(roles::delete(tx, acme.tenant, acme.role.id).await?);
            assert!(!roles::delete(tx, acme.tenant, acme.role.id).await?);
            Ok(())
        }).await;
        assert!(given.rows_that_mention(acme.role.id).await.is_empty());
    }

    async fn a_role_that_is_not_custom_is_not_taken_from_anybody(given: Given) {
        let acme = given.world("acme").await;
        let built_in: RoleId = "0000000000a0".parse().unwrap();
        given.commit(async |tx| {
            let row = sample::assignment(built_in, acme.user.id);
            assignments::insert(tx, acme.tenant, &row).await?;
            assert!(!roles::delete(tx, acme.tenant, built_in).await?);
            assert!(assignments::find(tx, acme.tenant, row.id).await?.is_some());
            Ok(())
        }).await;
    }

    async fn the_same_role_is_given_once(given: Given) {
        let acme = given.world("acme").await;
        let again = sample::assignment(acme.role.id, acme.user.id);
        let mut tx = given.store.begin().await.unwrap();
        let refused = assignments::insert(&mut tx, acme.tenant, &again).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Duplicate);
        drop(tx);

        let in_a_project = AssignmentRow { project_id: Some(acme.project), ..again };
        given.commit(async |tx| assignments::insert(tx, acme.tenant, &in_a_project).await).await;
    }

    async fn what_reaches_a_user_comes_directly_and_through_teams(given: Given) {
        let acme = given.world("acme").await;
        let other = sample::user(acme.tenant);
        let through_team = AssignmentRow {
            user_id: None,
            team_id: Some(acme.team.id),
            project_id: Some(acme.project),
            created_at: at(200),
            ..sample::assignment(acme.role.id, acme.user.id)
        };
        let of_other = sample::assignment(acme.role.id, other.id);
        given.commit(async |tx| {
            users::insert(tx, &other).await?;
            assignments::insert(tx, acme.tenant, &through_team).await?;
            assignments::insert(tx, acme.tenant, &of_other).await
        }).await;

        let mut tx = given.store.read().await.unwrap();
        let rows = assignments::of_user(&mut tx, acme.tenant, acme.user.id).await.unwrap();
        let mut found: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut expected = vec![acme.assignment, through_team.id];
        found.sort();
        expected.sort();
        assert_eq!(found, expected);

        for (filter, count) in [
            (AssignmentFilter::default(), 3),
            (AssignmentFilter { role: Some(new_id!(RoleId)), ..Default::default() }, 0),
            (AssignmentFilter { user: Some(other.id), ..Default::default() }, 1),
            (AssignmentFilter { team: Some(acme.team.id), ..Default::default() }, 1),
            (AssignmentFilter { team: Some(new_id!(TeamId)), ..Default::default() }, 0),
            (AssignmentFilter { project: Some(acme.project), ..Default::default() }, 1),
        ] {
            let list = ListQuery::default();
            let page = assignments::list(&mut tx, acme.tenant, filter, &list).await.unwrap();
            assert_eq!((page.items.len(), page.total as usize), (count, count));
        }
    }

    async fn only_active_users_who_hold_a_role_directly_everywhere_are_counted(given: Given) {
        let acme = given.world("acme").await;
        let (tenant, role) = (acme.tenant, acme.role.id);
        given.commit(async |tx| {
            assert_eq!(assignments::active_holders(tx, tenant, role).await?, 1);
            let invited = sample::user(tenant);
            users::insert(tx, &invited).await?;
            assignments::insert(tx, tenant, &sample::assignment(role, invited.id)).await?;
            let in_project = sample::user(tenant);
            users::insert(tx, &in_project).await?;
            users::set_password(tx, tenant, in_project.id, "hash", at(300)).await?;
            let row = AssignmentRow {
                project_id: Some(acme.project),
                ..sample::assignment(role, in_project.id)
            };
            assignments::insert(tx, tenant, &row).await?;
            assert_eq!(assignments::active_holders(tx, tenant, role).await?, 1);
            let disabled = UserRow { state: "disabled".to_owned(), ..acme.user.clone() };
            users::update(tx, &disabled, acme.user.version).await?;
            assert_eq!(assignments::active_holders(tx, tenant, role).await?, 0);
            Ok(())
        }).await;
    }

    async fn an_assignment_is_taken_away_once(given: Given) {
        let acme = given.world("acme").await;
        given.commit(async |tx| {
            let found = assignments::find(tx, acme.tenant, acme.assignment).await?.unwrap();
            assert_eq!((found.role_id, found.user_id), (acme.role.id, Some(acme.user.id)));
            assert_eq!((found.team_id, found.project_id), (None, None));
            let all = assignments::all(tx, acme.tenant).await?;
            assert_eq!(all.iter().map(|row| row.id).collect::<Vec<_>>(), [acme.assignment]);
            assert!(assignments::delete(tx, acme.tenant, acme.assignment).await?);
            assert!(!assignments::delete(tx, acme.tenant, acme.assignment).await?);
            assert!(assignments::find(tx, acme.tenant, new_id!(AssignmentId)).await?.is_none());
            Ok(())
        }).await;
    }
}

/// A refused statement ends its transaction.
async fn begin_again(tx: super::Tx, given: &Given) -> super::Tx {
    drop(tx);
    given.store.begin().await.unwrap()
}
