//! Pictures of the screen, compared with those that were looked at; and what
//! holds for all of them.

use std::collections::BTreeMap;

use ratatui::style::Color;

use super::{
    frame::{Frame, frame, text},
    glyphs,
    keys::Key,
    paint,
    state::{Action, Dialog, News, Page, Seen, State},
};
use crate::{
    clock::Timestamp,
    node::{
        ha::{
            engines::{DatabaseNode, DatabaseRole, EtcdNode},
            members::NodeName,
            place::Phase,
        },
        machine::Machine,
        protocol::{
            AnswersView, Check, ClusterView, DataBefore, Failure, Health, Interface, Mistake,
            NodeView, Pairing, Progress, Quorum, SetUp, Share, Status, UnitState,
        },
    },
    secret::Secret,
};

const FINGERPRINT: &str = "3F:A1:0C:5E:77:90:12:BB:4D:E8:61:2A:9C:03:F4:D7:\
                           58:6B:1E:C2:84:AF:30:99:75:0D:E6:B3:42:1C:8A:F0";

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_356_600)
}

fn mistake(property: &str, message: &str) -> Mistake {
    Mistake { property: property.to_owned(), message: message.to_owned() }
}

fn interface() -> Interface {
    Interface {
        name: "ens192".to_owned(),
        mac: "00:50:56:9a:31:07".to_owned(),
        up: true,
        addresses: vec!["192.0.2.10/24".to_owned(), "fe80::250:56ff:fe9a:3107/64".to_owned()],
    }
}

fn status() -> Status {
    let unit = |unit: &str| UnitState { unit: unit.to_owned(), state: "active".to_owned() };
    Status {
        version: "0.1.0".to_owned(),
        host: "palisade.example.com".to_owned(),
        role: Some("standalone".to_owned()),
        now: now(),
        clock_synchronised: Some(true),
        uptime_seconds: 432,
        urls: ["https://palisade.example.com", "https://192.0.2.10"].map(str::to_owned).to_vec(),
        interfaces: vec![interface()],
        fingerprint: Some(FINGERPRINT.to_owned()),
        set_up: SetUp::Open { code: Some("K7QM-2XWD-9RTB-HN4V".to_owned()) },
        health: Health::Answers {
            ready: true,
            checks: vec![Check {
                name: "store".to_owned(),
                ok: true,
                detail: "the database answers".to_owned(),
            }],
        },
        units: vec![unit("palisade-node.service"), unit("palisade.service")],
        mistakes: Vec::new(),
        processors: 2,
        load: Some(0.12),
        memory: Some(Share { total: 4_096 << 20, used: 241 << 20 }),
        data_disk: Some(Share { total: 40 << 30, used: 3 << 29 }),
        waiting: None,
        pairing: None,
    }
}

fn with(status: Status) -> State {
    State { seen: Seen::Daemon(Box::new(status)), now: Some(now()), ..State::default() }
}

pub(super) fn fresh() -> State {
    with(status())
}

pub(super) fn set_up() -> State {
    with(set_up_status())
}

fn set_up_status() -> Status {
    Status { set_up: SetUp::Done, ..status() }
}

/// One node of three is away, and the screen says so.
fn clustered() -> State {
    let name = |number: u8| format!("n{number}").parse::<NodeName>().expect("a name");
    let node = |number: u8, role| NodeView {
        name: name(number),
        own: number == 1,
        address: [192, 0, 2, 10 + number].into(),
        joined: now(),
        host: None,
        version: None,
        silent: (number == 3).then(|| "192.0.2.13 does not answer: no route.".to_owned()),
        ready: (number != 3).then_some(true),
        database: Some(DatabaseNode {
            role,
            state: "streaming".to_owned(),
            timeline: Some(1),
            lag_bytes: None,
        }),
        etcd: (number != 3).then(|| EtcdNode {
            leader: number == 1,
            version: "3.5.16".to_owned(),
            bytes: 1,
        }),
        clock_ahead_ms: None,
        certificate_until: None,
        if_stopped: String::new(),
    };
    let roles = [DatabaseRole::Leader, DatabaseRole::Synchronous, DatabaseRole::Replica];
    let view = ClusterView {
        own: Some(name(1)),
        phase: Some(Phase::Running),
        virtual_address: None,
        nodes: (1..).zip(roles).map(|(number, role)| node(number, role)).collect(),
        quorum: Some(Quorum { present: 2, members: 3, needed: 2 }),
        last_failover: None,
        invitation: None,
        progress: None,
        warnings: Vec::new(),
    };
    State {
        cluster: Some(Box::new(view)),
        ..with(Status { role: Some("ha-first".to_owned()), ..set_up_status() })
    }
}

