//! A stock HAProxy and `stktabled` share tables: both are started as an operator would start them, from one
//! configuration file.
//!
//! Needs `haproxy` in the path. Where there is none the test says so and checks nothing, unless
//! `STKTABLED_REQUIRE_HAPROXY` is set: then it fails.

#[path = "../tls/certificates.rs"]
#[expect(dead_code, reason = "shared with the tests of TLS")]
mod certificates;
mod cli;
mod mesh;
mod process;
mod successor;
mod sums;

use std::collections::BTreeMap;

use cli::{Row, Stats, same};
use process::{Haproxy, Lab, Stktabled, until};

/// Returns what the tables of both sides hold, if it is the same.
fn equal(haproxy: &Haproxy, stktabled: &Stktabled, tables: &[&str]) -> Result<(), String> {
    for table in tables {
        let theirs = haproxy.stats().table(table)?;
        let ours = stktabled.stats().table(table)?;
        same(table, &theirs, &ours)?;
    }
    Ok(())
}

const TABLES: [&str; 6] =
    ["mesh/t_ip", "mesh/t_ip6", "mesh/t_int", "mesh/t_str", "mesh/t_bin", "web"];

/// Fills HAProxy's tables over its stats socket.
fn fill(stats: &Stats) {
    for number in 1..=20 {
        stats.run(&format!(
            "set table mesh/t_ip key 192.0.2.{number} data.server_id {number} data.gpt0 7 data.gpc0 {} \
             data.conn_cnt {number} data.conn_cur 3 data.sess_cnt 5 data.http_err_cnt 4294967295 \
             data.bytes_in_cnt 123456789012 data.bytes_out_cnt {} data.gpc1 -1 data.gpc0_rate {}",
            240 * number,
            u64::MAX / 2 - number,
            1000 * number,
        ));
        stats.run(&format!("set table mesh/t_ip6 key 2001:db8::{number:x} data.gpc0 {number}"));
        stats.run(&format!(
            "set table mesh/t_int key {} data.gpc0 {number}",
            u64::from(u32::MAX) / number
        ));
        stats.run(&format!("set table mesh/t_str key client-{number} data.http_req_cnt {number}"));
    }
    stats.run("set table mesh/t_str key caf\u{e9} data.http_req_cnt 1");
}

#[test]
fn tables_converge_both_ways_and_after_every_kill() {
    let Some(lab) = Lab::new() else { return };
    let mut haproxy = lab.haproxy();
    let mut stktabled = lab.stktabled();

    // HAProxy teaches: what was set on its socket, and what real requests counted.
    fill(&haproxy.stats());
    for number in 0..10 {
        let path = format!("/?ip=10.1.0.{number}&b=binary-{number}&web=yes");
        assert!(lab.get(&path).starts_with("HTTP/1.1 200"), "{path}");
        lab.get(&format!("/?ip=10.1.0.{number}&e=404"));
    }
    until("stktabled has learned everything", || {
        equal(&haproxy, &stktabled, &TABLES)?;
        let rows = stktabled.stats().table("mesh/t_ip")?;
        let count = |number: &str| {
            rows.get(&format!("10.1.0.{number}")).map(|row| row.value("http_req_cnt"))
        };
        let expected =
            |got, want| if got == want { Ok(()) } else { Err(format!("{got:?}, not {want:?}")) };
        expected(count("3"), Some("2".to_owned()))?;
        expected(rows.get("192.0.2.7").map(|row| row.value("conn_cur")), Some("0".to_owned()))?;
        expected(
            Some(stktabled.stats().table("mesh/t_bin")?.len().to_string()),
            Some("10".to_owned()),
        )?;
        expected(Some(stktabled.stats().table("web")?.len().to_string()), Some("1".to_owned()))
    });

    // stktabled teaches.
    let ours = stktabled.stats();
    for number in 1..=20 {
        ours.run(&format!(
            "set table mesh/t_ip key 198.51.100.{number} data.gpc0 {number} data.gpc0_rate 50"
        ));
        ours.run(&format!("set table mesh/t_ip6 key 2001:db8:1::{number} data.gpc0 1"));
        ours.run(&format!("set table mesh/t_int key {number} data.gpc0 {number}"));
        ours.run(&format!("set table mesh/t_str key ours-{number} data.http_req_cnt {number}"));
    }
    // What HAProxy taught is changed here, and goes back.
    ours.run("set table mesh/t_ip key 192.0.2.7 data.gpc0 77777 data.gpt0 9");
    until("HAProxy has learned everything", || {
        equal(&haproxy, &stktabled, &TABLES)?;
        let rows = haproxy.stats().table("mesh/t_ip")?;
        let seen = rows.get("192.0.2.7").map(|row| (row.value("gpc0"), row.value("gpt0")));
        if seen != Some(("77777".to_owned(), "9".to_owned())) {
            return Err(format!("192.0.2.7: {seen:?}"));
        }
        if rows.len() == 50 { Ok(()) } else { Err(format!("{} rows", rows.len())) }
    });
    let before = snapshot(&stktabled.stats());

    // Each side dies in turn, and is taught again by the other.
    stktabled.kill();
    haproxy.stats().run("set table mesh/t_int key 4242 data.gpc0 1");
    stktabled = lab.stktabled();
    until("stktabled is whole again after kill -9", || {
        equal(&haproxy, &stktabled, &TABLES)?;
        contains(&stktabled.stats(), &before, "mesh/t_int", "4242")
    });
    haproxy.kill();
    stktabled.stats().run("set table mesh/t_int key 4343 data.gpc0 1");
    haproxy = lab.haproxy();
    until("HAProxy is whole again after kill -9", || {
        equal(&haproxy, &stktabled, &TABLES)?;
        contains(&haproxy.stats(), &before, "mesh/t_int", "4343")
    });

    // An entry goes away on both sides when it is not touched.
    haproxy.stats().run("set table mesh/t_short key 7 data.gpc0 1");
    until("the short-lived entry came over", || {
        let rows = stktabled.stats().table("mesh/t_short")?;
        if rows.contains_key("7") { Ok(()) } else { Err("not yet".to_owned()) }
    });
    until("it expired on both sides", || {
        for (side, stats) in [("HAProxy", haproxy.stats()), ("stktabled", stktabled.stats())] {
            let used = stats.used("mesh/t_short")?;
            if used != 0 {
                return Err(format!("{side} still has {used}"));
            }
        }
        Ok(())
    });
}

