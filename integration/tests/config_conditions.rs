//! Conditional blocks of a configuration: which lines count, and what is said where nobody but HAProxy knows.

#[path = "support/config.rs"]
mod support;

use stktable_integration::config::{self, Context};
use support::{good, quiet, refused};

#[test]
fn what_depends_on_haproxy_alone_is_refused() {
    let block = |inner: &str| format!("peers p\n .if feature(X)\n{inner}\n .endif\n peer a *:1\n");
    let message = refused(&block(" table t type ip size 1\n peer a *:1"), &["2:2 .if"]);
    assert!(message.contains("`table` on line 3"), "{message}");
    refused(&block("peers q"), &["2:2 .if"]);
    refused(&block(".if 1\n peer b *:2\n .endif"), &["2:2 .if"]);
    // A block that may change the section leaves a line in one section or the other.
    let message =
        refused("peers p\n.if feature(X)\nfrontend f\n.endif\n peer a *:1\n", &["2:1 .if"]);
    assert!(message.contains("`peer` on line 5"), "{message}");
    refused("peers p\n.if 1\n", &["2:1 .if"]);
    refused("peers p\n .endif\n.else\n", &["2:2 .endif", "3:1 .else"]);
}

#[test]
fn conditions_around_other_lines_are_passed_over() {
    let config = quiet(
        "frontend f\n.if feature(QUIC)\n bind quic4@:443\n.else\n bind :443\n.endif\n\
         stick-table type ip size 1\n.notice \"x\"\n\
         .if feature(X)\nfrontend g\n bind :1\n.endif\npeers p\n peer a *:1\n",
    );
    assert_eq!((config.proxy_tables.len(), config.peers.len()), (1, 1));
}

#[test]
fn conditions_choose_lines() {
    let text = "peers p\n peer a *:1\n\
         .if defined(NOPE) || streq(\"${HOST}\",west)\n table t type ip size 1k\n\
         .elif 1\n table t type ip size 2k\n .if 0\n table u type ip size 1 nonsense\n .foo(\n .endif\n\
         .else\n table t type ip size 3k\n #stktabled: nonsense\n.endif\n\
         .if 0\nfrontend f\n.alert \"not said\"\n.endif\n table v type ip size 1\n";
    for (host, size) in [("west", 1024), ("east", 2048)] {
        let environment = |name: &str| (name == "HOST").then(|| host.to_owned());
        let context = Context { environment: &environment, ..Context::EMPTY };
        let config = config::parse(&[("x.cfg", text.as_bytes())], &context).unwrap();
        assert_eq!(config.warnings, []);
        let tables: Vec<_> =
            config.peers[0].tables.iter().map(|table| table.declaration.size).collect();
        assert_eq!(tables, [size, 1], "{host}");
    }
}

#[test]
fn conditions_that_are_wrong_are_said() {
    let message = refused("peers p\n.if defined(A) TRUE\n peer a *:1\n.endif\n", &["2:16 TRUE"]);
    assert!(message.contains("expected `&&`, `||` or the end"), "{message}");
    refused("global\n.if 1\n.else x\n.elif 1\n.endif y\n", &["3:7 x", "4:1 .elif", "5:8 y"]);
    refused("global\n.if 0\n.elif \"\n.endif\n", &["3:7 \""]);
    let message = refused("global\n.alert \"go away\"\n", &["2:1 .alert"]);
    assert!(message.contains("the file says: go away"), "{message}");
    let config =
        good("global\n.warning hm\n.if feature(X)\n.alert x\n.endif\n.if 0\n.elif 0\n.endif\n");
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn a_socket_under_a_condition_is_not_served() {
    let config = good("global\n.if feature(X)\n stats socket /run/a.sock level admin\n.endif\n");
    assert_eq!(config.stats_sockets.len(), 0);
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings[0].contains(":3:2: warning: `stats`"), "{warnings:?}");
    assert_eq!(warnings.len(), 1);
}
