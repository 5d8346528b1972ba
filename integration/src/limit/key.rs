//! Which key of a table a request stands for.

use core::fmt::{self, Write as _};
use core::str;
use std::net::IpAddr;

use http::{Extensions, HeaderMap, HeaderName, Method, Request, Uri};
use stktable::{Key, KeySpec, KeyType};

use super::client::normal;

/// The longest key that is written; what is beyond is cut, as it is at the `len` of the table.
pub const WRITTEN_MAX: usize = 256;

/// Between the parts of a joined key. No header and no path has it, so nobody can move the border.
const BETWEEN: u8 = b'\n';

/// What is seen of a request, whatever its body is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Head<'r> {
    /// The method.
    pub method: &'r Method,
    /// What is asked for.
    pub uri: &'r Uri,
    /// The header fields.
    pub headers: &'r HeaderMap,
    /// What servers and layers around this one have added.
    pub extensions: &'r Extensions,
    pub(super) client: Option<IpAddr>,
}

impl<'r> Head<'r> {
    /// Returns the head of a request, of which the client is not known yet.
    pub fn of<B>(request: &'r Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            client: None,
        }
    }

    /// Returns the client's address, as the [`Client`](super::Client) of the limits found it. IPv4 is never written as IPv6.
    #[must_use]
    pub const fn client(&self) -> Option<IpAddr> {
        self.client
    }
}

/// Finds the key of a request. Closures are made for it:
///
/// ```
/// use stktable_integration::limit::{Head, KeyOf, KeyWriter};
///
/// fn tenant() -> impl KeyOf {
///     |head: &Head<'_>, key: &mut KeyWriter| {
///         key.text(head.uri.path().split('/').nth(1).filter(|name| !name.is_empty())?)
///     }
/// }
/// ```
pub trait KeyOf: Send + Sync + 'static {
    /// Writes the key. `None` says that this request has none.
    fn write(&self, head: &Head<'_>, key: &mut KeyWriter) -> Option<()>;

    /// Asks another one where this one finds none. Where a client chooses what one of them says, it may choose a key of the other one: put a
    /// [`literal`] before each to tell them apart.
    fn or<O: KeyOf>(self, other: O) -> Or<Self, O>
    where
        Self: Sized,
    {
        Or(self, other)
    }

    /// Joins both; there is none where either finds none. For tables of type `string` and `binary`.
    fn and<O: KeyOf>(self, other: O) -> And<Self, O>
    where
        Self: Sized,
    {
        And(self, other)
    }
}

