//! Who may connect, and who may do what.
//!
//! | | without tokens | with tokens |
//! | --- | --- | --- |
//! | from this machine | reads and changes | what the token says |
//! | from elsewhere | reads | what the token says |
//!
//! A browser carries requests of pages that have nothing to do with us. So a name in `Host` must be one of ours, which keeps out names
//! that were made to point here, and what a browser says comes from another site is refused.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};
use ipnet::IpNet;
use subtle::ConstantTimeEq as _;

use super::problem::Problem;

/// Characters of a token, at least: 16 of 64 kinds are 96 bits.
const TOKEN_MIN: usize = 16;
/// Characters of a token, at most.
const TOKEN_MAX: usize = 256;
/// Tokens of one file.
const TOKENS_MAX: usize = 1_000;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// See everything.
    Read,
    /// Change entries, too.
    Write,
}

/// Who may connect, and who may do what.
#[derive(Clone, Default)]
pub struct Access {
    networks: Vec<IpNet>,
    tokens: Vec<(Right, Box<[u8]>)>,
    names: Vec<String>,
}

/// What is wrong in a file of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong. It does not repeat a token.
    pub what: String,
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for TokensError {}

impl Access {
    /// Lets everybody connect, and lets those on this machine change entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets only clients in these networks connect. With none, from anywhere.
    #[must_use]
    pub fn networks(mut self, networks: Vec<IpNet>) -> Self {
        self.networks = networks;
        self
    }

    /// Sets the names that clients call us by, beside addresses and `localhost`.
    #[must_use]
    pub fn names(mut self, names: Vec<String>) -> Self {
        self.names = names;
        self
    }

    /// Requires a token of everybody. In the text each line is `read TOKEN` or `write TOKEN`; empty lines and those that begin with `#` say
    /// nothing. A token is 16 to 256 characters of `A-Z a-z 0-9 - . _ ~ + / =`.
    ///
    /// # Errors
    /// The first line that is none of these; that there is no token at all.
    pub fn tokens(mut self, text: &str) -> Result<Self, TokensError> {
        self.tokens.clear();
        for (line, text) in text.lines().enumerate() {
            let wrong = |what: &str| TokensError { line: line + 1, what: what.to_owned() };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (right, token) = text
                .split_once(char::is_whitespace)
                .ok_or_else(|| wrong("expected `read TOKEN` or `write TOKEN`"))?;
            let right = match right {
                "read" => Right::Read,
                "write" => Right::Write,
                _ => return Err(wrong("expected `read` or `write` before the token")),
            };
            let token = token.trim();
            if !(TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) {
                return Err(wrong(&format!(
                    "a token has {TOKEN_MIN} to {TOKEN_MAX} characters, this one {}",
                    token.len()
                )));
            }
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            if !token.bytes().all(fits) {
                return Err(wrong("a token is made of A-Z a-z 0-9 - . _ ~ + / ="));
            }
            if self.tokens.len() == TOKENS_MAX {
                return Err(wrong(&format!("more than {TOKENS_MAX} tokens")));
            }
            self.tokens.push((right, token.as_bytes().into()));
        }
        if self.tokens.is_empty() {
            return Err(TokensError { line: 1, what: "no token in the whole file".to_owned() });
        }
        Ok(self)
    }

