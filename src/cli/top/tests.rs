//! The pictures of `bridge top`, and its keys.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::draw;
use super::sight::{Seen, Sight};
use super::state::{Deed, Next, Top};
use crate::cli::chart::Letters;
use crate::cli::logs::entry::Entry;
use crate::store::stamp;

fn seen(name: &str, state: &str) -> Seen {
    let (name, state) = (name.to_owned(), state.to_owned());
    Seen { bridge: Some(4_001), name, state, waiting: (0, Some(100)), ..Seen::default() }
}

fn calm() -> Sight {
    let took_us = vec![0, 900, 1_100, 1_250, 4_000, 1_200, 1_150, 0, 1_300, 1_250];
    let because = "started for a request, ready after 312 ms".to_owned();
    Sight {
        servers: vec![
            Seen { rate: 12.4, took_us, in_flight: 2, because, ..seen("github", "ready") },
            Seen { because: "nobody has needed it yet".into(), ..seen("time", "stopped") },
        ],
        clients: 1,
        bridges: 1,
        ..Sight::default()
    }
}

fn error(source: &str, text: &str) -> Entry {
    let at_ms = stamp::parse("2026-11-21T21:00:07Z").unwrap();
    Entry { at_ms, about: false, source: source.into(), text: text.into() }
}

fn troubled() -> Sight {
    let because = "it ended with exit code 3, and has failed too often".to_owned();
    let files = Seen { in_flight: 10, waiting: (37, Some(100)), rate: 0.5, ..seen("files", "no answer") };
    Sight {
        servers: vec![
            Seen { restarts: 5, because, ..seen("github", "parked") },
            Seen { bridge: Some(4_002), ..files },
            Seen {
                held: true,
                because: "bridge stop".into(),
                ..seen("a-server-with-a-very-long-name", "stopped")
            },
        ],
        clients: 3,
        bridges: 2,
        troubles: vec!["bridge 4002 did not answer within 2 s".into()],
        errors: vec![
            error("github", "call of search failed: outcome_unknown (crashed), after 1.2ms, session 019a"),
            error("github", "exit, process 4711, after 2.1s: crashed: ended with exit code 3"),
        ],
    }
}

fn top(sight: Option<Sight>) -> Top {
    let mut top = Top::new(PathBuf::from("/home/x/.local/share/bridge"));
    (top.letters, top.zone) = (Letters::Blocks, TimeZone::UTC);
    sight.into_iter().for_each(|sight| top.see(sight));
    top
}

