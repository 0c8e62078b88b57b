//! What keys and news lead to, as tables.

use super::*;
use crate::console::tests::{answers, before_update, fresh, mistaken, set_up};

fn at(page: Page) -> State {
    let mut state = set_up();
    state.answers = Some(Ok(answers()));
    state.show(page);
    state
}

/// Types a text; `\n` is Enter, `\t` Tab, `\x1b` Escape.
fn types(state: &mut State, text: &str) -> Vec<Effect> {
    let keys = text.chars().map(|glyph| match glyph {
        '\n' => Key::Enter,
        '\t' => Key::Next,
        '\x1b' => Key::Escape,
        glyph => Key::Glyph(glyph),
    });
    keys.flat_map(|key| state.on_key(key)).collect()
}

fn failure(code: &str, kind: &str) -> Failure {
    Failure {
        kind: kind.to_owned(),
        code: code.to_owned(),
        message: "A sentence.".to_owned(),
        hint: None,
        fields: Vec::new(),
    }
}

#[test]
fn function_keys_and_digits_lead_to_the_same_pages() {
    for page in Page::ALL.into_iter().filter(|page| *page != Page::Pairing) {
        let mut state = set_up();
        state.on_key(Key::Page(page));
        assert_eq!(state.page, page);
        let mut state = set_up();
        state.on_key(Key::Glyph(page.letter()));
        assert_eq!(state.page, page);
        state.on_key(Key::Escape);
        assert_eq!(state.page, Page::Summary);
    }
}

#[test]
fn the_page_for_pairing_is_there_only_with_a_code() {
    let mut state = set_up();
    state.on_key(Key::Page(Page::Pairing));
    assert_eq!(state.page, Page::Summary);
    let mut state = crate::console::tests::pairing();
    state.on_key(Key::Glyph('4'));
    assert_eq!(state.page, Page::Pairing);
    state.hear(News::Status(set_up().seen, None));
    assert_eq!(state.page, Page::Summary, "it has gone with the code");
}

#[test]
fn keys_that_mean_nothing_change_nothing() {
    for page in [Page::Summary, Page::Network, Page::Logs, Page::Recovery, Page::Power] {
        let mut state = at(page);
        for key in [Key::Glyph('x'), Key::Glyph('7'), Key::Home, Key::Delete, Key::Apply] {
            assert!(state.on_key(key).is_empty(), "{page:?} {key:?}");
            assert!(state.dialog.is_none() && state.form.is_none() && state.page == page);
        }
    }
}