pub(super) fn pairing() -> State {
    let pairing = Pairing {
        code: "alder-birch-cedar-4711".to_owned(),
        url: "https://palisade.example.com/pair#alder-birch-cedar-4711".to_owned(),
        expires_at: now().plus(std::time::Duration::from_secs(545)),
    };
    with(Status { role: Some("pcg".to_owned()), pairing: Some(pairing), ..status() })
}

fn alone() -> State {
    let machine = Machine {
        version: "0.1.0".to_owned(),
        host: "palisade".to_owned(),
        uptime_seconds: 75,
        processors: 1,
        load: None,
        memory: Some(Share { total: 2_048 << 20, used: 2_000 << 20 }),
        data_disk: Some(Share { total: 10 << 30, used: 9 << 30 }),
        interfaces: vec![interface()],
        clock_synchronised: None,
    };
    let reason = "/run/palisade-node/node.sock: No such file or directory (os error 2)";
    State {
        seen: Seen::Alone(Box::new(machine), reason.to_owned()),
        now: Some(now()),
        ..State::default()
    }
}

pub(super) fn answers() -> AnswersView {
    let properties = [
        ("hostname", "palisade.example.com"),
        ("ipv4", "192.0.2.10/24"),
        ("gateway", "192.0.2.1"),
        ("dns", "192.0.2.53"),
        ("ntp", "ntp.example.com"),
        ("http_proxy", "http://(hidden)@proxy.example.com:3128"),
    ];
    let owned = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    AnswersView { properties: BTreeMap::from(owned), mistakes: Vec::new() }
}

pub(super) fn mistaken() -> State {
    let mistakes = vec![
        mistake("ipv4", "\"192.0.2.300/24\" is no IPv4 address; write e.g. 192.0.2.10/24"),
        mistake("role", "\"queen\" is no role; write standalone, ha-first, ha-join or pcg"),
        mistake("ssh_public_key", "is no public key; give one line such as ssh-ed25519 AAAA..."),
        mistake("hostnmae", "is no property of this version; remove it"),
    ];
    let mut status = status();
    status.mistakes.clone_from(&mistakes);
    status.urls.pop();
    status.role = None;
    status.health = Health::Answers {
        ready: false,
        checks: vec![Check {
            name: "bus".to_owned(),
            ok: false,
            detail: "the message broker does not answer; it is started again".to_owned(),
        }],
    };
    let mut answers = answers();
    answers.properties.insert("ipv4".to_owned(), "192.0.2.300/24".to_owned());
    answers.properties.insert("role".to_owned(), "queen".to_owned());
    answers.mistakes = mistakes;
    State { answers: Some(Ok(answers)), ..with(status) }
}

fn network() -> State {
    let mut state = set_up();
    state.on_key(Key::Glyph('2'));
    state.answers = Some(Ok(answers()));
    state
}

fn form() -> State {
    let mut state = mistaken();
    state.on_key(Key::Glyph('2'));
    state.on_key(Key::Glyph('e'));
    state
}

fn logs() -> State {
    let mut state = set_up();
    state.on_key(Key::Glyph('3'));
    let lines = (0..60).map(|number| {
        format!(
            "2026-11-22T14:{number:02}:00+00:00 palisade[812]: INFO  gateway: request {number} \
             from 192.0.2.77 for /v1/clusters was answered with 200 \u{2713} in 3 ms"
        )
    });
    let source = crate::node::protocol::LogSource::ManagementPlane;
    state.hear(News::Log(source, Ok(lines.collect())));
    state
}

fn recovery() -> State {
    let mut state = set_up();
    state.on_key(Key::Glyph('8'));
    state.on_key(Key::Down);
    state
}

/// A state after these keys.
fn after(mut state: State, keys: &[Key]) -> State {
    for key in keys {
        state.on_key(*key);
    }
    state
}

