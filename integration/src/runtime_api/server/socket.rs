//! A socket as HAProxy's `stats socket` lines describe one: where, who may connect, and what they may do.

use std::fmt;
use std::str::FromStr;

use nix::unistd::{Group, User};

use super::Endpoint;
use crate::runtime_api::Level;

/// Where the runtime API listens, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Socket {
    /// Where.
    pub endpoint: Endpoint,
    /// The mode of a Unix socket.
    pub mode: u32,
    /// Whose it is, if not ours.
    pub user: Option<u32>,
    /// Of which group it is, if not ours.
    pub group: Option<u32>,
    /// What its clients may do.
    pub level: Level,
}

impl From<Endpoint> for Socket {
    /// Ours alone, at level `operator`.
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoint, mode: 0o600, user: None, group: None, level: Level::Operator }
    }
}

/// What is wrong with one of the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketError {
    /// Its position, from 0.
    pub at: usize,
    /// The word.
    pub word: String,
    /// What was expected.
    pub message: String,
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.word.escape_debug(), self.message)
    }
}

impl std::error::Error for SocketError {}

impl Socket {
    /// Reads the words behind `stats socket`: an address, then `mode`, `user`, `uid`, `group`, `gid` and `level`, each with its value.
    /// What HAProxy says of its own threads and descriptors is passed over.
    ///
    /// # Errors
    /// The first word that is wrong.
    pub fn parse(words: &[&str]) -> Result<Self, SocketError> {
        let wrong = |at: usize, message: &str| SocketError {
            at,
            word: words.get(at).or(words.last()).copied().unwrap_or_default().to_owned(),
            message: message.to_owned(),
        };
        let Some(first) = words.first() else {
            return Err(wrong(
                0,
                "no address; expected ADDRESS:PORT, or the path of a Unix socket",
            ));
        };
        let endpoint = first.parse::<Endpoint>().map_err(|_| {
            wrong(0, "expected ADDRESS:PORT, or the path of a Unix socket (with a `/` in it, or `unix@` before it)")
        })?;
        let mut socket = Self::from(endpoint);
        let mut at = 1;
        while let Some(word) = words.get(at) {
            let value = words.get(at + 1).copied();
            let needed = |what: &str| {
                value.ok_or_else(|| wrong(at, &format!("no value; expected {what} to follow")))
            };
            let number =
                |value: &str| value.parse().map_err(|_| wrong(at + 1, "expected a number"));
            let taken = match *word {
                "mode" => {
                    let value = needed("an octal mode")?;
                    let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o777);
                    socket.mode = mode.ok_or_else(|| {
                        wrong(at + 1, "expected an octal mode up to 777, such as 660")
                    })?;
                    2
                }
                "uid" => {
                    socket.user = Some(number(needed("the number of a user")?)?);
                    2
                }
                "gid" => {
                    socket.group = Some(number(needed("the number of a group")?)?);
                    2
                }
                "user" => {
                    let found = User::from_name(needed("the name of a user")?).ok().flatten();
                    let user = found.ok_or_else(|| wrong(at + 1, "no user of this machine"))?;
                    socket.user = Some(user.uid.as_raw());
                    2
                }
                "group" => {
                    let found = Group::from_name(needed("the name of a group")?).ok().flatten();
                    let group = found.ok_or_else(|| wrong(at + 1, "no group of this machine"))?;
                    socket.group = Some(group.gid.as_raw());
                    2
                }
                "level" => {
                    let level = needed("user, operator or admin")?.parse();
                    socket.level =
                        level.map_err(|_| wrong(at + 1, "expected user, operator or admin"))?;
                    2
                }
                // Of HAProxy's own: its listeners are inherited, its threads serve.
                "expose-fd" | "process" | "thread" | "maxconn" | "backlog" | "name"
                | "severity-output" | "nice" | "shards" => 2,
                "accept-proxy" | "v4v6" | "v6only" | "defer-accept" => 1,
                "ssl" | "crt" => {
                    return Err(wrong(at, "TLS is not supported here; expected a socket without"));
                }
                _ => {
                    return Err(wrong(
                        at,
                        "not known; expected mode, user, uid, group, gid or level",
                    ));
                }
            };
            at += taken;
        }
        Ok(socket)
    }
}

/// The same words with spaces between them.
impl FromStr for Socket {
    type Err = SocketError;

    fn from_str(words: &str) -> Result<Self, SocketError> {
        Self::parse(&words.split_whitespace().collect::<Vec<_>>())
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_haproxy_are_read() {
        let line = "/run/s.sock mode 660 level admin group root uid 7 expose-fd listeners";
        let socket: Socket = line.parse().unwrap();
        assert_eq!(socket.endpoint, Endpoint::Unix("/run/s.sock".into()));
        assert_eq!((socket.mode, socket.user, socket.group), (0o660, Some(7), Some(0)));
        assert_eq!(socket.level, Level::Admin);
        let socket: Socket = "127.0.0.1:9999 level user".parse().unwrap();
        assert_eq!((socket.level, socket.mode), (Level::User, 0o600));
    }

    #[test]
    fn the_word_that_is_wrong_is_named() {
        for (line, at, word) in [
            ("", 0, ""),
            ("nowhere", 0, "nowhere"),
            ("/s mode 999", 2, "999"),
            ("/s mode 1777", 2, "1777"),
            ("/s mode", 1, "mode"),
            ("/s level root", 2, "root"),
            ("/s user nobody-of-that-name", 2, "nobody-of-that-name"),
            ("/s group nobody-of-that-name", 2, "nobody-of-that-name"),
            ("/s gid x", 2, "x"),
            ("/s colour red", 1, "colour"),
            ("/s ssl crt /x", 1, "ssl"),
        ] {
            let error = line.parse::<Socket>().unwrap_err();
            assert_eq!((error.at, error.word.as_str()), (at, word), "{line}");
        }
    }
}
