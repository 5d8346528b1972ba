//! The page in a real browser.

mod browser;
#[path = "../http_api/served.rs"]
mod served;

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use browser::Browser;
use serde_json::{Value, json};
use served::Served;
use stktable::table::Event;
use stktable::{DataType, Key, KeySpec};
use stktable_integration::http::Access;

const TABLES: &str = "peers mesh
  peer a 127.0.0.1:0
  peer b 127.0.0.1:1
  table clients type ip size 100k expire 10m store http_req_rate(10s),gpc0,bytes_in_cnt,server_key
  table names type string len 64 size 1k expire 1h store gpc0
";
const STATE: &str = "document.getElementById('state').textContent";
/// The keys that are shown, from the top.
const KEYS: &str =
    "[...document.querySelectorAll('#entries th.key')].map((key) => key.textContent).join(' ')";
const WRONG: &str = "document.getElementById('wrong').textContent";

fn count(served: &Served, client: [u8; 4], requests: u64, bad: i64) {
    let now = served.clock.now();
    let entry = served
        .table("mesh/clients")
        .get_or_create(&Key::from(std::net::Ipv4Addr::from(client)), now);
    let entry = entry.unwrap();
    entry.count(Event::HttpRequest, requests, now);
    entry.count(Event::BytesIn, requests * 700, now);
    entry.set(DataType::Gpc0, 0, bad, now).unwrap();
    entry.touch(now);
}

fn filled() -> Served {
    let served = Served::start(TABLES);
    count(&served, [192, 0, 2, 7], 50, 1);
    count(&served, [192, 0, 2, 8], 30, 9);
    count(&served, [198, 51, 100, 1], 40, 5);
    count(&served, [192, 0, 9, 1], 10, 7);
    served
}

#[test]
fn tables_and_peers_are_shown_as_they_change() {
    let served = filled();
    let Some(mut page) = Browser::open(&served.url("/")) else { return };
    page.until(STATE, "live");
    let used = "document.querySelector('#tables tbody tr').cells[2].textContent";
    page.until(used, "4");
    let points =
        "document.querySelector('#tables polyline').getAttribute('points').split(' ').length > 2";
    page.until(points, true);
    count(&served, [10, 0, 0, 1], 1, 0);
    page.until(used, "5");
    let peer = page.read("document.querySelector('#peers tbody tr').innerText");
    let peer = peer.as_str().unwrap();
    assert!(peer.starts_with("mesh\tb\t127.0.0.1:1\t"), "{peer}");
    // What it lacks, and why.
    page.until("document.querySelector('#peers tbody tr').cells[4].textContent", "5");
    assert!(peer.contains("cannot connect to 127.0.0.1:1"), "{peer}");
    drop(served);
    page.until(&format!("{STATE}.startsWith('no connection')"), true);
}

#[test]
fn who_talks_most_is_found_with_the_keyboard() {
    let served = filled();
    let Some(mut page) = Browser::open(&served.url("/")) else { return };
    page.until(STATE, "live");
    page.tell("Page.bringToFront", &json!({}));
    // The skip link, the title, the first table.
    for expected in ["Skip to the content", "stktabled", "mesh/clients"] {
        page.press("Tab");
        page.until("document.activeElement.textContent", expected);
    }
    page.press("Enter");
    page.until(KEYS, "192.0.2.7 198.51.100.1 192.0.2.8 192.0.9.1");
    assert_eq!(
        page.read("document.querySelector('#entries [aria-sort]').textContent"),
        "http_req_rate in 10 s"
    );
    // Another one overtakes them all.
    count(&served, [203, 0, 113, 5], 60, 0);
    page.until(KEYS, "203.0.113.5 192.0.2.7 198.51.100.1 192.0.2.8 192.0.9.1");
    page.read("(() => { const by = document.getElementById('by'); by.value = 'gpc0'; by.dispatchEvent(new Event('change')); })()");
    page.until(KEYS, "192.0.2.8 192.0.9.1 198.51.100.1 192.0.2.7 203.0.113.5");
    // Down into a network, and out of it.
    page.read("[...document.querySelectorAll('#entries a')].find((a) => a.getAttribute('aria-label') === 'only 192.0.2.0/24').click()");
    page.until(KEYS, "192.0.2.8 192.0.2.7");
    assert_eq!(page.read("document.getElementById('prefix').value"), "192.0.2.0/24");
    page.read("document.getElementById('whole').click()");
    page.until(&format!("{KEYS}.split(' ').length"), 5);
    page.read("document.getElementById('prefix').focus()");
    page.write("10.0.0.0/99");
    page.press("Enter");
    page.until(&format!("{WRONG}.includes('`prefix=10.0.0.0/99`: expected a network')"), true);
    page.go(&served.url("/#table=mesh%2Fclients&prefix=192.0.0.0%2F16"));
    page.until(KEYS, "192.0.2.7 192.0.2.8 192.0.9.1");
    page.until(WRONG, "");
}