#[test]
fn a_change_is_asked_about_twice_once_set_up_is_done_and_once_before() {
    let mut state = at(Page::Power);
    assert!(matches!(types(&mut state, "\n")[..], []));
    assert!(matches!(state.dialog, Some(Dialog::Confirm { yes: false, .. })));
    assert!(types(&mut state, "\n").is_empty(), "Enter alone says no");
    assert!(state.dialog.is_none());
    assert!(types(&mut state, "\ny").is_empty());
    assert!(matches!(state.dialog, Some(Dialog::Prove(_))));
    let effects = types(&mut state, "ada@example.com\nhunter2\n");
    let [
        Effect::Ask(Action::Power(Power::Reboot), Some(Credentials::Password { email, password })),
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!((email.as_str(), password.expose().as_str()), ("ada@example.com", "hunter2"));
    assert!(!format!("{effects:?}").contains("hunter2"));

    let mut state = fresh();
    state.show(Page::Power);
    state.on_key(Key::Down);
    let effects = types(&mut state, "\ny");
    assert!(
        matches!(effects[..], [Effect::Ask(Action::Power(Power::ShutDown), None)]),
        "{effects:?}"
    );
    assert!(types(&mut state, "\n\x1b1").is_empty(), "what was begun cannot be called back");
}

#[test]
fn the_recovery_kit_is_another_way_to_prove_it() {
    let mut state = at(Page::Recovery);
    state.on_key(Key::Down);
    types(&mut state, "\ny");
    for key in [Key::Up, Key::Glyph(' '), Key::Down] {
        state.on_key(key);
    }
    let effects = types(&mut state, "ABCD-EFGH\n");
    let [Effect::Ask(Action::RenewCertificate, Some(Credentials::RecoveryKit(kit)))] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(kit.expose(), "ABCD-EFGH");
}

#[test]
fn a_wrong_proof_can_be_given_again_and_the_reason_is_shown() {
    for (code, kind) in [
        ("wrong-credentials", "unauthenticated"),
        ("too-many-tries", "rateLimited"),
        ("forbidden", "forbidden"),
    ] {
        let mut state = at(Page::Power);
        state.hear(News::NotDone(Action::Power(Power::Reboot), failure(code, kind)));
        let Some(Dialog::Prove(prove)) = &state.dialog else { panic!("{:?}", state.dialog) };
        assert_eq!(prove.problem.as_deref(), Some("A sentence."));
        assert_eq!(prove.password.text(), "");
    }
    // The screen did not know yet that set-up is done.
    let mut state = fresh();
    state.hear(News::NotDone(
        Action::Power(Power::Reboot),
        failure("credentials-needed", "unauthenticated"),
    ));
    let Some(Dialog::Prove(prove)) = &state.dialog else { panic!("{:?}", state.dialog) };
    assert_eq!(prove.problem, None);
    state.hear(News::NotDone(Action::Power(Power::Reboot), failure("node", "unavailable")));
    assert!(matches!(state.dialog, Some(Dialog::Told { bad: true, .. })));
}

/// The recovery page with its entry of this number chosen and begun.
fn recovering(entry: usize) -> (State, Vec<Effect>) {
    let mut state = at(Page::Recovery);
    for _ in 0..entry {
        state.on_key(Key::Down);
    }
    let effects = state.on_key(Key::Enter);
    (state, effects)
}

#[test]
fn the_kit_that_opens_the_keystore_is_its_own_proof_and_stays_when_a_group_is_wrong() {
    let (mut state, _) = recovering(2);
    assert!(types(&mut state, " \n").is_empty(), "no code, nothing to do");
    let effects = types(&mut state, "ABCD-EFGH\n");
    let [Effect::Ask(Action::RecoverKeystore(kit), None)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(kit.expose().trim(), "ABCD-EFGH");
    assert!(!format!("{effects:?}").contains("ABCD"), "{effects:?}");

    let wrong = failure("wrong-recovery-kit", "unauthenticated");
    state.hear(News::NotDone(Action::RecoverKeystore(kit.clone()), wrong));
    let Some(Dialog::Kit(form)) = &state.dialog else { panic!("{:?}", state.dialog) };
    assert_eq!(form.problem.as_deref(), Some("A sentence."));
    state.on_key(Key::Backspace);
    let effects = types(&mut state, "J\n");
    let [Effect::Ask(Action::RecoverKeystore(kit), None)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(kit.expose().trim(), "ABCD-EFGJ", "only what was wrong is typed again");
    let failed = failure("recovery-failed", "unavailable");
    state.hear(News::NotDone(Action::RecoverKeystore(kit.clone()), failed));
    assert!(matches!(state.dialog, Some(Dialog::Told { bad: true, .. })));
}

#[test]
fn data_is_put_back_after_its_word_was_typed_and_somebody_has_proved_who_he_is() {
    let (mut state, effects) = recovering(3);
    assert!(matches!(effects[..], [Effect::ReadRestorePoint]), "{effects:?}");
    state.hear(News::RestorePoint(Ok(before_update())));
    for not_it in ["", "y", "yes"] {
        assert!(types(&mut state, &format!("{not_it}\n")).is_empty());
        let Some(Dialog::PutBack(form)) = &state.dialog else { panic!("{:?}", state.dialog) };
        assert!(form.wrong, "{not_it}");
        state.on_key(Key::Clear);
    }
    assert!(types(&mut state, "Restore\n").is_empty());
    let effects = types(&mut state, "ada@example.com\nhunter2\n");
    let [Effect::Ask(Action::RestoreData(version), Some(Credentials::Password { .. }))] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(*version, before_update().version);

    let (mut state, _) = recovering(3);
    state.hear(News::RestorePoint(Err(failure("recovery-failed", "notFound"))));
    assert!(matches!(state.dialog, Some(Dialog::Told { bad: true, .. })), "there is no copy");
    let (mut state, _) = recovering(3);
    state.hear(News::RestorePoint(Ok(before_update())));
    assert!(types(&mut state, "restore\x1b").is_empty());
    assert!(state.dialog.is_none(), "nothing happens to who leaves");
}

#[test]
fn while_nobody_checks_passwords_the_kit_is_asked_for_first() {
    let mut state = at(Page::Power);
    let Seen::Daemon(status) = &mut state.seen else { panic!("the daemon") };
    status.health = Health::Silent { reason: "connection refused".to_owned() };
    types(&mut state, "\ny");
    let effects = types(&mut state, "ABCD-EFGH\n");
    assert!(
        matches!(effects[..], [Effect::Ask(_, Some(Credentials::RecoveryKit(_)))]),
        "{effects:?}"
    );
}

#[test]
fn whose_link_is_wanted_may_be_left_open() {
    for (typed, whose) in [("", None), ("ada@example.com", Some("ada@example.com"))] {
        let mut state = at(Page::Recovery);
        types(&mut state, &format!("\n{typed}\n"));
        let Some(Dialog::Confirm { action: Action::ResetAdministrator(found), .. }) = &state.dialog
        else {
            panic!("{:?}", state.dialog)
        };
        assert_eq!(found.as_deref(), whose);
    }
}

#[test]
fn the_form_sends_what_was_changed_and_nothing_else() {
    let mut state = at(Page::Network);
    types(&mut state, "e");
    let form = state.form.as_ref().expect("open");
    assert_eq!(form.fields[form.focus].property.key, "hostname");
    types(&mut state, "\t");
    state.on_key(Key::Clear);
    types(&mut state, "192.0.2.77/24");
    assert!(state.on_key(Key::Apply).is_empty());
    types(&mut state, "y");
    let effects = types(&mut state, "ada@example.com\nsecret\n");
    let [Effect::Ask(Action::Amend(changes), Some(_))] = &effects[..] else {
        panic!("{effects:?} {:?}", state.form)
    };
    let wanted = BTreeMap::from([("ipv4".to_owned(), "192.0.2.77/24".to_owned())]);
    assert_eq!(*changes, wanted);
    state.hear(News::Done(vec!["Done.".to_owned()]));
    assert!(state.form.is_none());
    let effects = types(&mut state, "\n");
    assert!(matches!(effects[..], [Effect::ReadAnswers]), "the page shows the new ones");
}

#[test]
fn a_form_without_changes_sends_nothing_and_is_left_with_escape() {
    let mut state = at(Page::Network);
    types(&mut state, "e");
    state.on_key(Key::Apply);
    assert!(matches!(state.dialog, Some(Dialog::Told { bad: false, .. })));
    types(&mut state, "\n\x1b");
    assert!(state.form.is_none() && state.page == Page::Network);
}

#[test]
fn mistakes_stand_at_their_fields_whoever_finds_them() {
    let mut state = at(Page::Network);
    types(&mut state, "e\t");
    state.on_key(Key::Clear);
    types(&mut state, "192.0.2.300/24\t\t");
    state.on_key(Key::Apply);
    let form = state.form.as_ref().expect("still open");
    assert!(state.dialog.is_none(), "nothing is sent: {:?}", state.dialog);
    assert_eq!(form.fields[form.focus].property.key, "ipv4");
    assert!(form.fields[form.focus].mistake.is_some());

    types(&mut state, "\x08");
    let mut refused = failure("invalid", "invalid");
    refused.fields = vec![("gateway".to_owned(), "is outside of the network".to_owned())];
    state.hear(News::NotDone(Action::Amend(BTreeMap::new()), refused));
    let form = state.form.as_ref().expect("still open");
    let field = &form.fields[form.focus];
    assert_eq!(field.property.key, "gateway");
    assert_eq!(field.mistake.as_deref(), Some("is outside of the network"));
}

#[test]
fn another_network_blames_the_gateway_before_anything_is_sent() {
    let mut state = at(Page::Network);
    types(&mut state, "e\t");
    state.on_key(Key::Clear);
    types(&mut state, "198.51.100.7/24");
    state.on_key(Key::Apply);
    let form = state.form.as_ref().expect("still open");
    assert!(state.dialog.is_none(), "nothing is sent: {:?}", state.dialog);
    let field = &form.fields[form.focus];
    assert_eq!(field.property.key, "gateway");
    assert!(field.mistake.as_deref().is_some_and(|why| why.contains("outside the network")));
}

#[test]
fn every_property_with_a_mistake_can_be_repaired() {
    let state = mistaken();
    let form = Form::new(&state.answers.expect("asked").expect("answered"));
    let keys: Vec<_> = form.fields.iter().map(|field| field.property.key).collect();
    assert!(keys.contains(&"ssh_public_key"), "{keys:?}");
    assert!(form.fields[form.focus].mistake.is_some());
    assert_eq!(form.others.len(), 1, "a property that nobody knows");
}

#[test]
fn logs_are_followed_and_lines_of_another_log_are_dropped() {
    let mut state = set_up();
    let effects = state.on_key(Key::Glyph('3'));
    assert!(matches!(effects[..], [Effect::ReadLog(LogSource::ManagementPlane)]));
    let effects = state.on_key(Key::Right);
    assert!(matches!(effects[..], [Effect::ReadLog(LogSource::Broker)]));
    state.hear(News::Log(LogSource::ManagementPlane, Ok(vec!["late".to_owned()])));
    assert!(state.log.lines.is_empty());
    state.hear(News::Log(LogSource::Broker, Ok(vec!["in time".to_owned()])));
    assert_eq!(state.log.lines, ["in time"]);
    state.on_key(Key::Left);
    assert!(state.on_key(Key::Left).is_empty(), "there is none before the first");
    for _ in 0..LogSource::ALL.len() {
        state.on_key(Key::Glyph('n'));
    }
    assert_eq!(state.log.source, 0, "n goes around");
}

#[test]
fn scrolling_stops_at_the_ends() {
    let mut state = set_up();
    state.on_key(Key::Up);
    assert_eq!(state.scroll, 0);
    for _ in 0..10_000 {
        state.on_key(Key::PageDown);
    }
    for _ in 0..200 {
        state.on_key(Key::PageUp);
    }
    assert_eq!(state.scroll, 0, "nobody scrolls back through nothing");
}
