//! In which order values of an entry arrive, in simulated time: what one of us says of it never goes back.

#[path = "pair/sim.rs"]
#[expect(dead_code, reason = "shared with the tests of pairs")]
mod sim;

use std::collections::BTreeMap;

use bolero::{TypeGenerator, check};
use sim::World;

/// What may happen to two sections, of which only the first changes anything.
#[derive(Clone, Debug, TypeGenerator)]
enum Operation {
    Count {
        key: u8,
    },
    Turn {
        at: bool,
    },
    Deliver {
        link: u8,
        side: bool,
        most: u16,
    },
    Cut {
        link: u8,
    },
    /// Time goes by, and both do what is due, so that calls cross.
    Wait {
        ms: u16,
    },
    /// The other side loses its connections without a word, and calls beside what is left of them.
    Forget,
    /// The other side starts anew, and is taught everything.
    Restart,
}

/// Nothing that the second section has of an entry becomes less, whatever happens to connections and lessons.
fn never_back(names: &[&'static str; 2], operations: &[Operation]) {
    let mut world = World::new(names);
    world.until("finished", World::all_finished);
    let mut seen = BTreeMap::new();
    for operation in operations {
        match *operation {
            Operation::Count { key } => world.count(0, 0, u32::from(key % 8), 1),
            Operation::Turn { at } => {
                world.turn(usize::from(at));
            }
            Operation::Deliver { link, side, most } => {
                if let Some(link) = world.link_count().checked_sub(1 + usize::from(link % 3)) {
                    world.deliver(link, usize::from(side), 1 + usize::from(most % 400));
                }
            }
            Operation::Cut { link } => {
                if let Some(link) = world.link_count().checked_sub(1 + usize::from(link % 3)) {
                    world.cut(link);
                }
            }
            Operation::Wait { ms } => {
                world.now = world.now + u32::from(ms % 4000);
                world.turn(0);
                world.turn(1);
            }
            Operation::Forget => world.forget(1),
            Operation::Restart => {
                world.restart(1);
                seen.clear();
            }
        }
        let now = world.entries(1);
        for (entry, value) in &now {
            let before = seen.get(entry).copied().unwrap_or(0);
            assert!(*value >= before, "{entry:?} went from {before} back to {value}");
        }
        seen = now;
    }
    world.until("equal", |world| world.all_finished() && world.are_equal());
}

#[test]
fn what_one_says_never_goes_back() {
    check!().with_iterations(200).with_type::<Vec<Operation>>().for_each(|operations| {
        never_back(&["a", "b"], operations);
        never_back(&["b", "a"], operations);
    });
}

/// Both call at once, and the first changes an entry before each of the first arrivals: in every order of those at the four ends (the last end twice),
/// nothing goes back, though one of the two connections is given up while both hold updates.
#[test]
fn a_session_that_is_given_up_is_not_heard_after_the_other_one() {
    for names in [["a", "b"], ["b", "a"]] {
        for order in 0..4_u32.pow(6) {
            let mut world = World::new(&names);
            world.nodes.iter().for_each(|node| node.roster.set_up_to_date());
            world.turn(0);
            world.turn(1);
            assert_eq!(world.link_count(), 2);
            let mut before = 0;
            let mut look = |world: &World| {
                let now = world.entries(1).get(&(0, "7".to_owned())).copied().unwrap_or(0);
                assert!(now >= before, "{names:?} {order:#o}: from {before} back to {now}");
                before = now;
            };
            for step in 0..7 {
                world.count(0, 0, 7, 1);
                let pick = usize::try_from(order >> (2 * step.min(5)) & 3).unwrap();
                world.step(pick / 2, pick % 2);
                look(&world);
            }
            world.settle();
            look(&world);
            world.until("equal", World::are_equal);
        }
    }
}