#[test]
fn nothing_that_comes_from_outside_is_markup() {
    let served = filled();
    let names = KeySpec::string(64).unwrap();
    let evil = "<img src=x onerror=\"document.title='owned'\"><script>1</script>";
    let now = served.clock.now();
    served.table("mesh/names").get_or_create(&names.key(evil.as_bytes()).unwrap(), now).unwrap();
    let clients = served.table("mesh/clients");
    let entry = clients.get(&KeySpec::IP.parse("192.0.2.7").unwrap(), now).unwrap();
    entry.set_server_key(Some("<b onclick=alert(1)>web</b>")).unwrap();
    drop(entry);
    let Some(mut page) = Browser::open(&served.url("/#table=mesh%2Fnames")) else { return };
    page.until(KEYS, evil);
    page.go(&served.url("/#table=mesh%2Fclients"));
    page.until(
        "document.getElementById('entries').innerText.includes('<b onclick=alert(1)>web</b>')",
        true,
    );
    // A name in the address is shown as it is, too.
    page.go(&served.url("/#table=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"));
    page.until(WRONG, "There is no table <img src=x onerror=alert(1)>.");
    assert_eq!(page.read("document.querySelectorAll('img, b, body script').length"), 0);
    assert_eq!(page.read("document.title"), "stktabled");
    // And if something did get in, it would not run.
    let inline = "(() => { const made = document.createElement('script'); made.textContent = 'window.ran = 1'; \
                  document.body.append(made); return window.ran ?? 'not run' })()";
    assert_eq!(page.read(inline), "not run");
    let foreign = "fetch('http://192.0.2.1/').then(() => 'went', (error) => String(error))";
    assert_eq!(page.read(foreign), "TypeError: Failed to fetch");
}

#[test]
fn a_token_is_asked_for() {
    let token = "0123456789abcdef";
    let access = Access::new().tokens(&format!("read {token}\n")).unwrap();
    let served = Served::with(TABLES, access);
    let Some(mut page) = Browser::open(&served.url("/")) else { return };
    page.until(STATE, "a token is needed");
    for (said, state) in [("fedcba9876543210", "a token is needed"), (token, "live")] {
        page.until("document.getElementById('sign-in').hidden", false);
        page.read("(() => { const token = document.getElementById('token'); token.value = ''; token.focus() })()");
        page.write(said);
        page.press("Enter");
        page.until(
            &format!("[{STATE}, document.getElementById('token').value].join()"),
            format!("{state},{said}"),
        );
        if said != token {
            page.until("document.getElementById('refused').textContent", "this token is not known");
        }
    }
    page.until("document.getElementById('sign-in').hidden", true);
}

/// The contrast of every text to what is behind it, the least of all; and what lacks a name.
const AUDIT: &str = r"(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).map(Number).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (at) => {
    for (; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!/, 0\)$/.test(color)) return light(color);
    }
    return 1;
  };
  let least = 21;
  let texts = 0;
  for (const at of document.body.querySelectorAll('*')) {
    if (![...at.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || at.offsetParent === null) continue;
    const [a, b] = [light(getComputedStyle(at).color), behind(at)].sort((a, b) => b - a);
    least = Math.min(least, (a + 0.05) / (b + 0.05));
    texts += 1;
  }
  const wrong = [];
  for (const field of document.querySelectorAll('input, select')) if (!field.labels.length) wrong.push(field.id);
  for (const head of document.querySelectorAll('th')) if (!head.scope) wrong.push('th ' + head.textContent);
  for (const table of document.querySelectorAll('table')) if (!table.caption?.textContent) wrong.push('table ' + table.id);
  for (const svg of document.querySelectorAll('svg')) if (!svg.getAttribute('aria-label')) wrong.push('svg');
  for (const a of document.querySelectorAll('a')) if (!(a.textContent || a.getAttribute('aria-label'))) wrong.push('a');
  for (const at of document.querySelectorAll('[onclick], [tabindex]:not([tabindex=\'-1\'])')) wrong.push(at.tagName);
  if (!document.documentElement.lang || !document.querySelector('h1') || !document.querySelector('main')) wrong.push('page');
  return { least, texts, wrong, dark: behind(document.body) < 0.2 };
})()";

#[test]
fn it_can_be_read_by_everybody() {
    let served = filled();
    let Some(mut page) = Browser::open(&served.url("/#table=mesh%2Fclients")) else { return };
    page.until(&format!("{KEYS}.split(' ').length"), 4);
    page.until(STATE, "live");
    for scheme in ["light", "dark"] {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        page.tell("Emulation.setEmulatedMedia", &media);
        let found = page.read(AUDIT);
        assert_eq!((&found["wrong"], &found["dark"]), (&json!([]), &json!(scheme == "dark")));
        assert!(found["texts"].as_u64().unwrap() > 50, "{found}");
        // WCAG 2.1, 1.4.3.
        assert!(found["least"].as_f64().unwrap() >= 4.5, "{scheme}: {found}");
    }
    // On a telephone it is tables that scroll, not the page.
    let telephone = json!({ "width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": true });
    page.tell("Emulation.setDeviceMetricsOverride", &telephone);
    page.until("document.documentElement.scrollWidth <= innerWidth", true);
}

/// Makes the picture in the documentation; where `STKTABLED_PICTURE` names its folder.
#[test]
#[ignore = "writes a file"]
fn picture() {
    let Some(folder) = std::env::var_os("STKTABLED_PICTURE") else { return };
    let served = filled();
    let now = served.clock.now();
    for number in 0..180_u64 {
        let key =
            Key::from(std::net::Ipv4Addr::from(0x0a00_0000 + u32::try_from(number * 977).unwrap()));
        let entry = served.table("mesh/clients").get_or_create(&key, now).unwrap();
        entry.count(Event::HttpRequest, number % 37, now);
        entry.touch(now);
    }
    let Some(mut page) = Browser::open(&served.url("/#table=mesh%2Fclients&limit=10")) else {
        return;
    };
    for step in 0..20 {
        let points = format!(
            "document.querySelector('#tables polyline').getAttribute('points').split(' ').length > {step}"
        );
        page.until(&points, true);
        for number in 0..step * 5 {
            count(&served, [172, 16, number % 7, number], u64::from(number % 13 + step / 4), 0);
        }
    }
    let taken = page
        .tell("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": true }));
    let Value::String(encoded) = &taken["data"] else { panic!("{taken}") };
    std::fs::write(Path::new(&folder).join("page.png"), BASE64_STANDARD.decode(encoded).unwrap())
        .unwrap();
}
