//! The HTTP API over a real socket. Every answer is held against the OpenAPI document.

mod access;
mod served;

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};
use served::Served;
use stktable::{DataType, Key, KeySpec};

const TABLES: &str = "peers mesh
  peer a 127.0.0.1:0
  table clients type ip size 100k expire 10m store gpc(3),http_req_rate(10s),bytes_in_cnt,server_key,conn_cur
  table names type string len 40 size 1k expire 1h store gpc0,gpt0
  #stktabled: ordered-tables clients
";
const CLIENTS: &str = "/v1/tables/mesh%2Fclients";
const NAMES: &str = "/v1/tables/mesh%2Fnames";

fn number(entry: &Value, ty: &str) -> i64 {
    entry["data"][ty].as_i64().unwrap_or_else(|| panic!("{ty}: {entry}"))
}

fn keys(page: &Value) -> Vec<String> {
    let entries = page["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_document_is_whole() {
    let text = stktable_integration::http::openapi();
    let read = oas3::from_json(&text).unwrap();
    assert_eq!(read.validate_version().unwrap().major, 3);
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{method} {path}: a second {id}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path: BTreeSet<_> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                .collect();
            let named =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            assert_eq!(in_path, named.map(str::to_owned).collect(), "{method} {path}");
        }
    }
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(values) => open.extend(values),
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    let to = to.strip_prefix('#').unwrap();
                    assert!(document.pointer(to).is_some(), "{to}");
                }
                open.extend(members.values());
            }
            _ => {}
        }
    }
}

#[test]
fn every_operation_answers_as_the_document_says() {
    let served = Served::start(TABLES);
    let all = served.get("/v1/tables");
    assert_eq!(all[0]["name"], "mesh/clients");
    assert_eq!(served.get(CLIENTS), all[0]);
    assert_eq!(served.get("/v1/info")["name"], "stktabled");
    assert_eq!(served.get("/v1/peers")[0]["local_peer"], "a");
    assert_eq!(served.get("/v1/aggregates"), json!([]));
    let one = format!("{CLIENTS}/entries/192.0.2.7");
    assert_eq!(served.refused("GET", &one, None), (404, "nothing is known of ip 192.0.2.7".into()));
    let change =
        json!({"data": {"gpc": [1, 2, 3], "server_key": "web1", "bytes_in_cnt": u64::MAX}});
    let (status, put) = served.ask("PUT", &one, Some(change));
    assert_eq!(status, 201);
    let data = json!({
        "gpc": [1, 2, 3], "server_key": "web1", "bytes_in_cnt": u64::MAX, "http_req_rate": 0, "conn_cur": 0
    });
    assert_eq!((&put["data"], &put["trackers"]), (&data, &json!(0)));
    let change = json!({"data": {"gpc[1]": 9, "server_key": null}, "expires_in_ms": 5_000});
    let (status, put) = served.ask("PUT", &one, Some(change));
    assert_eq!(
        (status, &put["data"]["gpc"], &put["data"]["server_key"]),
        (200, &json!([1, 9, 3]), &Value::Null)
    );
    assert!(put["expires_in_ms"].as_u64().unwrap() <= 5_000, "{put}");
    assert_eq!(served.get(&one)["data"], put["data"]);
    // Peers will be told of both.
    let key = KeySpec::IP.parse("192.0.2.7").unwrap();
    let table = served.table("mesh/clients");
    assert_eq!(table.get(&key, served.clock.now()).unwrap().update_seq(), table.last_update());
    assert_eq!(served.ask("DELETE", &one, None), (204, Value::Null));
    assert_eq!(served.ask("DELETE", &one, None).0, 404);
    let count = json!({"key": "192.0.2.8", "count": {"http_req": 3}});
    let (status, tracked) = served.ask("POST", &format!("{CLIENTS}/track"), Some(count));
    assert_eq!(
        (status, number(&tracked, "http_req_rate"), &tracked["trackers"]),
        (200, 3, &json!(0))
    );
    assert_eq!(keys(&served.get(&format!("{CLIENTS}/entries"))), ["192.0.2.8"]);
    let cleared = served.ask("DELETE", &format!("{CLIENTS}/entries?all=true"), None);
    assert_eq!(cleared, (200, json!({"removed": 1, "in_use": 0})));
    assert_eq!(served.events("/v1/events?every_ms=100").next().unwrap().0, "overview");
    assert_eq!(served.events(&format!("{CLIENTS}/events")).next().unwrap().0, "changes");
    let mut told = BTreeSet::new();
    for (path, item) in served.document["paths"].as_object().unwrap() {
        told.extend(
            item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())),
        );
    }
    assert_eq!(*served.asked.lock().unwrap(), told, "asked, and told");
}

