//! What proxies say of the client: `Forwarded` (RFC 7239) and `X-Forwarded-For`, read from right to left.
//!
//! From right to left also within a line: what the proxy next to us wrote is found whatever stands before it, be it a quoted string that
//! a client began and did not end.

use core::str;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName};

use super::client::{Networks, normal};

/// Where proxies write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Forwarded,
    XForwardedFor,
}

/// Returns the first address from the right that is not trusted, or the last one that is.
pub(super) fn walk(field: Field, trusted: &Networks, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let name = match field {
        Field::Forwarded => http::header::FORWARDED,
        Field::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
    };
    let mut client = peer;
    for line in headers.get_all(name).iter().rev() {
        for element in FromRight::new(line.as_bytes(), b',', field == Field::Forwarded) {
            // A list may have empty elements, which say nothing.
            if element.trim_ascii().is_empty() {
                continue;
            }
            if !trusted.contains(client) {
                return client;
            }
            let said = match field {
                Field::Forwarded => forwarded_for(element),
                Field::XForwardedFor => node(element.trim_ascii()),
            };
            match said {
                Some(address) => client = normal(address),
                None => return client,
            }
        }
    }
    client
}

/// Returns the address in the `for` of an element, if there is one of it and it is an address.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in FromRight::new(element, b';', true) {
        let pair = pair.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
    }
    let value = found?;
    match value {
        // Of a quoted string only those with escapes differ from what stands there, and no address needs one.
        [b'"', quoted @ .., b'"'] => node(quoted),
        _ => node(value),
    }
}

/// Returns the address of a node: IPv4 or IPv6, each with or without a port, IPv6 then in brackets.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return Some(IpAddr::V6(address.parse::<Ipv6Addr>().ok().filter(|_| is_port)?));
    }
    if let Some((address, port)) = text.split_once(':')
        && let Ok(address) = address.parse::<Ipv4Addr>()
    {
        return is_port(port).then_some(IpAddr::V4(address));
    }
    text.parse().ok()
}

/// A port, which RFC 7239 lets proxies hide as they may hide addresses.
fn is_port(text: &str) -> bool {
    let hidden = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(hidden),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// The parts of a text between separators that stand in no quoted string, the last one first.
struct FromRight<'t> {
    rest: Option<&'t [u8]>,
    separator: u8,
    quotes: bool,
}

impl<'t> FromRight<'t> {
    const fn new(text: &'t [u8], separator: u8, quotes: bool) -> Self {
        Self { rest: Some(text), separator, quotes }
    }
}

impl<'t> Iterator for FromRight<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        let rest = self.rest.take()?;
        let mut quoted = false;
        let mut at = rest.len();
        while let Some((byte, before)) = rest.get(..at).and_then(<[u8]>::split_last) {
            at -= 1;
            if *byte == b'"' && self.quotes {
                let escapes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
                if !quoted || escapes.is_multiple_of(2) {
                    quoted = !quoted;
                } else {
                    // Escaped: it and its escapes are part of the string.
                    at -= escapes;
                }
            } else if *byte == self.separator && !quoted {
                self.rest = Some(before);
                return rest.get(at + 1..);
            }
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<&str> {
        FromRight::new(text.as_bytes(), b',', true)
            .map(|part| str::from_utf8(part).unwrap())
            .collect()
    }

    #[test]
    fn parts_come_from_the_right_and_quotes_hold() {
        assert_eq!(parts("a,b,c"), ["c", "b", "a"]);
        assert_eq!(parts(""), [""]);
        assert_eq!(parts(",a,"), ["", "a", ""]);
        assert_eq!(parts(r#"a="x,y",b"#), ["b", r#"a="x,y""#]);
        assert_eq!(parts(r#"a="x\",y",b="\\",c"#), ["c", r#"b="\\""#, r#"a="x\",y""#]);
        assert_eq!(parts(r#"a="\\\",",b"#), ["b", r#"a="\\\",""#]);
        // A string that a client did not end hides nothing that was written after it.
        assert_eq!(parts(r#"for="x, for=192.0.2.7"#)[0], " for=192.0.2.7");
    }

    #[test]
    fn nodes_are_addresses_with_or_without_a_port() {
        let good = [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("192.0.2.7:_hidden", "192.0.2.7"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ];
        for (text, address) in good {
            assert_eq!(node(text.as_bytes()), address.parse().ok(), "{text}");
        }
        let bad = [
            "",
            "unknown",
            "_hidden",
            "192.0.2.7:",
            "192.0.2.7:http",
            "192.0.2.7:123456",
            "192.0.2.256",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "[192.0.2.7]",
            "192.0.2.7 ",
            "[]",
            "192.0.2.7:_",
        ];
        for text in bad {
            assert_eq!(node(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn elements_have_one_for() {
        let good = [
            "for=192.0.2.7",
            "For=\"192.0.2.7:80\"",
            "proto=https; for=192.0.2.7 ;by=203.0.113.1",
            "by=\"x;for=10.0.0.1\";FOR=192.0.2.7",
            ";for=192.0.2.7;",
        ];
        for text in good {
            assert_eq!(forwarded_for(text.as_bytes()), "192.0.2.7".parse().ok(), "{text}");
        }
        for text in [
            "proto=https",
            "for",
            "for=",
            "for=192.0.2.7;for=192.0.2.8",
            "for=\"192.0.2.7",
            "192.0.2.7",
            "for=unknown",
            "for=192.0.2.7;x",
        ] {
            assert_eq!(forwarded_for(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn anything_is_read_without_a_panic() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let mut length = 0;
            for part in FromRight::new(bytes, b',', true) {
                let _ = (forwarded_for(part), node(part));
                length += part.len() + 1;
            }
            assert_eq!(length, bytes.len() + 1, "every byte is in one part, or between two");
        });
    }
}