fn proving() -> State {
    let mut state = after(recovery(), &[Key::Enter, Key::Glyph('y')]);
    let wrong = Failure {
        kind: "unauthenticated".to_owned(),
        code: "wrong-credentials".to_owned(),
        message: "E-mail address or password is wrong.".to_owned(),
        hint: None,
        fields: Vec::new(),
    };
    state.hear(News::NotDone(Action::RenewCertificate, wrong));
    state
}

/// The kit was typed with a mistake.
fn mistyped() -> State {
    let mut state = after(set_up(), &[Key::Glyph('8'), Key::Down, Key::Down, Key::Enter]);
    let code = "1: 7KQM-2XWD   2: 9RTB-HN4V   3: 0C5E-7790   4: 12BB-4DE8";
    let wrong = Failure {
        kind: "unauthenticated".to_owned(),
        code: "wrong-recovery-kit".to_owned(),
        message: "Group 3 of the recovery code is wrong.".to_owned(),
        hint: None,
        fields: Vec::new(),
    };
    state.hear(News::NotDone(Action::RecoverKeystore(Secret::new(code.to_owned())), wrong));
    state
}

pub(super) fn before_update() -> DataBefore {
    DataBefore { version: "1.2.0".parse().expect("a version"), at: now() }
}

fn put_back() -> State {
    let mut state = after(set_up(), &[Key::Glyph('8'), Key::Down, Key::Down, Key::Down]);
    state.on_key(Key::Enter);
    state.hear(News::RestorePoint(Ok(before_update())));
    after(state, &[Key::Glyph('y'), Key::Enter])
}

fn working() -> State {
    let mut state = fresh();
    state.show_dialog(Dialog::Working { doing: "Collecting", text: String::new(), percent: None });
    state.hear(News::Progress(Progress { text: "Reading logs".to_owned(), percent: Some(40) }));
    state
}

fn told() -> State {
    let mut state = recovery();
    let lines = [
        "Open this link to choose a new password for ada@example.com:",
        "",
        "https://palisade.example.com/invite",
        "#token=pi_mJ3kq0cV5nQyXw7sT2hLr8uBf1dEaZ9gKpNoSiRv6WM",
        "",
        "It works once.",
    ];
    state.hear(News::Done(lines.map(str::to_owned).to_vec()));
    state
}

/// Every state that is looked at here, by name.
fn all() -> Vec<(&'static str, State)> {
    vec![
        ("nothing", State { now: Some(now()), ..State::default() }),
        ("fresh", fresh()),
        ("set_up", set_up()),
        ("cluster", clustered()),
        ("alone", alone()),
        ("mistakes", mistaken()),
        ("network", network()),
        ("form", form()),
        ("logs", logs()),
        ("pairing", after(pairing(), &[Key::Glyph('4')])),
        ("recovery", recovery()),
        ("power", after(set_up(), &[Key::Page(Page::Power)])),
        ("confirm", after(set_up(), &[Key::Glyph('0'), Key::Enter])),
        ("proving", proving()),
        ("open_keystore", after(recovery(), &[Key::Down, Key::Enter])),
        ("open_keystore_mistyped", mistyped()),
        ("put_back", put_back()),
        ("working", working()),
        ("told", told()),
    ]
}

const SIZES: [(u16, u16); 5] = [(80, 25), (80, 24), (120, 40), (40, 10), (200, 60)];

fn picture(state: &State, (width, height): (u16, u16)) -> String {
    text(&frame(state, width, height))
}

#[test]
fn every_page_looks_as_it_did_when_somebody_looked_at_it() {
    for (name, state) in all() {
        insta::assert_snapshot!(name, picture(&state, (80, 25)));
    }
    insta::assert_snapshot!("fresh_120x40", picture(&fresh(), (120, 40)));
    insta::assert_snapshot!("form_120x40", picture(&form(), (120, 40)));
}