#[track_caller]
fn picture(top: &Top, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw::draw(frame, top)).unwrap();
    let lines = terminal.backend().to_string();
    let lines = lines.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_calm_bridge() {
    insta::assert_snapshot!(picture(&top(Some(calm())), 80, 24), @r"
    bridge top  1 bridge, 1 client, 2 servers, 12.4 calls/s
      SERVER             STATE     CALLS/S    P50 LATENCY       RUN   QUEUE RESTARTS
    > github             ready        12.4  1.2ms    ▂▃▃█▃▃ ▃▃    2   0/100        0
      time               stopped       0.0      -                 0   0/100        0
    github is ready: started for a request, ready after 312 ms
     last errors ───────────────────────────────────────────────────────────────────
    none







     what github wrote last ────────────────────────────────────────────────────────
    nothing







    ↑↓ choose  r restart  s stop/start  d disable  ? help  q quit
    ");
}

#[test]
fn a_bridge_with_trouble() {
    let mut top = top(Some(troubled()));
    top.wrote = vec!["usage: server-github".into(), "no token: set GITHUB_TOKEN".into()];
    insta::assert_snapshot!(picture(&top, 80, 24), @r"
    bridge top  2 bridges, 3 clients, 3 servers, 0.5 calls/s
      SERVER             STATE     CALLS/S    P50 LATENCY       RUN   QUEUE RESTARTS
    > github @4001       parked        0.0      -                 0   0/100        5
      files @4002        no answer     0.5      -                10  37/100        0
      a-server-with-a-ve stopped       0.0      -                 0   0/100        0
    github is parked: it ended with exit code 3, and has failed too often
     last errors ───────────────────────────────────────────────────────────────────
    21:00:07  github  call of search failed: outcome_unknown (crashed), after 1.2ms
    21:00:07  github  exit, process 4711, after 2.1s: crashed: ended with exit code






     what github wrote last ────────────────────────────────────────────────────────
    usage: server-github
    no token: set GITHUB_TOKEN





    bridge 4002 did not answer within 2 s
    ");
}

#[test]
fn a_small_screen_has_fewer_figures_and_every_word_of_why() {
    let mut top = top(Some(troubled()));
    top.wrote = vec!["usage: server-github".into(), "no token: set GITHUB_TOKEN".into()];
    top.sight.as_mut().unwrap().troubles.clear();
    insta::assert_snapshot!(picture(&top, 50, 15), @r"
    2 bridges, 3 clients, 3 servers, 0.5 calls/s
      SERVER     STATE     CALLS/S    P50  RUN   QUEUE
    > github @40 parked        0.0      -    0   0/100
      files @400 no answer     0.5      -   10  37/100
      a-server-w stopped       0.0      -    0   0/100
    github is parked: it ended with exit code 3, and
      has failed too often
     last errors ─────────────────────────────────────
    21:00:07  github  call of search failed: outcome_u
    21:00:07  github  exit, process 4711, after 2.1s:

     what github wrote last ──────────────────────────
    usage: server-github
    no token: set GITHUB_TOKEN
    ↑↓  r restart  s stop  d disable  ? help  q quit
    ");
}

#[test]
fn no_bridge_and_no_server_are_said_in_words() {
    assert!(picture(&top(None), 80, 24).contains("The bridges are asked …"));
    insta::assert_snapshot!(picture(&top(Some(Sight::default())), 80, 8), @r"
    bridge top  0 bridges, 0 clients, 0 servers, 0.0 calls/s


                     No bridge runs on /home/x/.local/share/bridge.
                       An AI client starts one; it is waited for.


    ↑↓ choose  r restart  s stop/start  d disable  ? help  q quit
    ");
    let without = Sight { bridges: 1, ..Sight::default() };
    assert!(picture(&top(Some(without)), 80, 8).contains("its configuration names none"));
}

#[test]
fn the_keys_are_explained() {
    let mut top = top(Some(calm()));
    assert_eq!(press(&mut top, '?'), Next::Nothing);
    insta::assert_snapshot!(picture(&top, 80, 24), @r"
    bridge top  1 bridge, 1 client, 2 servers, 12.4 calls/s
      SERVER             STATE     CALLS/S    P50 LATENCY       RUN   QUEUE RESTARTS
    > github             ready        12.4  1.2ms    ▂▃▃█▃▃ ▃▃    2   0/100        0
      time               stopped       0.0      -                 0   0/100        0
    github is ready: started for a request, ready after 312 ms
     last errors ───────────────────────────────────────────────────────────────────
    no┌ bridge top ──────────────────────────────────────────────────────────────┐
      │↑ ↓ j k   choose a server                                                 │
      │r         restart it: new processes, and its failures are forgotten       │
      │s         stop it until somebody starts it, or start it again             │
      │d         switch it off in the configuration, which keeps its entry       │
      │?         this page; any key closes it                                    │
      │q Esc     the end                                                         │
      │                                                                          │
     w│CALLS/S   calls that ended in the last second, in all bridges (= as above)│──
    no│P50       how long they took, in the middle; LATENCY a bar a second       │
      │RUN       requests under way     QUEUE  how many wait for their turn      │
      └──────────────────────────────────────────────────────────────────────────┘





    ↑↓ choose  r restart  s stop/start  d disable  ? help  q quit
    ");
    assert_eq!((press(&mut top, 'r'), top.help), (Next::Nothing, false));
}

#[test]
fn every_size_has_a_picture() {
    for sight in [None, Some(Sight::default()), Some(calm()), Some(troubled())] {
        let mut top = top(sight);
        for help in [false, true] {
            top.help = help;
            for (columns, rows) in [(20, 5), (1, 1), (80, 2), (5, 50), (300, 100), (40, 12)] {
                picture(&top, columns, rows);
            }
        }
    }
    let small = picture(&top(Some(calm())), 20, 5);
    assert!(small.starts_with("1 bridge") && small.contains("> github"), "{small}");
}

fn press(top: &mut Top, key: char) -> Next {
    top.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE))
}

#[test]
fn keys_choose_a_server_and_say_what_becomes_of_it() {
    let mut top = top(Some(troubled()));
    assert_eq!(top.chosen_name(), Some("github"));
    assert_eq!(press(&mut top, 'r'), Next::Do(Deed::Restart("github".into())));
    assert_eq!(
        press(&mut top, 's'),
        Next::Do(Deed::Stop("github".into())),
        "it is parked, and could come back"
    );
    assert_eq!(press(&mut top, 'k'), Next::Chosen);
    assert_eq!(top.place(), Some(0), "there is none above");
    press(&mut top, 'j');
    press(&mut top, 'j');
    press(&mut top, 'j');
    assert_eq!(press(&mut top, 's'), Next::Do(Deed::Start("a-server-with-a-very-long-name".into())));
    let mut others = troubled();
    others.servers.swap(0, 2);
    top.see(others);
    assert_eq!(top.place(), Some(0), "it stays chosen wherever it stands");
    top.see(calm());
    assert_eq!(top.chosen_name(), Some("github"), "it is gone, and another has its place");
    assert_eq!(press(&mut top, 'x'), Next::Nothing);
    let end = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!((press(&mut top, 'q'), top.key(end)), (Next::Quit, Next::Quit));
    assert_eq!(top.key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), Next::Quit);
}

#[test]
fn a_server_is_switched_off_by_two_keys_and_only_by_them() {
    let mut top = top(Some(calm()));
    assert_eq!(press(&mut top, 'd'), Next::Nothing);
    let asks = "Switch github off? Its entry stays. [y/N]";
    assert!(picture(&top, 80, 24).ends_with(asks), "{}", picture(&top, 80, 24));
    top.see(calm());
    assert_eq!(press(&mut top, 'j'), Next::Nothing, "any other key is a no");
    assert!(!picture(&top, 80, 24).contains(asks) && top.chosen_name() == Some("github"));
    assert_eq!(press(&mut top, 'y'), Next::Nothing, "there is no question any more");
    press(&mut top, 'd');
    assert_eq!(press(&mut top, 'y'), Next::Do(Deed::Disable("github".into())));
    assert!(picture(&top, 80, 24).ends_with("github is being switched off …"));
    press(&mut top, 'd');
    let end = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(top.key(end), Next::Quit, "it ends from there, too");
}

#[test]
fn what_is_said_wraps_and_is_gone_with_the_next_key() {
    let mut top = top(Some(calm()));
    top.said =
        Some(Ok("process 4711 of github was ended; it stays stopped until bridge start github".into()));
    assert!(
        picture(&top, 50, 15)
            .ends_with("process 4711 of github was ended; it stays stopped\n  until bridge start github")
    );
    press(&mut top, 'j');
    assert!(picture(&top, 80, 24).ends_with("q quit"));
}

#[test]
fn what_came_of_a_key_is_said_beside_a_trouble() {
    let mut top = top(Some(troubled()));
    top.said = Some(Ok("github is started again".into()));
    let said = "github is started again; bridge 4002 did not answer within 2 s";
    assert!(picture(&top, 80, 24).ends_with(said), "{}", picture(&top, 80, 24));
    top.said = Some(Err("github is not known".into()));
    assert!(picture(&top, 80, 24).ends_with("github is not known"));
}

#[test]
fn what_two_bridges_have_under_one_name_counts_once() {
    let both =
        |bridge| Seen { bridge: Some(bridge), rate: 12.0, took_us: vec![900], ..seen("time", "ready") };
    let old = Seen { bridge: Some(4_002), rate: 0.5, waiting: (0, None), ..seen("files", "ready") };
    let servers = vec![both(4_001), both(4_002), old];
    insta::assert_snapshot!(picture(&top(Some(Sight { servers, clients: 2, bridges: 2, ..Sight::default() })), 80, 8), @r"
    bridge top  2 bridges, 2 clients, 3 servers, 12.5 calls/s
      SERVER             STATE     CALLS/S    P50 LATENCY       RUN   QUEUE RESTARTS
    > time @4001         ready        12.0  900µs            █    0   0/100        0
      time @4002         ready           =      = =               0   0/100        0
      files @4002        ready         0.5      -                 0       0        0


    ↑↓ choose  r restart  s stop/start  d disable  ? help  q quit
    ");
}

#[test]
fn keys_harm_nothing_where_there_is_no_server() {
    let mut top = top(None);
    for key in ['r', 's', 'd', 'y', 'j', 'k'] {
        assert!(!matches!(press(&mut top, key), Next::Do(_)));
    }
}
