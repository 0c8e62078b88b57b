//! Lists: order, pages, search, and cursors that nobody made.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;

use super::{
    super::{
        Cursor, ListQuery, Tx, api_keys,
        assignments::{self, AssignmentFilter},
        audit::{self, AuditFilter, AuditRow},
        clusters::{self, ClusterFilter},
        projects::{self, Project},
        teams, tenants,
    },
    Given, on_both,
    sample::{self, World, at, new_id},
};
use crate::{
    clock::{SystemRandom, random_bytes},
    error::{Error, Kind},
    ids::{AuditId, ProjectId, TenantId},
    rbac::Reach,
};

/// Names in the order of their bytes, which no language sorts like this.
const NAMES: &[&str] = &[
    "!x", "10", "9", "A", "B", "Zebra", "_a", "a", "a-b", "a_b", "b", "zebra", "Ä", "ä", "日本",
    "🐟",
];

async fn add(tx: &mut Tx, tenant: TenantId, name: &str, seconds: i64) -> ProjectId {
    let project = Project { created_at: at(seconds), ..sample::project(name) };
    projects::insert(tx, tenant, &project).await.unwrap();
    project.id
}

async fn page(tx: &mut Tx, tenant: TenantId, list: &ListQuery) -> super::super::Page<Project> {
    projects::list(tx, tenant, &Reach::Tenant, list).await.unwrap()
}

async fn names(tx: &mut Tx, tenant: TenantId, list: &ListQuery) -> Vec<String> {
    page(tx, tenant, list).await.items.into_iter().map(|project| project.name).collect()
}

async fn empty_tenant(given: &Given) -> TenantId {
    let tenant = sample::tenant("acme");
    given.commit(async |tx| tenants::insert(tx, &tenant).await).await;
    tenant.id
}