#[test]
fn every_frame_fits_has_sixteen_colours_and_the_glyphs_of_the_code_page() {
    use Color::{
        Black, Blue, Cyan, DarkGray, Gray, Green, LightBlue, LightCyan, LightGreen, LightMagenta,
        LightRed, LightYellow, Magenta, Red, White, Yellow,
    };
    let sixteen = [
        Black,
        Red,
        Green,
        Yellow,
        Blue,
        Magenta,
        Cyan,
        Gray,
        DarkGray,
        LightRed,
        LightGreen,
        LightYellow,
        LightBlue,
        LightMagenta,
        LightCyan,
        White,
    ];
    for (name, state) in all() {
        for (width, height) in SIZES {
            let Frame { cells, cursor } = frame(&state, width, height);
            assert_eq!((cells.area.width, cells.area.height), (width, height), "{name}");
            for cell in cells.content() {
                let mut symbol = cell.symbol().chars();
                let glyph = symbol.next().expect("a glyph");
                assert!(symbol.next().is_none() && glyphs::is_drawable(glyph), "{name} {glyph:?}");
                assert!(
                    sixteen.contains(&cell.fg) && sixteen.contains(&cell.bg),
                    "{name} {cell:?}"
                );
                assert!(cell.modifier.is_empty(), "{name} {cell:?}");
            }
            let inside = cursor.is_none_or(|(x, y)| x < width && y < height);
            assert!(inside, "{name} at {width}x{height}: {cursor:?}");
        }
    }
}

#[test]
fn code_and_addresses_stand_in_one_row_each_and_nothing_is_cut() {
    for size in SIZES.into_iter().filter(|(width, _)| *width >= 80) {
        let shown = picture(&fresh(), size);
        for wanted in ["K7QM-2XWD-9RTB-HN4V", "https://palisade.example.com", "https://192.0.2.10"]
        {
            assert!(shown.lines().any(|row| row.contains(wanted)), "{wanted} in {shown}");
        }
        assert!(
            shown.contains(&FINGERPRINT[..47]) && shown.contains(&FINGERPRINT[48..]),
            "{shown}"
        );
        assert!(shown.contains("Data disk") && !shown.contains("more:"), "{shown}");
    }
}

#[test]
fn each_mistake_is_one_entry_that_begins_with_its_property() {
    let shown = picture(&mistaken(), (120, 40));
    for property in ["ipv4", "role", "ssh_public_key", "hostnmae"] {
        let rows = shown.lines().filter(|row| row.contains(&format!("\u{b7} {property}: ")));
        assert_eq!(rows.count(), 1, "{property} in {shown}");
    }
}

#[test]
fn the_chosen_entry_is_in_sight_on_the_smallest_screen() {
    let mut state = after(set_up(), &[Key::Glyph('8')]);
    for name in [
        "Reset an administrator",
        "Renew the certificate",
        "Open the keystore",
        "Put the data back",
        "Support bundle",
    ] {
        let shown = picture(&state, (40, 10));
        assert!(shown.contains(&format!("> {name}")), "{name} in {shown}");
        state.on_key(Key::Down);
    }
}

/// The text that reaches a terminal which obeys only what it must.
fn painted(before: Option<&Frame>, next: &Frame) -> String {
    let mut bytes = Vec::new();
    paint::paint(&mut bytes, before, next).expect("a vector takes everything");
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_serial_line_carries_whole_rows_and_only_those_that_differ() {
    let first = frame(&fresh(), 80, 24);
    let all = painted(None, &first);
    for wanted in ["K7QM-2XWD-9RTB-HN4V", "https://palisade.example.com", "https://192.0.2.10"] {
        assert!(all.contains(wanted), "{wanted} in {all:?}");
    }
    assert_eq!(painted(Some(&first), &frame(&fresh(), 80, 24)), "", "nothing differs");
    let mut other = fresh();
    let Seen::Daemon(status) = &mut other.seen else { panic!("the daemon") };
    status.set_up = SetUp::Open { code: Some("K7QM-2XWD-9RTB-HN4W".to_owned()) };
    let changed = painted(Some(&first), &frame(&other, 80, 24));
    assert!(changed.contains("K7QM-2XWD-9RTB-HN4W"), "not the last letter alone: {changed:?}");
    assert!(!changed.contains("https://"), "{changed:?}");
    assert!(painted(Some(&first), &frame(&fresh(), 80, 25)).contains("https://"), "another size");
}

#[test]
fn the_row_of_the_keys_never_makes_a_terminal_scroll() {
    let shown = painted(None, &frame(&fresh(), 80, 24));
    let last = shown.rsplit("\u{1b}[24;1H").nth(1).or_else(|| shown.split("\u{1b}[24;1H").nth(1));
    let mut columns = 0;
    let mut inside = false;
    for glyph in last.expect("a last row").chars() {
        match glyph {
            '\u{1b}' => inside = true,
            'm' | 'H' | 'h' | 'l' if inside => inside = false,
            _ if !inside => columns += 1,
            _ => {}
        }
    }
    assert_eq!(columns, 79);
}