impl<F> KeyOf for F
where
    F: Fn(&Head<'_>, &mut KeyWriter) -> Option<()> + Send + Sync + 'static,
{
    fn write(&self, head: &Head<'_>, key: &mut KeyWriter) -> Option<()> {
        self(head, key)
    }
}

/// See [`KeyOf::or`].
#[derive(Clone, Copy, Debug)]
pub struct Or<A, B>(A, B);

impl<A: KeyOf, B: KeyOf> KeyOf for Or<A, B> {
    fn write(&self, head: &Head<'_>, key: &mut KeyWriter) -> Option<()> {
        let before = key.len;
        self.0.write(head, key).or_else(|| {
            key.len = before;
            self.1.write(head, key)
        })
    }
}

/// See [`KeyOf::and`].
#[derive(Clone, Copy, Debug)]
pub struct And<A, B>(A, B);

impl<A: KeyOf, B: KeyOf> KeyOf for And<A, B> {
    fn write(&self, head: &Head<'_>, key: &mut KeyWriter) -> Option<()> {
        self.0.write(head, key)?;
        key.push(&[BETWEEN]);
        self.1.write(head, key)
    }
}

/// The client's address, cut to the prefix of the tier.
#[must_use]
pub fn client() -> impl KeyOf {
    |head: &Head<'_>, key: &mut KeyWriter| key.address(head.client()?)
}

/// The value of a header field; of several, the first.
pub fn header(name: HeaderName) -> impl KeyOf {
    move |head: &Head<'_>, key: &mut KeyWriter| key.text(head.headers.get(&name)?)
}

/// The path, without what follows `?`.
#[must_use]
pub fn path() -> impl KeyOf {
    |head: &Head<'_>, key: &mut KeyWriter| key.text(head.uri.path())
}

/// The same text for every request: one key for all, or what tells the keys of one kind from those of another.
///
/// ```
/// use http::HeaderName;
/// use stktable_integration::limit::{KeyOf, client, header, literal};
///
/// fn who() -> impl KeyOf {
///     let token = literal("token").and(header(HeaderName::from_static("x-api-key")));
///     token.or(literal("address").and(client()))
/// }
/// ```
#[must_use]
pub fn literal(text: &'static str) -> impl KeyOf {
    move |_: &Head<'_>, key: &mut KeyWriter| key.text(text)
}

/// The method.
#[must_use]
pub fn method() -> impl KeyOf {
    |head: &Head<'_>, key: &mut KeyWriter| key.text(head.method.as_str())
}

/// Takes what a key is made of, and casts it to the table's type as HAProxy would.
///
/// | written | `ip` | `ipv6` | `integer` | `string` | `binary` |
/// | --- | --- | --- | --- | --- | --- |
/// | address | of IPv4 | of both, IPv4 as mapped | – | as text | its bytes |
/// | text | if it is one | if it is one | if it is one | itself | its bytes |
/// | number | – | – | itself | in decimal | big-endian |
///
/// Addresses are cut to the tier's prefix wherever they go. What does not fit is `None`.
pub struct KeyWriter {
    spec: KeySpec,
    prefixes: Prefixes,
    bytes: [u8; WRITTEN_MAX],
    len: usize,
    elsewhere: bool,
}

/// How many bits of an address count; of a family without any, none is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub(super) v4: Option<u8>,
    pub(super) v6: Option<u8>,
}

impl KeyWriter {
    pub(super) const fn new(spec: KeySpec, prefixes: Prefixes) -> Self {
        Self { spec, prefixes, bytes: [0; WRITTEN_MAX], len: 0, elsewhere: false }
    }

    /// Adds text.
    pub fn text(&mut self, text: impl AsRef<[u8]>) -> Option<()> {
        let text = text.as_ref();
        match self.spec.ty() {
            KeyType::String | KeyType::Binary => {
                self.push(text);
                Some(())
            }
            KeyType::Integer => self.number(str::from_utf8(text).ok()?.parse().ok()?),
            KeyType::Ip | KeyType::Ipv6 => self.address(str::from_utf8(text).ok()?.parse().ok()?),
        }
    }

    /// Adds a number.
    pub fn number(&mut self, number: u32) -> Option<()> {
        match self.spec.ty() {
            KeyType::Integer | KeyType::Binary => self.push(&number.to_be_bytes()),
            KeyType::String => write!(self, "{number}").ok()?,
            KeyType::Ip | KeyType::Ipv6 => return None,
        }
        Some(())
    }

    /// Adds an address.
    pub fn address(&mut self, address: IpAddr) -> Option<()> {
        let address = normal(address);
        let Some(cut) = self.prefixes.cut(address) else {
            self.elsewhere = true;
            return None;
        };
        match (self.spec.ty(), cut) {
            (KeyType::Ip, IpAddr::V6(_)) => {
                self.elsewhere = true;
                return None;
            }
            (KeyType::Integer, _) => return None,
            (KeyType::Ipv6, IpAddr::V4(address)) => {
                self.push(&address.to_ipv6_mapped().octets());
            }
            (KeyType::String, address) => write!(self, "{address}").ok()?,
            (_, IpAddr::V4(address)) => self.push(&address.octets()),
            (_, IpAddr::V6(address)) => self.push(&address.octets()),
        }
        Some(())
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.len += taken;
    }

    /// Returns the key that was written, if it is one of the table's.
    pub(super) fn key(&self) -> Option<Key> {
        self.spec.key(self.bytes.get(..self.len)?).ok()
    }

