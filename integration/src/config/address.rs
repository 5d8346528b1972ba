//! Addresses of `peer`, `server` and `bind` lines.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where to listen or whom to call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host.
    pub host: Host,
    /// The port; 0 asks for any free one, and only makes sense to listen on.
    pub port: u16,
}

/// The host of an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Every IPv4 address of this machine: `*` or nothing before the port.
    Any,
    /// An IP address.
    Ip(IpAddr),
    /// A name, to be resolved by whoever uses it.
    Name(String),
}

/// Why a word is not an address we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The word is empty.
    Empty,
    /// There is no `:PORT`.
    MissingPort,
    /// The port is not a number up to 65535.
    Port,
    /// The port is a range, or relative to another one.
    PortRange,
    /// A Unix socket, an inherited file descriptor or the like.
    Family,
    /// A datagram protocol or another transport that is not plain TCP.
    Transport,
    /// What stands before `@` means nothing.
    Prefix,
    /// The host is neither an address of the family asked for nor a name.
    Host,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no address; expected ADDRESS:PORT",
            Self::MissingPort => "no port; expected ADDRESS:PORT",
            Self::Port => "no port; expected a number up to 65535 after the last colon",
            Self::PortRange => "port ranges and relative ports are not for peers; expected one port",
            Self::Family => {
                "Unix sockets and inherited descriptors are not supported between peers yet; \
                 expected ADDRESS:PORT"
            }
            Self::Transport => "peers speak over TCP only; expected ADDRESS:PORT",
            Self::Prefix => "unknown address family; expected ADDRESS:PORT, or ipv4@ or ipv6@ before it",
            Self::Host => {
                "no host; expected an IPv4 address, an IPv6 address, a host name or `*` before the port"
            }
        })
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Returns the address that this word means.
    ///
    /// An IPv6 address stands in brackets or bare: what follows the last colon is the port, so
    /// `:::10000` is port 10000 of `::`.
    ///
    /// # Errors
    /// When it is none, or is of a kind that peers cannot use here.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (family, rest) = match text.split_once('@') {
            Some((prefix, rest)) => (Family::of_prefix(prefix)?, rest),
            None => (Family::Either, text),
        };
        if rest.is_empty() {
            return Err(AddressError::Empty);
        }
        if rest.starts_with('/') {
            return Err(AddressError::Family);
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, after) = inner.split_once(']').ok_or(AddressError::Host)?;
                host.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?;
                (host, after.strip_prefix(':').ok_or(AddressError::MissingPort)?)
            }
            None => rest.rsplit_once(':').ok_or(AddressError::MissingPort)?,
        };
        Ok(Self { host: family.host(host)?, port: port_of(port)? })
    }

    /// Returns the socket address, `None` where the host is a name.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip = match &self.host {
            Host::Any => Ipv4Addr::UNSPECIFIED.into(),
            Host::Ip(ip) => *ip,
            Host::Name(_) => return None,
        };
        Some(SocketAddr::new(ip, self.port))
    }

    /// Returns whether it names every address of this machine, rather than one host.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.socket_addr().is_some_and(|address| address.ip().is_unspecified())
    }
}

/// Writes the address so that it parses to itself.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => write!(f, "*:{}", self.port),
            Host::Ip(ip) => write!(f, "{}", SocketAddr::new(*ip, self.port)),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Either,
    V4,
    V6,
}

impl Family {
    fn of_prefix(prefix: &str) -> Result<Self, AddressError> {
        Ok(match prefix {
            "tcp" => Self::Either,
            "ipv4" | "tcp4" => Self::V4,
            "ipv6" | "tcp6" => Self::V6,
            "unix" | "uxst" | "uxdg" | "abns" | "abnsz" | "fd" | "sockpair" => {
                return Err(AddressError::Family);
            }
            "udp" | "udp4" | "udp6" | "quic4" | "quic6" | "rhttp" | "rev" | "mptcp" | "mptcp4"
            | "mptcp6" => return Err(AddressError::Transport),
            _ => return Err(AddressError::Prefix),
        })
    }

    fn host(self, text: &str) -> Result<Host, AddressError> {
        if text.is_empty() || text == "*" {
            return Ok(match self {
                Self::V6 => Host::Ip(Ipv6Addr::UNSPECIFIED.into()),
                _ => Host::Any,
            });
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            let wrong = (self == Self::V4 && ip.is_ipv6()) || (self == Self::V6 && ip.is_ipv4());
            return if wrong { Err(AddressError::Host) } else { Ok(Host::Ip(ip)) };
        }
        let label = |label: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=63).contains(&label.len()) && label.chars().all(inner)
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        // A name does not end in a number: that is a mistyped IPv4 address.
        let last = name.rsplit('.').next().unwrap_or_default();
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
        if name.len() > 253 || numeric || !name.split('.').all(label) {
            return Err(AddressError::Host);
        }
        Ok(Host::Name(text.to_owned()))
    }
}

fn port_of(text: &str) -> Result<u16, AddressError> {
    if text.is_empty() {
        return Err(AddressError::MissingPort);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| AddressError::Port);
    }
    let numbers = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+'));
    Err(if numbers { AddressError::PortRange } else { AddressError::Port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for (text, written) in [
            ("127.0.0.1:10000", "127.0.0.1:10000"),
            ("ipv4@127.0.0.1:1", "127.0.0.1:1"),
            (":12", "*:12"),
            ("*:0", "*:0"),
            ("ipv6@*:12", "[::]:12"),
            (":::12", "[::]:12"),
            ("::1:12", "[::1]:12"),
            ("[2001:db8::1]:65535", "[2001:db8::1]:65535"),
            ("ipv6@[::1]:3", "[::1]:3"),
            ("localhost:3", "localhost:3"),
            ("node-1.example.org.:3", "node-1.example.org.:3"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), written, "{text}");
            assert_eq!(Address::parse(written), Ok(address));
        }
    }

    #[test]
    fn what_is_refused_says_why() {
        use AddressError as E;
        for (text, error) in [
            ("", E::Empty),
            ("ipv4@", E::Empty),
            ("127.0.0.1", E::MissingPort),
            ("host", E::MissingPort),
            ("127.0.0.1:", E::MissingPort),
            ("[::1]", E::MissingPort),
            ("127.0.0.1:65536", E::Port),
            ("127.0.0.1:http", E::Port),
            ("127.0.0.1:1-4", E::PortRange),
            ("127.0.0.1:+3", E::PortRange),
            ("unix@/tmp/x", E::Family),
            ("/tmp/x", E::Family),
            ("abns@x", E::Family),
            ("fd@3", E::Family),
            ("sockpair@3", E::Family),
            ("udp@127.0.0.1:1", E::Transport),
            ("zork@127.0.0.1:1", E::Prefix),
            ("300.1.1.1:1", E::Host),
            ("1.2.3:1", E::Host),
            ("a b:1", E::Host),
            ("a..b:1", E::Host),
            ("[127.0.0.1]:1", E::Host),
            ("[::1:1", E::Host),
            ("ipv6@127.0.0.1:1", E::Host),
            ("fe80::1::2:1", E::Host),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
    }
}
