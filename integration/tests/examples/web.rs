//! axum and hyper.

use crate::process::{Example, Reply};

/// Asks until it is refused, and returns how often it was let in before. More than five get in only if they take more than ten seconds.
fn asks(example: &Example) -> (usize, Reply) {
    for let_in in 0..1000 {
        let reply = example.get("/", &[]);
        if reply.status != 200 {
            return (let_in, reply);
        }
        assert_eq!(reply.body, "hello\n");
    }
    panic!("never refused");
}

#[test]
fn axum_lets_five_in_and_refuses_the_next() {
    let example = Example::start("axum", &[]);
    let (let_in, refused) = asks(&example);
    assert!(let_in >= 5, "{let_in}");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.field("content-type"), Some("application/problem+json"));
    assert!(refused.body.contains("\"violated-policies\":[\"requests\"]"), "{refused:?}");
    assert_eq!(
        refused.field("ratelimit-policy"),
        Some("\"requests\";q=5;w=10, \"open\";q=3;qu=\"concurrent-requests\"")
    );
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(example.get("/health", &[]).status, 200, "below the layer");
}

#[test]
fn hyper_lets_five_in_and_refuses_the_next() {
    let example = Example::start("hyper", &[]);
    let (let_in, refused) = asks(&example);
    assert!(let_in >= 5, "{let_in}");
    assert_eq!(refused.status, 429);
    assert!(refused.field("retry-after").is_some());
    assert!(
        refused.body.contains("\"violated-policies\":[\"clients.http_req_rate\"]"),
        "{refused:?}"
    );
}