#[test]
fn pages_have_every_entry_once() {
    let served = Served::start(TABLES);
    let (table, now) = (served.table("mesh/clients"), served.clock.now());
    for number in 0..1_000_u32 {
        let key = Key::from(std::net::Ipv4Addr::from(0x0a00_0000 + number));
        table.get_or_create(&key, now).unwrap().set(DataType::Gpc, 0, number.into(), now).unwrap();
    }
    for name in (0..300).map(|number| format!("name {number}/é")) {
        let key = KeySpec::string(40).unwrap().key(name.as_bytes()).unwrap();
        served.table("mesh/names").get_or_create(&key, now).unwrap();
    }
    for (table, limit, entries) in [(CLIENTS, 300, 1_000), (CLIENTS, 100, 1_000), (NAMES, 7, 300)] {
        let (mut seen, mut next, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = served.get(&format!("{table}/entries?limit={limit}{next}"));
            pages += 1;
            seen.extend(keys(&page));
            match page["next"].as_str() {
                Some(path) => next = format!("&after={path}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), entries, "{table}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), entries, "{table}");
        assert!(pages >= entries / limit, "{pages}");
    }
    // These are in their order, as the configuration asks for.
    let page = served.get(&format!("{CLIENTS}/entries?prefix=10.0.1.0/29"));
    assert_eq!(keys(&page), (0..8).map(|last| format!("10.0.1.{last}")).collect::<Vec<_>>());
    let page =
        served.get(&format!("{CLIENTS}/entries?filter=gpc+ge+10&filter=data.gpc%5B0%5D%20lt%2013"));
    assert_eq!(keys(&page), ["10.0.0.10", "10.0.0.11", "10.0.0.12"]);
    let page = served.get(&format!("{CLIENTS}/entries?sort=gpc&limit=3"));
    assert_eq!(keys(&page), ["10.0.3.231", "10.0.3.230", "10.0.3.229"]);
    assert_eq!(page["next"], Value::Null);
    // An answer of many pieces is one document.
    let page = served.get(&format!("{CLIENTS}/entries?limit=100000"));
    assert_eq!((keys(&page).len(), &page["next"]), (1_000, &Value::Null));
    let (status, cleared) = served.ask(
        "DELETE",
        &format!("{CLIENTS}/entries?prefix=10.0.1.0/24&filter=gpc+lt+300"),
        None,
    );
    assert_eq!((status, cleared), (200, json!({"removed": 44, "in_use": 0})));
    assert_eq!(table.used(), 956);
}

#[test]
fn a_key_may_be_any_bytes() {
    let served = Served::start(TABLES);
    for (path, key) in [
        ("%3Cb%3E%20%26%22%27", "<b> &\"'"),
        ("a%2Fb%3Fc%23d%25", "a/b?c#d%"),
        ("%FF%C3%28", "\\xFF\\xC3("),
        ("na%C3%AFve", "naïve"),
        ("..", ".."),
    ] {
        let at = format!("{NAMES}/entries/{path}");
        // A client would tidy up the last one, were it not written so.
        let at = at.replace("/..", "/%2E%2E");
        let (status, put) = served.ask("PUT", &at, Some(json!({"data": {"gpc0": 5}})));
        assert_eq!((status, put["key"].as_str().unwrap()), (201, key));
        let entries = format!("{NAMES}/entries");
        let listed = served.get(&entries);
        assert_eq!(keys(&listed), [key]);
        let addressed = listed["entries"][0]["path"].as_str().unwrap().to_owned();
        if key != ".." {
            assert_eq!(number(&served.get(&format!("{NAMES}/entries/{addressed}")), "gpc0"), 5);
            assert_eq!(served.ask("DELETE", &format!("{NAMES}/entries/{addressed}"), None).0, 204);
        } else {
            assert_eq!(served.ask("DELETE", &at, None).0, 204);
        }
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_done() {
    let served = Served::start(TABLES);
    let all = [
        (
            "GET",
            "/v1/tables/nope",
            None,
            404,
            "no table `nope`; there are: mesh/clients, mesh/names",
        ),
        ("GET", "/v1/tables/mesh%2Fclients/entries/x", None, 400, "`x` is no key of type ip"),
        ("GET", "/v1/tables/mesh%2Fclients/entries?limt=1", None, 400, "`limt`: no such parameter"),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?limit=0",
            None,
            400,
            "`limit=0`: expected a number from 1",
        ),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?limit=1&limit=2",
            None,
            400,
            "`limit` is there twice",
        ),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?sort=gpc&limit=10001",
            None,
            400,
            "from 1 to 10000",
        ),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?sort=gpc0",
            None,
            400,
            "`gpc0`: Data type not stored",
        ),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?sort=gpc&after=1.2.3.4",
            None,
            400,
            "not with `sort`",
        ),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?prefix=10.0.0.0/33",
            None,
            400,
            "`prefix=10.0.0.0/33`: expected a network",
        ),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?filter=gpc",
            None,
            400,
            "`filter=gpc`: expected a data type",
        ),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?filter=gpc+xx+1",
            None,
            400,
            "one of eq ne le ge lt gt",
        ),
        (
            "GET",
            "/v1/tables/mesh%2Fclients/entries?filter=gpc%5B3%5D+gt+1",
            None,
            400,
            "index out of range",
        ),
        ("GET", "/v1/tables/mesh%2Fclients/events?every_ms=5", None, 400, "from 100 to 60000"),
        ("GET", "/v1/events?every_ms=x", None, 400, "`every_ms=x`"),
        ("DELETE", "/v1/tables/mesh%2Fclients/entries", None, 400, "which entries?"),
        ("DELETE", "/v1/tables/mesh%2Fclients/entries?all=yes", None, 400, "`all`: expected true"),
        (
            "DELETE",
            "/v1/tables/mesh%2Fclients/entries?all=true&prefix=1.0.0.0/8",
            None,
            400,
            "goes without",
        ),
        (
            "PUT",
            "/v1/tables/mesh%2Fclients/entries/192.0.2.7",
            Some(json!({"data": {"gpc": [1, 2, 3, 4]}})),
            400,
            "`gpc[3]`: index out of range",
        ),
        (
            "PUT",
            "/v1/tables/mesh%2Fclients/entries/192.0.2.7",
            Some(json!({"data": {"gpc": -1}})),
            400,
            "`gpc` cannot be -1: expected a whole number from 0 to 4294967295",
        ),
        (
            "PUT",
            "/v1/tables/mesh%2Fclients/entries/192.0.2.7",
            Some(json!({"data": {"gpc": 1.5}})),
            400,
            "expected a whole number",
        ),
        (
            "PUT",
            "/v1/tables/mesh%2Fclients/entries/192.0.2.7",
            Some(json!({"data": {"server_key": 5}})),
            400,
            "expected a name or null",
        ),
        (
            "PUT",
            "/v1/tables/mesh%2Fclients/entries/192.0.2.7",
            Some(json!({"data": {"gpc": "5"}})),
            400,
            "expected a number",
        ),
        (
            "PUT",
            "/v1/tables/mesh%2Fclients/entries/192.0.2.7",
            Some(json!({"values": {}})),
            422,
            "unknown field `values`",
        ),
        (
            "POST",
            "/v1/tables/mesh%2Fclients/track",
            Some(json!([{"key": "192.0.2.7", "count": {"http_req": 1}}, {"key": "x"}])),
            400,
            "`x` is no key",
        ),
        (
            "POST",
            "/v1/tables/mesh%2Fclients/track",
            Some(json!({"key": "192.0.2.7", "count": {"http_err": 1}})),
            400,
            "`http_err`: this table stores none of http_err_cnt, http_err_rate",
        ),
        (
            "POST",
            "/v1/tables/mesh%2Fclients/track",
            Some(json!({"key": "192.0.2.7", "count": {"gpc[7]": 1}})),
            400,
            "`gpc[7]`: index out of range",
        ),
        (
            "POST",
            "/v1/tables/mesh%2Fclients/track",
            Some(json!({"key": "192.0.2.7", "count": {"nope": 1}})),
            400,
            "`nope`: expected conn, sess",
        ),
        (
            "POST",
            "/v1/tables/mesh%2Fclients/track",
            Some(json!([{"key": "192.0.2.7", "counts": {}}])),
            422,
            "unknown field `counts`",
        ),
        (
            "POST",
            "/v1/tables/mesh%2Fclients/track",
            Some(json!(5)),
            422,
            "expected an object, or an array of such",
        ),
    ];
    for (method, path, body, status, said) in all {
        let (found, detail) = served.refused(method, path, body);
        assert!(found == status && detail.contains(said), "{method} {path}: {found} {detail}");
    }
    assert_eq!(served.table("mesh/clients").metrics().created, 0);
    let large = json!({"key": "x".repeat(1 << 20)});
    assert_eq!(served.refused("POST", &format!("{CLIENTS}/track"), Some(large)).0, 413);
    let many: Vec<_> =
        (0..1_001).map(|last| json!({"key": format!("10.0.0.{}", last % 256)})).collect();
    let (status, said) = served.refused("POST", &format!("{CLIENTS}/track"), Some(many.into()));
    assert_eq!((status, said.as_str()), (400, "more than 1000 keys"));
    // A form of another site can be sent by any browser; it is no JSON.
    let plain = served.send("POST", &format!("{CLIENTS}/track"), None);
    assert_eq!(plain.status(), 415);
    assert_eq!(plain.headers()["content-type"], "application/problem+json");
    assert_eq!(served.send("PATCH", CLIENTS, None).status(), 405);
    assert_eq!(served.send("GET", "/v1/nope", None).status(), 404);
}

