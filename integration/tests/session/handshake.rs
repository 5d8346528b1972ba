//! How sessions begin, and what time does to them.

use stktable_integration::peers::codec::{Control, Status, StatusLine, Version};
use stktable_integration::peers::session::{Event, PeerMemory, Reason, Stage};

use super::T;
use super::script::{START, Scripted, Writer, control, count, roster, short, table};

#[test]
fn heartbeats_fill_silence() {
    let t = table(T);
    let mut s = Scripted::up(&roster(&[&t]));
    assert_eq!(s.session.poll_timeout(), Some(START + 3000));
    assert_eq!(s.wait(2999), b"");
    assert_eq!(s.wait(1), [0, 4]);
    s.take(&control(Control::Heartbeat)).unwrap();
    // An update counts as well.
    s.now = s.now + 2000;
    count(&t, 1, 1, s.now);
    assert_eq!(short(&s.sent()).len(), 2);
    s.take(&control(Control::Heartbeat)).unwrap();
    assert_eq!(s.wait(2999), b"");
    assert_eq!(s.wait(1), [0, 4]);
    let counters = s.session.status().counters;
    assert_eq!((counters.heartbeats_sent, counters.heartbeats_received), (2, 2));
    // One that is due and cannot be written is not asked for again and again.
    s.take(&control(Control::Heartbeat)).unwrap();
    s.now = s.now + 3000;
    s.session.handle_timeout(s.now);
    assert!(s.session.poll_timeout().unwrap() > s.now);
    // After it replaced another session, at once.
    let mut s = Scripted::called(&roster(&[&t]));
    s.replaces = true;
    let sent = s.take(b"HAProxyS 2.1\nA\nB 1 1\n").unwrap();
    assert!(sent.starts_with(b"200\n"));
    let mut caller = Scripted::caller(&roster(&[]), &PeerMemory::new(&roster(&[]), b"B"));
    caller.take(b"200\n").unwrap();
    caller.session.ask_heartbeat();
    assert_eq!(caller.sent(), [0, 4]);
}

#[test]
fn a_silent_peer_is_dead_and_any_byte_is_life() {
    let mut s = Scripted::up(&roster(&[&table(T)]));
    s.wait(4999);
    assert!(!s.closed());
    // Part of a message.
    s.take(&[0x0a]).unwrap();
    s.wait(4999);
    assert!(!s.closed());
    // The same byte shown again is not another one.
    s.take(&[]).unwrap();
    assert_eq!(s.wait(1), b"", "no message, not even a heartbeat");
    assert_eq!(s.events.last(), Some(&Event::Closed(Reason::Dead)));
    assert_eq!((s.session.poll_timeout(), s.session.status().stage), (None, Stage::Over));
}

#[test]
fn handshakes_are_bounded() {
    let mut s = Scripted::called(&roster(&[]));
    for (at, byte) in b"HAProxyS 2.1".iter().enumerate() {
        s.take(&[*byte]).unwrap();
        assert_eq!(s.closed(), at * 500 >= 5000);
        s.wait(500);
    }
    assert!(s.events.contains(&Event::Closed(Reason::HandshakeTimeout)));
    let mut s = Scripted::caller(&roster(&[]), &PeerMemory::new(&roster(&[]), b"B"));
    s.wait(5000);
    assert!(s.closed());
    let mut s = Scripted::called(&roster(&[]));
    let error = s.take(&[b'x'; 20_000]).unwrap_err();
    assert_eq!(s.sent(), b"", "too long: no status");
    assert!(error.to_string().contains("unknown peer"), "{error}");
}

#[test]
fn callers_heed_the_status() {
    let roster = roster(&[&table(T)]);
    let memory = PeerMemory::new(&roster, b"B");
    let mut s = Scripted::caller(&roster, &memory);
    assert_eq!(s.sent(), b"HAProxyS 2.1\nB\nA 7 1 stktabled-compare\n");
    s.take(b"502\n").unwrap();
    let refused = Reason::RefusedBy(StatusLine::Known(Status::BadVersion));
    assert_eq!(s.events.last(), Some(&Event::Closed(refused)));
    let mut s = Scripted::caller(&roster, &memory);
    assert_eq!(s.sent(), b"HAProxyS 2.0\nB\nA 7 1 stktabled-compare\n");
    for (status, line) in
        [(&b"300\n"[..], StatusLine::Known(Status::TryAgain)), (b"huh\n", StatusLine::Garbage)]
    {
        let mut s = Scripted::caller(&roster, &memory);
        s.take(status).unwrap();
        assert_eq!(s.events.last(), Some(&Event::Closed(Reason::RefusedBy(line))));
    }
    // Messages may come with the status.
    let w = Writer::define(1, T).update(Some(1), None, 1, 1);
    s.sent();
    assert_eq!(short(&s.take(&[b"200\n", &w.bytes[..]].concat()).unwrap()), ["ack 1 1"]);
    // We announced 2.0, so a lesson is untimed; who calls with 2.1 takes it.
    let lesson = short(&s.take(&control(Control::ResyncRequest)).unwrap());
    assert_eq!(lesson, ["define /t", "update 0 1 1", "ResyncPartial"]);
    Scripted::up_with(&roster, memory.clone());
    assert_eq!(memory.version(), Version::V2_1);
}

#[test]
fn a_second_predecessor_is_told_to_try_again() {
    let mut s = Scripted::called(&roster(&[]));
    s.busy = true;
    assert_eq!(s.take(b"HAProxyS 2.1\nA\nA 1 1\n").unwrap(), b"300\n");
    assert!(s.closed());
}
