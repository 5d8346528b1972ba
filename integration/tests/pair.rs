//! Sections of ours against each other, in simulated time.

#[path = "pair/sim.rs"]
mod sim;

use std::sync::Arc;

use bolero::{TypeGenerator, check};
use sim::{TABLES, World};
use stktable::Tick;
use stktable_integration::peers::resync::{Action, Coordinator, PHASE_MS, ResyncState, Verdict};
use stktable_integration::peers::session::{Reason, Roster};

#[test]
fn two_that_call_at_once_end_with_one_session_at_once() {
    for names in [["a", "b"], ["b", "a"]] {
        let mut world = World::new(&names);
        // Both hellos are on their way before either arrives.
        world.turn(0);
        world.turn(1);
        assert_eq!(world.link_count(), 2);
        world.settle();
        assert!(world.is_meshed());
        world.wait(60_000);
        assert_eq!(world.link_count(), 2, "nobody had to call again");
        assert!(world.is_meshed());
    }
}

/// Two that call at once, of which some follow HAProxy's rule, and what arrives where and when: every order of the first
/// six arrivals at four ends. One session is left each time, with nobody calling again.
fn every_crossing(names: &[&'static str; 2], stock: [bool; 2]) {
    for order in 0..4_u32.pow(6) {
        let mut world = World::new(names);
        for (node, stock) in world.nodes.iter_mut().zip(stock) {
            node.stock = stock;
        }
        // Both hellos are on their way before either arrives.
        world.turn(0);
        world.turn(1);
        for step in 0..6 {
            let pick = usize::try_from(order >> (2 * step) & 3).unwrap();
            world.step(pick / 2, pick % 2);
        }
        world.settle();
        assert!(world.is_meshed(), "{names:?} {stock:?} {order:#o}");
        // Long enough for a call that was put off, and for a peer that is held for dead.
        world.wait(8_000);
        assert!(world.is_meshed(), "{names:?} {stock:?} {order:#o}");
        assert_eq!(world.link_count(), 2, "{names:?} {stock:?} {order:#o}");
    }
}

#[test]
fn calls_that_cross_in_any_order_leave_one_session() {
    every_crossing(&["a", "b"], [false, false]);
}

#[test]
fn calls_that_cross_with_haproxys_in_any_order_leave_one_session() {
    every_crossing(&["a", "b"], [false, true]);
    every_crossing(&["a", "b"], [true, false]);
}

#[test]
fn a_connection_that_broke_without_a_word_is_replaced() {
    for names in [["a", "b"], ["b", "a"]] {
        let mut world = World::new(&names);
        world.until("finished", |world| world.all_finished() && world.is_meshed());
        world.forget(1);
        world.count(0, 0, 7, 1);
        world.count(1, 0, 8, 1);
        let took = world.until("one session", World::is_meshed);
        // Sooner than the old one is found dead: as soon as the other side calls again.
        assert!(took < 2500, "{took}");
        world.until("equal", World::are_equal);
        assert_eq!(world.entries(0).len(), 2);
    }
}

#[test]
fn a_call_that_comes_to_nothing_costs_the_live_session_nothing() {
    let mut world = World::new(&["a", "b"]);
    world.until("finished", |world| world.all_finished() && world.is_meshed());
    let live = world.live(0).unwrap();
    let ends = |world: &World| (world.nodes[0].ends.len(), world.nodes[1].ends.len());
    let before = ends(&world);
    let c = &mut world.nodes[0].coordinator;
    let (first, second) = (c.accepted(), c.accepted());
    assert!(matches!(c.called(first, b"b"), Verdict::Accept { beside: true, .. }));
    assert!(matches!(c.called(second, b"b"), Verdict::Accept { beside: true, .. }));
    // One beside the live one is enough.
    let close = Action::Close { session: first, reason: Reason::Replaced };
    assert_eq!(actions(c), [close]);
    c.proved(first);
    assert_eq!(actions(c), [], "it was closed");
    c.ended(world.now, second, Some(&Reason::Dead));
    assert_eq!(actions(c), []);
    assert_eq!(world.live(0), Some(live));
    world.count(0, 0, 7, 1);
    world.settle();
    assert!(world.are_equal());
    assert_eq!(ends(&world), before, "no session has ended");
}

#[test]
fn peers_come_and_go_and_the_others_do_not_notice() {
    let mut c = Coordinator::new(T0, roster(&["b", "c"]), false, 1);
    let (b, other) = (c.accepted(), c.accepted());
    c.called(b, b"b");
    c.called(other, b"c");
    assert_eq!(actions(&mut c), [Action::Request { session: b }]);
    // The one that teaches us goes: another one does.
    c.remove_peer(T0, b"b");
    let close = Action::Close { session: b, reason: Reason::Removed };
    assert_eq!(actions(&mut c), [close, Action::Request { session: other }]);
    c.ended(T0, b, Some(&Reason::Removed));
    assert!(matches!(c.called(b, b"b"), Verdict::Unknown));
    assert_eq!(c.peer(0).unwrap().live, Some(other));
    // It comes back, and is called at once.
    c.add_peer(T0, b"b");
    c.add_peer(T0, b"b");
    c.handle_timeout(T0);
    let calls = actions(&mut c);
    assert!(matches!(&calls[..], [Action::Call { peer, .. }] if **peer == *b"b"), "{calls:?}");
    assert_eq!((c.peer(0).unwrap().live, c.peer(1).unwrap().calling), (Some(other), true));
    // One that is being called can go, too.
    c.remove_peer(T0, b"b");
    assert!(matches!(actions(&mut c)[..], [Action::Close { reason: Reason::Removed, .. }]));
    assert!(c.peer(1).is_none());
}

#[test]
fn both_learn_what_the_other_has() {
    let mut world = World::new(&["a", "b"]);
    for key in 0..500 {
        world.count(0, 0, key, 1);
        world.count(1, 1, key, 2);
        // One key on both sides: whoever's value arrives is taken.
        world.count(0, 1, 1000 + key, 3);
    }
    let took = world.until("equal", |world| world.all_finished() && world.are_equal());
    assert_eq!(world.entries(0).len(), 1500);
    // Neither was up to date, so each was taught in part, and gave the other five seconds.
    assert!((5000..5100).contains(&took), "{took}");
    assert!(world.nodes.iter().all(|node| node.roster.is_up_to_date()));
    // At rest nothing is sent but heartbeats.
    let sent = world.updates_sent(0) + world.updates_sent(1);
    world.wait(30_000);
    assert_eq!(world.updates_sent(0) + world.updates_sent(1), sent);
    assert!(world.is_meshed());
}

#[test]
fn who_comes_later_is_taught_and_is_up_to_date_at_once() {
    let mut world = World::new(&["a", "b"]);
    (0..300).for_each(|key| world.count(0, 0, key, 1));
    world.until("finished", World::all_finished);
    world.count(1, 0, 7, 100);
    world.settle();
    world.restart(1);
    assert_eq!(world.entries(1).len(), 0);
    let took = world.until("equal", |world| world.all_finished() && world.are_equal());
    assert!(took < 2500, "{took}");
    assert_eq!(world.entries(1)[&(0, "7".to_owned())], 101, "its own change came back to it");
    // Taught once, and nothing live on top of it.
    assert_eq!(world.updates_sent(0), 300);
}

#[test]
fn a_reconnect_sends_what_was_not_acknowledged_and_no_more() {
    let mut world = World::new(&["a", "b"]);
    (0..100).for_each(|key| world.count(0, 0, key, 1));
    world.until("finished", |world| world.all_finished() && world.are_equal());
    world.settle();
    let last = world.link_count() - 1;
    (0..last).for_each(|link| world.cut(link));
    world.cut(last);
    world.settle();
    for key in 90..110 {
        world.count(0, 0, key, 5);
    }
    world.count(1, 1, 1, 9);
    world.until("equal", World::are_equal);
    assert_eq!((world.updates_sent(0), world.updates_sent(1)), (20, 1));
    assert_eq!((world.lag(0), world.lag(1)), (0, 0));
}

#[test]
fn updates_lost_on_the_way_are_sent_again() {
    let mut world = World::new(&["a", "b"]);
    world.until("finished", World::all_finished);
    (0..50).for_each(|key| world.count(0, 0, key, 1));
    // Written, not delivered; then partly.
    world.turn(0);
    let last = world.link_count();
    for link in 0..last {
        world.deliver(link, 0, 99);
        world.deliver(link, 1, 99);
        world.cut(link);
    }
    assert!(!world.are_equal());
    world.until("equal", World::are_equal);
    assert_eq!(world.updates_sent(0), 50);
}

#[test]
fn lessons_that_cross_do_not_swap_values() {
    let mut world = World::new(&["a", "b"]);
    world.count(1, 0, 1, 6);
    world.until("equal", World::are_equal);
    // Neither is up to date yet, so both ask again in the next session.
    let before = world.link_count();
    (0..before).for_each(|link| world.cut(link));
    world.count(1, 0, 1, 1);
    while world.link_count() == before {
        world.turn(0);
        world.turn(1);
        world.now = world.now + 1;
    }
    // Each asks before it has heard the other: so the lessons cross, and b is told 6 while it tells 7.
    let turns = |world: &mut World| (world.turn(0), world.turn(1));
    world.deliver(before, 1, usize::MAX);
    turns(&mut world);
    world.deliver(before, 0, b"200\n".len());
    turns(&mut world);
    world.deliver(before, 0, usize::MAX);
    world.deliver(before, 1, usize::MAX);
    turns(&mut world);
    world.deliver(before, 0, usize::MAX);
    world.deliver(before, 1, usize::MAX);
    let value = |world: &World, at| world.entries(at)[&(0, "1".to_owned())];
    assert_eq!((value(&world, 0), value(&world, 1)), (7, 6));
    assert!(!world.all_finished());
    world.until("equal", |world| world.all_finished() && world.are_equal());
}

#[test]
fn three_converge_and_one_that_comes_back_learns_from_either() {
    let mut world = World::new(&["a", "b", "c"]);
    for at in 0..3 {
        for key in 0..200 {
            world.count(at, 0, 1000 * u32::try_from(at).unwrap() + key, 1);
        }
    }
    world.until("equal", |world| world.all_finished() && world.is_meshed() && world.are_equal());
    assert_eq!(world.entries(0).len(), 600);
    world.restart(2);
    world.until("equal", |world| world.all_finished() && world.is_meshed() && world.are_equal());
    assert_eq!(world.entries(2).len(), 600);
}

fn roster(remotes: &[&str]) -> Arc<Roster> {
    Roster::new("lab", "a", remotes, Vec::new()).unwrap()
}

const T0: Tick = Tick(1000);

fn actions(coordinator: &mut Coordinator) -> Vec<Action> {
    std::iter::from_fn(|| coordinator.poll_action()).collect()
}

#[test]
fn a_process_waits_for_the_one_before_it_then_for_the_others() {
    // Nobody comes.
    let roster_b = roster(&["b"]);
    let mut c = Coordinator::new(T0, Arc::clone(&roster_b), true, 1);
    let phases = [ResyncState::FromLocal, ResyncState::FromRemote, ResyncState::Finished];
    for (phase, step) in phases.into_iter().zip(0_u32..) {
        c.handle_timeout(T0 + step * PHASE_MS);
        assert_eq!(c.resync_state(), phase);
        assert_eq!(roster_b.is_up_to_date(), phase == ResyncState::Finished);
    }
    // The one before us comes, unasked, and only once.
    let mut c = Coordinator::new(T0, roster(&["b"]), true, 1);
    let (first, second) = (c.accepted(), c.accepted());
    assert!(matches!(c.called(first, b"a"), Verdict::Accept { beside: false, .. }));
    assert!(matches!(c.called(second, b"a"), Verdict::TryAgain));
    c.handle_timeout(T0 + 3 * PHASE_MS);
    assert_eq!(c.resync_state(), ResyncState::FromLocal, "it may take as long as it needs");
    c.lesson_ended(T0 + 3 * PHASE_MS, first, true);
    assert_eq!(c.resync_state(), ResyncState::Finished);
    c.ended(T0 + 3 * PHASE_MS, first, Some(&Reason::Disconnected));
    assert!(matches!(c.called(second, b"a"), Verdict::Accept { .. }));
    // Nobody to ask.
    let c = Coordinator::new(T0, roster(&[]), false, 1);
    assert_eq!(c.resync_state(), ResyncState::Finished);
}

#[test]
fn one_after_the_other_is_asked_until_one_is_up_to_date() {
    let mut c = Coordinator::new(T0, roster(&["b", "c"]), false, 1);
    let (b, third, again) = (c.accepted(), c.accepted(), c.accepted());
    c.called(b, b"b");
    c.called(third, b"c");
    assert_eq!(actions(&mut c), [Action::Request { session: b }], "one at a time");
    // A lesson takes as long as it needs; an end from somebody else is not ours.
    c.handle_timeout(T0 + 10 * PHASE_MS);
    c.lesson_ended(T0, third, true);
    assert_eq!(c.resync_state(), ResyncState::FromRemote);
    c.lesson_ended(T0, b, false);
    assert!(c.peer(0).unwrap().not_up_to_date);
    assert_eq!(actions(&mut c), [Action::Request { session: third }]);
    // Its session ends: five seconds for another one. The mark goes with a new session.
    let later = T0 + 11 * PHASE_MS;
    c.ended(later, third, Some(&Reason::Dead));
    assert_eq!(actions(&mut c), []);
    assert!(matches!(c.called(again, b"b"), Verdict::Accept { beside: true, .. }));
    assert_eq!(actions(&mut c), [], "it has to prove itself");
    c.proved(again);
    let close = Action::Close { session: b, reason: Reason::Replaced };
    let promote = Action::Promote { session: again };
    assert_eq!(actions(&mut c), [close, promote, Action::Request { session: again }]);
    c.ended(later, b, Some(&Reason::Replaced));
    assert_eq!(c.peer(0).unwrap().live, Some(again), "the old one's end is not the new one's");
    c.lesson_ended(later, again, true);
    assert_eq!(c.resync_state(), ResyncState::Finished);
}

#[test]
fn calls_are_repeated_after_every_failure() {
    let mut c = Coordinator::new(T0, roster(&["b"]), false, 1);
    let mut now = T0;
    for _ in 0..20 {
        c.handle_timeout(now);
        let call = actions(&mut c).into_iter().next();
        let Some(Action::Call { session, .. }) = call else { panic!("{call:?}") };
        c.ended(now, session, None);
        let next = c.peer(0).unwrap().call_at.unwrap();
        assert!((5000..=5500).contains(&next.since(now)), "{}", next.since(now));
        now = next;
    }
    // After a session that was up: soon, at random.
    let mut delays = Vec::new();
    for _ in 0..20 {
        let session = c.accepted();
        c.called(session, b"b");
        assert_eq!(c.peer(0).unwrap().call_at, None, "no call while there is a session");
        c.ended(now, session, Some(&Reason::Disconnected));
        delays.push(c.peer(0).unwrap().call_at.unwrap().since(now));
    }
    assert!(delays.iter().all(|delay| (50..=2049).contains(delay)), "{delays:?}");
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 15, "at random: {delays:?}");
}