#[test]
fn an_entry_in_use_stays() {
    let served = Served::start(TABLES);
    let key = KeySpec::IP.parse("192.0.2.7").unwrap();
    let table = served.table("mesh/clients");
    let tracker = table.track(&key, served.clock.now()).unwrap();
    let one = format!("{CLIENTS}/entries/192.0.2.7");
    assert_eq!(served.get(&one)["trackers"], 1);
    assert_eq!(served.refused("DELETE", &one, None).0, 409);
    let all = format!("{CLIENTS}/entries?all=true");
    assert_eq!(served.ask("DELETE", &all, None).1, json!({"removed": 0, "in_use": 1}));
    drop(tracker);
    assert_eq!(served.ask("DELETE", &all, None).1, json!({"removed": 1, "in_use": 0}));
}

#[test]
fn a_table_without_room_says_so() {
    let served = Served::start(
        "peers mesh\n peer a 127.0.0.1:0\n table t type integer size 1 nopurge expire 1h store gpc0\n",
    );
    let track = "/v1/tables/mesh%2Ft/track";
    let count = |key: &str| json!({"key": key, "count": {"gpc0": 1}});
    assert_eq!(served.ask("POST", track, Some(count("1"))).0, 200);
    assert_eq!(served.refused("POST", track, Some(count("2"))).0, 507);
    assert_eq!(
        served.refused("PUT", "/v1/tables/mesh%2Ft/entries/2", Some(json!({"data": {}}))).0,
        507
    );
    let (status, both) = served.ask("POST", track, Some(json!([count("2"), count("1")])));
    assert_eq!((status, &both[0]["problem"]["status"]), (200, &json!(507)));
    assert_eq!(number(&both[1]["entry"], "gpc0"), 2);
}

