//! Lines of our own in a configuration, which HAProxy takes for comments.

#[path = "support/config.rs"]
mod support;

use support::{good, in_peers, quiet, refused, unresolved};

#[test]
fn lines_of_our_own_stand_in_comments() {
    let config = quiet(
        "peers p\n peer a 127.0.0.1:1\n peer b 127.0.0.1:2\n\
         \t#stktabled: accept-from 192.0.2.0/24,2001:db8::/32 127.0.0.1 # and no more\n\
         #stktabled:accept-peers b\n #stktabled: verify-peer-names off\n #stktabled: max-sessions 7\n\
         #stktabled: hello-timeout 2s\n #stktabled: max-message 8k\n #stktabled: max-tables 3\n\
         #stktabled: max-names 0\n\
         #stktabled: resolve-every 1m\n #stktabled: learn-tables 4 size 2k\n # stktabled: nothing of ours\n\
         peers q\n disabled\n",
    );
    let own = &config.peers[0].own;
    let networks: Vec<_> = own.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["192.0.2.0/24", "2001:db8::/32", "127.0.0.1/32"]);
    assert_eq!(own.peers.iter().map(|named| named.text.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(!own.bind_names && config.peers[1].own.bind_names);
    let limits = own.limits;
    assert_eq!((limits.sessions, limits.handshake_ms, limits.message_bytes), (Some(7), 2000, 8192));
    assert_eq!((limits.tables, limits.names), (3, 0));
    assert_eq!((own.resolve_ms, own.learn), (60_000, Some((4, 2048))));
    assert_eq!(config.resolve("a").unwrap().sections[0].own, *own);
}

#[test]
fn lines_of_our_own_are_refused_at_their_words() {
    for (line, place) in [
        ("accept-frm 1.2.3.4", "15 accept-frm"),
        ("accept-from", "15 accept-from"),
        ("accept-from 1.2.3.4/33", "27 1.2.3.4/33"),
        ("accept-peers", "15 accept-peers"),
        ("verify-peer-names perhaps", "33 perhaps"),
        ("max-sessions 0", "28 0"),
        ("max-sessions", "15 max-sessions"),
        ("max-sessions 3 4", "30 4"),
        ("hello-timeout 11m", "29 11m"),
        ("hello-timeout 4294967297", "29 4294967297"),
        ("max-message 255", "27 255"),
        ("max-message 61k", "27 61k"),
        ("max-tables 0", "26 0"),
        ("max-names 129", "25 129"),
        ("max-names 'x", "25 '"),
        ("resolve-every 99ms", "29 99ms"),
        ("learn-tables", "15 learn-tables"),
        ("learn-tables 4 of 5", "33 5"),
        ("learn-tables 4 size", "30 size"),
        ("learn-tables 0 size 1k", "28 0"),
        ("learn-tables 1 size 0", "35 0"),
    ] {
        let message = refused(&in_peers(&format!("#stktabled: {line}")), &[&format!("4:{place}")]);
        assert!(message.contains("expected"), "{message}");
    }
    refused("#stktabled: max-tables 3\n", &["1:13 max-tables"]);
    refused("frontend f\n  #stktabled: max-tables 3\n", &["2:15 max-tables"]);
    refused(&in_peers("#stktabled: # nothing"), &["4:14 #stktabled:"]);
    refused("peers p\n.if feature(X)\n #stktabled: max-tables 3\n.endif\n", &["3:14 max-tables"]);
    unresolved(&in_peers("#stktabled: accept-peers a c"), "a", &["4:30 c"]);
    let text = "#stktabled: ordered-tables t p/u\n table t type ip size 1\n table u type ip size 1\n table v type ip size 1";
    let setup = good(&in_peers(text)).resolve("a").unwrap();
    assert!(setup.tables.iter().map(|table| table.ordered).eq([true, true, false]));
    unresolved(
        &in_peers("#stktabled: ordered-tables nope\n table t type ip size 1"),
        "a",
        &["4:30 nope"],
    );
}