/// What may happen to two sections.
#[derive(Clone, Debug, TypeGenerator)]
enum Operation {
    /// A change on one side. A key is changed by one side only: when both change one at once each may end with the
    /// value of the other, in this protocol.
    Count {
        at: bool,
        table: bool,
        key: u8,
        n: u8,
    },
    /// One node does what it can.
    Turn {
        at: bool,
    },
    /// Some bytes arrive.
    Deliver {
        link: u8,
        side: bool,
        most: u16,
    },
    Cut {
        link: u8,
    },
    Wait {
        ms: u16,
    },
    Settle,
    Restart {
        at: bool,
    },
}

fn run(operations: &[Operation]) {
    let mut world = World::new(&["a", "b"]);
    for operation in operations {
        match *operation {
            Operation::Count { at, table, key, n } => {
                let key = u32::from(key % 32) + 100 * u32::from(at);
                world.count(usize::from(at), usize::from(table), key, u64::from(n));
            }
            Operation::Turn { at } => {
                world.turn(usize::from(at));
            }
            Operation::Deliver { link, side, most } => {
                if let Some(link) = recent(&world, link) {
                    world.deliver(link, usize::from(side), 1 + usize::from(most % 400));
                }
            }
            Operation::Cut { link } => {
                if let Some(link) = recent(&world, link) {
                    world.cut(link);
                }
            }
            Operation::Wait { ms } => world.wait(u64::from(ms % 4000)),
            Operation::Settle => world.settle(),
            // A node that dies takes with it what nobody was told; and what it was about to be told it is told
            // again. What its peers hold of it is then theirs to teach.
            Operation::Restart { at } => {
                world.wait(20_000);
                world.restart(usize::from(at));
            }
        }
    }
    world.until("equal tables and one session", |world| {
        world.all_finished() && world.is_meshed() && world.are_equal()
    });
    assert_eq!((world.lag(0), world.lag(1)), (0, 0));
    // And it stays so.
    world.wait(10_000);
    assert!(world.are_equal() && world.is_meshed());
}

/// The last few connections, of which at most two or three are up.
fn recent(world: &World, pick: u8) -> Option<usize> {
    world.link_count().checked_sub(1 + usize::from(pick % 3))
}

#[test]
fn whatever_happens_the_tables_end_equal() {
    assert_eq!(TABLES.len(), 2);
    check!()
        .with_iterations(1000)
        .with_type::<Vec<Operation>>()
        .for_each(|operations| run(operations));
}