#[test]
fn what_peers_say_is_not_changed_by_hand() {
    let served = Served::start(
        "aggregations sums\n peer a 127.0.0.1:0 local\n peer b 127.0.0.1:1 down\n \
         table st.local type ip size 1k expire 5m store gpc0\n from .local to .agg\n",
    );
    let tables = served.get("/v1/tables");
    let tables = tables.as_array().unwrap();
    assert!(tables.iter().any(|table| table["writable"] == false), "{tables:?}");
    let mut refused = 0;
    for table in tables.iter().filter(|table| table["writable"] == false) {
        let path = format!("/v1/tables/{}", table["path"].as_str().unwrap());
        assert_eq!(served.refused("DELETE", &format!("{path}/entries?all=true"), None).0, 409);
        refused += 1;
        if table["key_type"] == "ip" {
            let put = Some(json!({"data": {}}));
            assert_eq!(served.refused("PUT", &format!("{path}/entries/1.2.3.4"), put).0, 409);
            let track = Some(json!({"key": "1.2.3.4"}));
            assert_eq!(served.refused("POST", &format!("{path}/track"), track).0, 409);
        }
    }
    assert!(refused >= 2);
    let sums = served.get("/v1/aggregates");
    assert_eq!(
        (&sums[0]["complete"], &sums[0]["sources"][0]["peer"]),
        (&json!(false), &json!("b"))
    );
}