    /// Whether an address was of a family that the tier does not take.
    pub(super) const fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }
}

impl fmt::Write for KeyWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for KeyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWriter")
            .field("spec", &self.spec)
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

impl Prefixes {
    /// Returns the address with only the bits that count.
    fn cut(self, address: IpAddr) -> Option<IpAddr> {
        Some(match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.v4?)).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.v6?)).unwrap_or(0);
                IpAddr::V6((u128::from(address) & mask).into())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Prefixes = Prefixes { v4: Some(32), v6: Some(64) };

    fn written(
        spec: KeySpec,
        prefixes: Prefixes,
        write: fn(&mut KeyWriter) -> Option<()>,
    ) -> String {
        let mut key = KeyWriter::new(spec, prefixes);
        match write(&mut key).and_then(|()| key.key()) {
            Some(key) => key.to_string(),
            None => format!("none, {}", key.is_elsewhere()),
        }
    }

    #[test]
    fn addresses_are_cast_and_cut() {
        let v4: fn(&mut KeyWriter) -> Option<()> = |key| key.address("192.0.2.77".parse().unwrap());
        let mapped: fn(&mut KeyWriter) -> Option<()> =
            |key| key.address("::ffff:192.0.2.77".parse().unwrap());
        let v6: fn(&mut KeyWriter) -> Option<()> =
            |key| key.address("2001:db8:1:2:3:4:5:6".parse().unwrap());
        for write in [v4, mapped] {
            assert_eq!(written(KeySpec::IP, WHOLE, write), "192.0.2.77");
            assert_eq!(written(KeySpec::IPV6, WHOLE, write), "::ffff:192.0.2.77");
            assert_eq!(written(KeySpec::STRING, WHOLE, write), "192.0.2.77");
            assert_eq!(written(KeySpec::binary(4).unwrap(), WHOLE, write), "C000024D");
            let none = Prefixes { v4: None, ..WHOLE };
            assert_eq!(written(KeySpec::IP, none, write), "none, true");
        }
        assert_eq!(written(KeySpec::IP, WHOLE, v6), "none, true");
        assert_eq!(written(KeySpec::IPV6, WHOLE, v6), "2001:db8:1:2::");
        for (bits, network) in
            [(0, "::"), (24, "2001:d00::"), (48, "2001:db8:1::"), (128, "2001:db8:1:2:3:4:5:6")]
        {
            let prefixes = Prefixes { v4: Some(bits.min(32)), v6: Some(bits) };
            assert_eq!(written(KeySpec::IPV6, prefixes, v6), network);
        }
        let wide = Prefixes { v4: Some(24), v6: None };
        assert_eq!(written(KeySpec::IP, wide, v4), "192.0.2.0");
        assert_eq!(written(KeySpec::IPV6, wide, v6), "none, true");
        assert_eq!(written(KeySpec::IP, Prefixes { v4: Some(0), v6: None }, v4), "0.0.0.0");
    }

    #[test]
    fn text_and_numbers_are_cast() {
        assert_eq!(written(KeySpec::INTEGER, WHOLE, |key| key.text("7")), "7");
        assert_eq!(written(KeySpec::INTEGER, WHOLE, |key| key.text("seven")), "none, false");
        assert_eq!(written(KeySpec::INTEGER, WHOLE, |key| key.number(7)), "7");
        assert_eq!(written(KeySpec::STRING, WHOLE, |key| key.number(7)), "7");
        assert_eq!(written(KeySpec::IP, WHOLE, |key| key.text("192.0.2.7")), "192.0.2.7");
        assert_eq!(written(KeySpec::IP, WHOLE, |key| key.text("nobody")), "none, false");
        let long: fn(&mut KeyWriter) -> Option<()> = |key| key.text([b'x'; 2 * WRITTEN_MAX]);
        assert_eq!(written(KeySpec::STRING, WHOLE, long).len(), 31);
        assert_eq!(written(KeySpec::string(1000).unwrap(), WHOLE, long).len(), WRITTEN_MAX);
    }
}