/// Every key of every table.
fn snapshot(stats: &Stats) -> BTreeMap<String, Vec<String>> {
    let rows = |table: &str| stats.table(table).unwrap().into_keys().collect();
    TABLES.iter().map(|table| ((*table).to_owned(), rows(table))).collect()
}

/// Whether every key of a snapshot is there, and one more in `table`.
fn contains(
    stats: &Stats,
    before: &BTreeMap<String, Vec<String>>,
    table: &str,
    more: &str,
) -> Result<(), String> {
    for (name, keys) in before {
        let rows: BTreeMap<String, Row> = stats.table(name)?;
        if let Some(lost) = keys.iter().find(|key| !rows.contains_key(*key)) {
            return Err(format!("{name} lost {lost}"));
        }
        if name == table && !rows.contains_key(more) {
            return Err(format!("{name} lacks {more}"));
        }
    }
    Ok(())
}

#[test]
fn a_live_pair_stays_up_while_idle() {
    let Some(lab) = Lab::new() else { return };
    let haproxy = lab.haproxy();
    let stktabled = lab.stktabled();
    haproxy.stats().run("set table mesh/t_int key 1 data.gpc0 1");
    until("connected", || {
        equal(&haproxy, &stktabled, &["mesh/t_int"]).and_then(|()| {
            let rows = stktabled.stats().table("mesh/t_int")?;
            if rows.len() == 1 { Ok(()) } else { Err("nothing yet".to_owned()) }
        })
    });
    let connections = |haproxy: &Haproxy| {
        let peers = haproxy.stats().ask("show peers");
        let counts = peers.split_whitespace().filter_map(|word| word.strip_prefix("new_conn="));
        (counts.map(str::to_owned).collect::<Vec<_>>(), peers.contains("last_status=ESTA"))
    };
    // HAProxy's first call, made before we listened, is tried again a second later, and may meet ours: that costs both
    // (peers protocol, section 2.5). A session of four seconds has no such call beside it.
    until("the session has outlived every call beside it", || {
        let peers = haproxy.stats().ask("show peers");
        let age = peers.split_whitespace().find_map(|word| word.strip_prefix("last_hdshk="));
        let settled = age.is_some_and(|age| matches!(age, "4s" | "5s" | "6s" | "7s"));
        let up = peers.contains("last_status=ESTA");
        if settled && up { Ok(()) } else { Err(format!("{age:?}, up: {up}")) }
    });
    let (before, _) = connections(&haproxy);
    // Longer than HAProxy's patience with a silent peer, twice.
    process::idle(std::time::Duration::from_secs(11));
    let (after, established) = connections(&haproxy);
    assert_eq!(before, after, "no session was lost");
    assert!(established);
}