/// Of calls at once none is lost, and one of them is told all.
#[test]
fn everything_is_counted() {
    const THREADS: u32 = 4;
    const CALLS: u32 = 50;
    let served = Served::start(TABLES);
    let most = thread::scope(|scope| {
        let counting = (0..THREADS).map(|_| {
            scope.spawn(|| {
                let last = (0..CALLS).map(|_| {
                    let count = json!([
                        {"key": "192.0.2.7", "count": {"gpc[1]": 2, "http_req": 1}},
                        {"key": "192.0.2.8", "count": {"bytes_in": 100}}
                    ]);
                    let (status, both) =
                        served.ask("POST", &format!("{CLIENTS}/track"), Some(count));
                    assert_eq!(status, 200, "{both}");
                    both[0]["entry"]["data"]["gpc"][1].as_u64().unwrap()
                });
                last.max().unwrap()
            })
        });
        let counting: Vec<_> = counting.collect();
        counting.into_iter().map(|each| each.join().unwrap()).max().unwrap()
    });
    assert_eq!(most, u64::from(2 * THREADS * CALLS));
    let bytes = served.get(&format!("{CLIENTS}/entries/192.0.2.8"));
    assert_eq!(number(&bytes, "bytes_in_cnt"), i64::from(100 * THREADS * CALLS));
}

#[test]
fn watchers_are_told_what_differs() {
    let served = Served::start(TABLES);
    let put = |key: &str, gpc0: u32| {
        let at = format!("{NAMES}/entries/{key}");
        served.ask("PUT", &at, Some(json!({"data": {"gpc0": gpc0}})))
    };
    put("a", 5);
    put("b", 7);
    let mut events = served.events(&format!("{NAMES}/events?sort=gpc0&limit=2&every_ms=100"));
    let told = |(name, data): (String, Value)| {
        assert_eq!(name, "changes");
        let changed = data["changed"].as_array().unwrap().iter();
        let changed: Vec<_> =
            changed.map(|one| (one["path"].clone(), number(one, "gpc0"))).collect();
        (changed, data["gone"].clone(), data["order"].clone())
    };
    let (changed, gone, order) = told(events.next().unwrap());
    assert_eq!((changed.len(), gone, order), (2, json!([]), json!(["b", "a"])));
    put("a", 6);
    assert_eq!(told(events.next().unwrap()), (vec![(json!("a"), 6)], json!([]), json!(["b", "a"])));
    // A third one takes the place of the smallest.
    put("c", 9);
    assert_eq!(
        told(events.next().unwrap()),
        (vec![(json!("c"), 9)], json!(["a"]), json!(["c", "b"]))
    );
    served.ask("DELETE", &format!("{NAMES}/entries/c"), None);
    let (changed, gone, order) = told(events.next().unwrap());
    assert_eq!((changed, gone, order), (vec![(json!("a"), 6)], json!(["c"]), json!(["b", "a"])));
    drop(events);
    let overview = served.events("/v1/events?every_ms=100").next().unwrap().1;
    assert_eq!(
        (&overview["tables"][1]["used"], &overview["peers"][0]["name"]),
        (&json!(2), &json!("mesh"))
    );
}
