//! axum and hyper.

use crate::process::{Example, PATIENCE};

/// Asks until it is refused, and waits as it is told.
///
/// The limit is 5 in ten seconds. More than 5 may get through if the machine takes seconds for these few requests; the tenth in a row is
/// refused at any speed at which a test ends.
fn asks(example: &Example) -> (Vec<u16>, crate::process::Reply) {
    let mut statuses = Vec::new();
    let began = std::time::Instant::now();
    loop {
        let reply = example.get("/", &[]);
        statuses.push(reply.status);
        if reply.status != 200 {
            return (statuses, reply);
        }
        assert_eq!(reply.body, "hello\n");
        assert!(began.elapsed() < PATIENCE, "never refused: {statuses:?}");
    }
}

#[test]
fn axum_lets_five_in_and_refuses_the_next() {
    let example = Example::start("axum", &[]);
    let (statuses, refused) = asks(&example);
    assert!(statuses.len() > 5, "{statuses:?}");
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
    let (statuses, refused) = asks(&example);
    assert!(statuses.len() > 5, "{statuses:?}");
    assert_eq!(refused.status, 429);
    assert!(refused.field("retry-after").is_some());
    assert!(
        refused.body.contains("\"violated-policies\":[\"clients.http_req_rate\"]"),
        "{refused:?}"
    );
}