    /// Returns whether anything keeps strangers away.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.networks.is_empty() && self.tokens.is_empty()
    }

    /// Returns whether somebody there may connect.
    #[must_use]
    pub fn may_connect(&self, from: SocketAddr) -> bool {
        let from = from.ip().to_canonical();
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&from))
    }

    /// Judges a request from there. Returns what it may do.
    pub(super) fn judge(
        &self,
        from: SocketAddr,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Right, Problem> {
        self.judge_host(headers)?;
        if let Some(site) = headers.get("sec-fetch-site")
            && !matches!(site.as_bytes(), b"same-origin" | b"none")
        {
            return Err(Problem::forbidden("this request comes from another site"));
        }
        let right = self.right(from.ip().to_canonical(), headers)?;
        if right < Right::Write && !matches!(*method, Method::GET | Method::HEAD) {
            let why = match self.tokens.is_empty() {
                true => "only clients on this machine may change entries: there are no tokens",
                false => "this token reads only",
            };
            return Err(Problem::forbidden(why));
        }
        Ok(right)
    }

    /// Whether we are called by a name of ours.
    pub(super) fn judge_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(host) = headers.get(header::HOST) else { return Ok(()) };
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        let ours = host.as_ref().is_some_and(|host| {
            let name = host.host().trim_start_matches('[').trim_end_matches(']');
            name.parse::<IpAddr>().is_ok()
                || name.eq_ignore_ascii_case("localhost")
                || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
        });
        if ours {
            return Ok(());
        }
        Err(Problem::misdirected(
            "the name in `Host` is none of ours; expected an address, localhost, or a name given by --http-name",
        ))
    }

    fn right(&self, from: IpAddr, headers: &HeaderMap) -> Result<Right, Problem> {
        if self.tokens.is_empty() {
            return Ok(if from.is_loopback() { Right::Write } else { Right::Read });
        }
        let said = headers.get(header::AUTHORIZATION).map(|said| said.as_bytes());
        let said = said.ok_or_else(|| Problem::unauthorized("a token is needed"))?;
        let token = match said.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
            _ => return Err(Problem::unauthorized("expected `Authorization: Bearer TOKEN`")),
        };
        // All of them are looked at, so that time tells nothing of which it was.
        let mut found = None;
        for (right, known) in &self.tokens {
            if bool::from(known.ct_eq(token)) {
                found = found.max(Some(*right));
            }
        }
        found.ok_or_else(|| Problem::unauthorized("this token is not known"))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No token in a log.
        f.debug_struct("Access")
            .field("networks", &self.networks)
            .field("tokens", &self.tokens.len())
            .field("names", &self.names)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "0123456789abcdef";
    const WRITE: &str = "fedcba9876543210";

    fn access() -> Access {
        Access::new().tokens(&format!("# two\n\nread {READ}\n write\t{WRITE} \n")).unwrap()
    }

    fn asked(access: &Access, from: &str, method: Method, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let from = SocketAddr::new(from.parse().unwrap(), 1);
        access.judge(from, &method, &map).map_or_else(|problem| problem.status(), |_| 200)
    }

    #[test]
    fn without_tokens_who_is_elsewhere_only_reads() {
        let access = Access::new();
        for (from, method, status) in [
            ("127.0.0.1", Method::PUT, 200),
            ("::1", Method::DELETE, 200),
            ("::ffff:127.0.0.1", Method::POST, 200),
            ("192.0.2.1", Method::GET, 200),
            ("192.0.2.1", Method::HEAD, 200),
            ("192.0.2.1", Method::PUT, 403),
        ] {
            assert_eq!(asked(&access, from, method, &[]), status, "{from}");
        }
    }

    #[test]
    fn a_token_says_what_its_bearer_may_do() {
        let access = access();
        let bearer = |token: &str| format!("Bearer {token}");
        for (said, method, status) in [
            (bearer(READ), Method::GET, 200),
            (bearer(READ), Method::PUT, 403),
            (bearer(WRITE), Method::PUT, 200),
            (format!("bearer  {WRITE}"), Method::PUT, 200),
            (bearer("0123456789abcdeX"), Method::GET, 401),
            (bearer(""), Method::GET, 401),
            (format!("Basic {WRITE}"), Method::GET, 401),
            (String::new(), Method::GET, 401),
        ] {
            let found = asked(&access, "127.0.0.1", method, &[("authorization", &said)]);
            assert_eq!(found, status, "{said}");
        }
        assert_eq!(asked(&access, "127.0.0.1", Method::GET, &[]), 401);
        assert!(!format!("{access:?}").contains(READ));
    }

    #[test]
    fn other_sites_and_names_of_others_are_refused() {
        let access = Access::new().names(vec!["Tables.example".to_owned()]);
        for (name, value, status) in [
            ("host", "localhost:8080", 200),
            ("host", "127.0.0.1:8080", 200),
            ("host", "[::1]:8080", 200),
            ("host", "tables.EXAMPLE", 200),
            ("host", "evil.example", 421),
            ("host", "localhost.evil.example", 421),
            ("host", "a b", 421),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "none", 200),
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "same-site", 403),
        ] {
            assert_eq!(asked(&access, "::1", Method::GET, &[(name, value)]), status, "{value}");
        }
    }

    #[test]
    fn networks_keep_others_away() {
        let access = Access::new().networks(vec!["10.0.0.0/8".parse().unwrap()]);
        for (from, may) in
            [("10.1.2.3:4", true), ("[::ffff:10.1.2.3]:4", true), ("127.0.0.1:4", false)]
        {
            assert_eq!(access.may_connect(from.parse().unwrap()), may, "{from}");
        }
        assert!(!access.is_open());
        assert!(Access::new().is_open());
    }

    #[test]
    fn what_is_wrong_with_tokens_is_said_by_line() {
        for (text, line) in [
            ("", 1),
            ("# nothing\n", 1),
            ("\nread", 2),
            ("admin 0123456789abcdef", 1),
            ("read 0123456789abcde", 1),
            ("read 0123456789abcdef x", 1),
            ("read 0123456789abcd\u{e9}f", 1),
        ] {
            let error = Access::new().tokens(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(!error.to_string().contains("0123"), "{error}");
        }
        let many = format!("read {READ}\n").repeat(TOKENS_MAX + 1);
        assert_eq!(Access::new().tokens(&many).unwrap_err().line, TOKENS_MAX + 1);
    }
}
