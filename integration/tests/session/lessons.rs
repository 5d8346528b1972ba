//! Lessons: those that we teach, and the ends of those that we are taught.

use stktable_integration::peers::codec::{Control, Version};
use stktable_integration::peers::session::Event;

use super::script::{START, Scripted, Writer, control, count, roster, short, table};
use super::{T, U};

#[test]
fn a_lesson_is_everything_timed_and_live_updates_wait_for_its_confirmation() {
    let (t, u) = (table(T), table(U));
    let roster = roster(&[&t, &u]);
    let mut s = Scripted::up(&roster);
    s.take(&Writer::define(1, T).update(Some(1), Some(1000), 9, 9).bytes).unwrap();
    count(&t, 1, 1, START);
    s.sent();
    count(&t, 2, 2, START);
    let mut lesson = short(&s.take(&control(Control::ResyncRequest)).unwrap());
    lesson[1..4].sort();
    let expected = [
        "define /t",
        "timed 0 1000 9 9",
        "timed 0 600000 1 1",
        "timed 0 600000 2 2",
        "define /u",
        "ResyncPartial",
    ];
    assert_eq!(lesson, expected, "not up to date, so partial; empty tables are announced");
    // Until the end is confirmed: no live updates, acks are not even parsed.
    count(&t, 3, 3, START);
    assert_eq!(s.take(&[0x0a, 0x84, 0]).unwrap(), b"");
    assert_eq!(s.memory.acked(0), 0);
    let after = short(&s.take(&control(Control::ResyncConfirm)).unwrap());
    assert_eq!(after, ["define /t", "update 3 3 3"]);
    assert_eq!(s.memory.acked(0), 2, "what was taught is not sent again");
    assert!(s.events.contains(&Event::LessonTaught));
    // A confirmation that nobody waits for does nothing.
    assert_eq!(s.take(&control(Control::ResyncConfirm)).unwrap(), b"");
    // Up to date: finished. A second request begins anew, whether the first was answered or not.
    roster.set_up_to_date();
    let request = control(Control::ResyncRequest);
    for requests in [request.clone(), [&request[..], &request].concat(), request] {
        let lesson = short(&s.take(&requests).unwrap());
        assert_eq!((lesson.len(), lesson.last().unwrap().as_str()), (7, "ResyncFinished"));
    }
}

#[test]
fn a_change_during_a_lesson_of_what_was_never_pushed_is_not_lost() {
    let t = table(T);
    let mut s = Scripted::up(&roster(&[&t]));
    count(&t, 1, 1, START);
    let lesson = short(&s.take(&control(Control::ResyncRequest)).unwrap());
    assert_eq!(lesson, ["define /t", "timed 0 600000 1 1", "ResyncPartial"]);
    count(&t, 1, 1, START);
    assert_eq!(short(&s.take(&control(Control::ResyncConfirm)).unwrap()), ["update 2 1 2"]);
}

#[test]
fn what_is_over_is_not_told() {
    let t = table("table t type integer size 1k expire 10s store gpc0");
    let mut s = Scripted::up(&roster(&[&t]));
    count(&t, 1, 1, START);
    s.now = s.now + 9_999;
    count(&t, 2, 2, s.now);
    // Nobody has swept yet.
    s.now = s.now + 1;
    assert_eq!(short(&s.sent()), ["define /t", "update 2 2 2"]);
    let lesson = short(&s.take(&control(Control::ResyncRequest)).unwrap());
    assert_eq!(lesson, ["define /t", "timed 0 9999 2 2", "ResyncPartial"]);
}

#[test]
fn a_lesson_for_version_2_0_is_untimed() {
    let t = table(T);
    count(&t, 1, 1, START);
    let roster = roster(&[&t]);
    let mut s = Scripted::called(&roster);
    s.take(b"HAProxyS 2.0\nA\nB 1 1\n").unwrap();
    let lesson = short(&s.take(&control(Control::ResyncRequest)).unwrap());
    assert_eq!(lesson, ["define /t", "update 0 1 1", "ResyncPartial"]);
    assert_eq!(s.memory.version(), Version::V2_0);
}

#[test]
fn every_end_of_a_lesson_is_confirmed_once_after_the_acks() {
    let t = table(T);
    let mut s = Scripted::up(&roster(&[&t]));
    s.session.request_resync();
    count(&t, 1, 1, START);
    assert_eq!(short(&s.sent()), ["ResyncRequest"], "live updates wait");
    let end = Writer::define(1, T).update(Some(9), Some(5), 2, 2).control(Control::ResyncPartial);
    let end = end.control(Control::ResyncFinished);
    let answer = short(&s.take(&end.bytes).unwrap());
    assert_eq!(answer, ["ack 1 9", "define /t", "update 1 1 1", "ResyncConfirm", "ResyncConfirm"]);
    let ends: Vec<_> =
        s.events.iter().filter(|event| matches!(event, Event::LessonEnded { .. })).collect();
    assert_eq!(
        ends,
        [
            &Event::LessonEnded { finished: false, asked: true },
            &Event::LessonEnded { finished: true, asked: false },
        ]
    );
}