on_both! {
    async fn texts_are_sorted_by_their_bytes(given: Given) {
        let tenant = empty_tenant(&given).await;
        let mut tx = given.store.begin().await.unwrap();
        for name in NAMES.iter().rev() {
            add(&mut tx, tenant, name, 100).await;
        }
        let up = ListQuery { sort: "name".to_owned(), ..ListQuery::default() };
        assert_eq!(names(&mut tx, tenant, &up).await, NAMES);
        let down = ListQuery { descending: true, ..up };
        let reversed: Vec<_> = NAMES.iter().rev().copied().collect();
        assert_eq!(names(&mut tx, tenant, &down).await, reversed);
    }

    async fn pages_neither_repeat_nor_skip_while_rows_come_and_go(given: Given) {
        let tenant = empty_tenant(&given).await;
        for (sort, descending) in
            [("name", false), ("name", true), ("createdAt", false), ("createdAt", true)]
        {
            let mut tx = given.store.begin().await.unwrap();
            let mut stays = BTreeSet::new();
            for number in 0..60 {
                // Three rows each share a moment: the identifier decides.
                let id = add(&mut tx, tenant, &format!("stays {number:02}"), number / 3).await;
                stays.insert(id);
            }
            let mut goes = Vec::new();
            for number in 0..30 {
                goes.push(add(&mut tx, tenant, &format!("stays {number:02} not"), number).await);
            }

            let mut list = ListQuery {
                limit: 7,
                sort: sort.to_owned(),
                descending,
                ..ListQuery::default()
            };
            let mut seen = Vec::new();
            let mut pages = 0;
            loop {
                let page = page(&mut tx, tenant, &list).await;
                assert!(page.items.len() <= 7);
                seen.extend(page.items.iter().map(|project| project.id));
                pages += 1;
                for _ in 0..2 {
                    if let Some(id) = goes.pop() {
                        assert!(projects::delete(&mut tx, tenant, id).await.unwrap());
                    }
                }
                add(&mut tx, tenant, &format!("a new {pages:02}"), 0).await;
                add(&mut tx, tenant, &format!("stays 30 new {pages:02}"), 10).await;
                add(&mut tx, tenant, &format!("z new {pages:02}"), 99).await;
                let Some(next) = page.next else { break };
                list.cursor = Some(Cursor::decode(&next.encode()).unwrap());
            }

            let once: BTreeSet<_> = seen.iter().copied().collect();
            assert_eq!(once.len(), seen.len(), "a row came twice, by {sort}, {descending}");
            assert!(once.is_superset(&stays), "a row was skipped, by {sort}, {descending}");
        }
    }

    async fn the_last_page_has_no_next_and_the_total_counts_all(given: Given) {
        let tenant = empty_tenant(&given).await;
        let mut tx = given.store.begin().await.unwrap();
        for number in 0..6 {
            add(&mut tx, tenant, &format!("{number}"), 100).await;
        }
        for (limit, next) in [(5, true), (6, false), (7, false), (u32::MAX, false)] {
            let list = ListQuery { limit, ..ListQuery::default() };
            let page = page(&mut tx, tenant, &list).await;
            assert_eq!((page.next.is_some(), page.total), (next, 6), "limit {limit}");
        }
    }

    async fn signs_of_patterns_stand_for_themselves_in_a_search(given: Given) {
        let tenant = empty_tenant(&given).await;
        let mut tx = given.store.begin().await.unwrap();
        let all = ["100%", "100x", "a_b", "axb", r"a\b", r"a\%", "it's", "Plain", "ÄRGER", "ärger"];
        for name in all {
            add(&mut tx, tenant, name, 100).await;
        }
        for (text, mut expected) in [
            ("%", vec!["100%", r"a\%"]),
            ("_", vec!["a_b"]),
            (r"\", vec![r"a\b", r"a\%"]),
            (r"\%", vec![r"a\%"]),
            ("0%", vec!["100%"]),
            ("'", vec!["it's"]),
            ("pLAIn", vec!["Plain"]),
            ("Ä", vec!["ÄRGER"]),
            ("Ärger", vec!["ÄRGER"]),
            ("", all.to_vec()),
            ("%%", vec![]),
            ("*", vec![]),
            ("a\0", vec![]),
        ] {
            expected.sort_unstable();
            let list = ListQuery { search: Some(text.to_owned()), ..ListQuery::default() };
            assert_eq!(names(&mut tx, tenant, &list).await, expected, "searching {text:?}");
        }
    }

    async fn a_zero_character_in_a_filter_finds_nothing(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.read().await.unwrap();
        let filter = AuditFilter { actor: Some("\0".to_owned()), ..AuditFilter::default() };
        let list = ListQuery::default();
        let page = audit::list(&mut tx, acme.tenant, &Reach::Tenant, &filter, &list).await;
        assert_eq!(page.unwrap().total, 0);
        let filter = AuditFilter { action: Some("\0.".to_owned()), ..AuditFilter::default() };
        let page = audit::list(&mut tx, acme.tenant, &Reach::Tenant, &filter, &list).await;
        assert_eq!(page.unwrap().total, 0);
        let filter = ClusterFilter { phase: Some("\0".to_owned()), project: None };
        let page = clusters::list(&mut tx, acme.tenant, &Reach::Tenant, &filter, &list).await;
        assert_eq!(page.unwrap().total, 0);
    }

    async fn an_order_that_a_list_does_not_have_is_invalid(given: Given) {
        let acme = given.world("acme").await;
        for sort in ["nope", "-name", "NAME", "id", "name; DROP TABLE tenant", "\0"] {
            let list = ListQuery { sort: sort.to_owned(), ..ListQuery::default() };
            for (name, outcome) in every_list(&given, &acme, &list).await {
                let error = outcome.expect_err(name);
                assert_eq!(error.kind(), Kind::Invalid, "{name} by {sort:?}");
                assert_eq!(error.fields()[0].field, "sort");
            }
        }
    }

    async fn a_cursor_of_another_order_is_invalid(given: Given) {
        let tenant = empty_tenant(&given).await;
        let mut tx = given.store.begin().await.unwrap();
        for number in 0..3 {
            add(&mut tx, tenant, &format!("{number}"), 100).await;
        }
        for (one, other) in [("name", "createdAt"), ("createdAt", "name")] {
            let list = ListQuery { limit: 1, sort: one.to_owned(), ..ListQuery::default() };
            let cursor = page(&mut tx, tenant, &list).await.next;
            let list = ListQuery { cursor, sort: other.to_owned(), ..list };
            let refused = projects::list(&mut tx, tenant, &Reach::Tenant, &list).await.unwrap_err();
            assert_eq!(refused.kind(), Kind::Invalid);
            assert_eq!(refused.fields()[0].field, "cursor");
        }
    }

    async fn a_forged_cursor_is_invalid_or_finds_rows_of_its_own_list(given: Given) {
        let acme = given.world("acme").await;
        let huge = format!(r#"{{"key":"{0}","id":"{0}"}}"#, "x".repeat(100_000));
        let mut forged: Vec<Vec<u8>> = [
            "", "{}", "null", "[]", r#"{"key":1}"#, r#"{"key":[],"id":"x"}"#,
            r#"{"key":null,"id":"x"}"#, r#"{"key":1.5,"id":"x"}"#, r#"{"key":1,"id":2}"#,
            r#"{"key":99999999999999999999,"id":"x"}"#, r#"{"key":"a\u0000","id":"x"}"#,
            r#"{"key":"a","id":"\u0000"}"#, r#"{"key":"' OR 1=1 --","id":"' OR 1=1 --"}"#,
            r#"{"key":9223372036854775807,"id":"x"}"#, r#"{"key":-9223372036854775808,"id":""}"#,
            r#"{"key":"","id":""}"#, r#"{"key":0,"id":""}"#, r#"{"key":"\uD800","id":""}"#, &huge,
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
        forged.extend((0..50).map(|_| random_bytes::<24>(&SystemRandom).to_vec()));

        let mut accepted = 0;
        for bytes in forged {
            let Ok(cursor) = Cursor::decode(&BASE64URL_NOPAD.encode(&bytes))
                .inspect_err(|error| assert_eq!(error.kind(), Kind::Invalid))
            else {
                continue;
            };
            accepted += 1;
            let list = ListQuery { cursor: Some(cursor), ..ListQuery::default() };
            for (name, outcome) in every_list(&given, &acme, &list).await {
                if let Err(error) = outcome {
                    assert_eq!(error.kind(), Kind::Invalid, "{name}: {}", error.chain());
                }
            }
        }
        assert_eq!(accepted, 6, "the well-formed ones are tried");
    }

    async fn a_trail_of_one_moment_is_paged_by_identifier(given: Given) {
        let tenant = new_id!(TenantId);
        let rows: BTreeSet<AuditId> = given.commit(async |tx| {
            let mut ids = BTreeSet::new();
            for _ in 0..20 {
                let row: AuditRow = sample::record(tenant, "cluster.get", 100);
                audit::insert(tx, &row).await?;
                ids.insert(row.id);
            }
            Ok(ids)
        }).await;
        let mut tx = given.store.read().await.unwrap();
        let mut list = ListQuery { limit: 3, descending: true, ..ListQuery::default() };
        let mut seen = Vec::new();
        loop {
            let filter = AuditFilter::default();
            let page = audit::list(&mut tx, tenant, &Reach::Tenant, &filter, &list).await.unwrap();
            seen.extend(page.items.iter().map(|row| row.id));
            list.cursor = page.next;
            if list.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, rows.into_iter().rev().collect::<Vec<_>>());
    }
}

/// What each list answers to `list`.
async fn every_list(
    given: &Given,
    world: &World,
    list: &ListQuery,
) -> Vec<(&'static str, Result<u32, Error>)> {
    let (tenant, reach) = (world.tenant, Reach::Tenant);
    let mut tx = given.store.read().await.unwrap();
    let everything = AssignmentFilter::default();
    vec![
        ("api_keys", api_keys::list(&mut tx, tenant, None, list).await.map(|page| page.total)),
        (
            "assignments",
            assignments::list(&mut tx, tenant, everything, list).await.map(|page| page.total),
        ),
        (
            "audit",
            audit::list(&mut tx, tenant, &reach, &AuditFilter::default(), list)
                .await
                .map(|page| page.total),
        ),
        (
            "clusters",
            clusters::list(&mut tx, tenant, &reach, &ClusterFilter::default(), list)
                .await
                .map(|page| page.total),
        ),
        ("projects", projects::list(&mut tx, tenant, &reach, list).await.map(|page| page.total)),
        ("teams", teams::list(&mut tx, tenant, list).await.map(|page| page.total)),
        ("tenants", tenants::list(&mut tx, list).await.map(|page| page.total)),
    ]
}

#[test]
fn text_that_is_not_base64_is_no_cursor() {
    for text in ["!", "ab=", "a b", "é", "\0"] {
        assert_eq!(Cursor::decode(text).unwrap_err().kind(), Kind::Invalid, "{text:?}");
    }
}
