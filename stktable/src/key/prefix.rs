//! Networks, and other beginnings of keys.

use core::fmt;

use super::{Key, KeyError, KeySpec, KeyType};

/// The first bits of keys: a network of addresses, or what strings begin with.
///
/// Made by [`KeySpec::prefix`] and [`KeySpec::parse_prefix`]. A key shorter than the prefix counts as if zeroes followed it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prefix {
    ty: KeyType,
    bits: u32,
    /// As many as the bits need; the last ones that do not belong to it are 0.
    bytes: Box<[u8]>,
}

impl KeySpec {
    /// Returns the prefix of the first `bits` bits of `bytes`, for keys of this type. Other bits of them do not matter, and those beyond
    /// their end are 0. With 0 bits it is the prefix of every key.
    ///
    /// # Errors
    /// When keys of this type have fewer bits.
    pub fn prefix(self, bytes: &[u8], bits: u32) -> Result<Prefix, KeyError> {
        let max = 8 * self.size();
        if bits > max {
            return Err(KeyError::Prefix { bits, max });
        }
        let mut kept = vec![0; bits.div_ceil(8) as usize].into_boxed_slice();
        for (kept, byte) in kept.iter_mut().zip(bytes) {
            *kept = *byte;
        }
        if let Some(last) = kept.last_mut() {
            // At least one bit of the last byte belongs to it.
            *last &= 0xff << ((8 - bits % 8) % 8);
        }
        Ok(Prefix { ty: self.ty(), bits, bytes: kept })
    }

    /// Returns the prefix that this text means.
    ///
    /// Of addresses a network, `10.0.0.0/8` or `2001:db8::/32`, or one address; host bits do not matter. An IPv4 network in a table of
    /// `ipv6` is that of its mapped addresses. Of strings what they begin with, of binary keys the same in hexadecimal. An integer
    /// has none but itself.
    ///
    /// # Errors
    /// When the text is none of these.
    ///
    /// # Examples
    /// ```
    /// use stktable::KeySpec;
    ///
    /// let network = KeySpec::IP.parse_prefix("192.0.2.0/24")?;
    /// assert!(network.contains(&KeySpec::IP.parse("192.0.2.77")?));
    /// assert!(!network.contains(&KeySpec::IP.parse("192.0.3.77")?));
    /// # Ok::<_, stktable::KeyError>(())
    /// ```
    pub fn parse_prefix(self, text: &str) -> Result<Prefix, KeyError> {
        let invalid = || KeyError::Text { ty: self.ty() };
        match self.ty() {
            KeyType::Ip | KeyType::Ipv6 => {
                let (address, length) = match text.split_once('/') {
                    None => (text, None),
                    Some((address, length)) => (address, Some(length)),
                };
                let key = self.parse(address)?;
                let is_mapped = self.ty() == KeyType::Ipv6 && !address.contains(':');
                let is_cut = self.ty() == KeyType::Ip && address.contains(':');
                let Some(length) = length else {
                    return self.prefix(key.as_bytes(), 8 * self.size());
                };
                // The length of an IPv6 network says nothing of the IPv4 address inside.
                if is_cut || length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit())
                {
                    return Err(invalid());
                }
                let bits: u32 = length.parse().map_err(|_| invalid())?;
                let before = if is_mapped { 96 } else { 0 };
                if bits > 8 * self.size() - before {
                    return Err(invalid());
                }
                self.prefix(key.as_bytes(), before + bits)
            }
            KeyType::Integer => self.prefix(self.parse(text)?.as_bytes(), 32),
            KeyType::String => self.of_bytes(text.as_bytes()).ok_or_else(invalid),
            KeyType::Binary => {
                // Padded with zeroes to a whole key, of which only what was given counts.
                let key = self.parse(text)?;
                let given = key.as_bytes().get(..text.len() / 2);
                given.and_then(|bytes| self.of_bytes(bytes)).ok_or_else(invalid)
            }
        }
    }

    /// Returns the prefix of all of these bytes.
    fn of_bytes(self, bytes: &[u8]) -> Option<Prefix> {
        self.prefix(bytes, u32::try_from(bytes.len()).ok()?.checked_mul(8)?).ok()
    }
}

impl Prefix {
    /// Returns the type of the keys.
    #[must_use]
    pub const fn ty(&self) -> KeyType {
        self.ty
    }

    /// Returns the number of bits.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// Returns the bits, and zeroes up to the end of the last byte.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether a key is of this type and begins with this.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        key.ty() == self.ty && self.contains_bytes(key.as_bytes())
    }

    /// Returns whether canonical bytes of a key of this type begin with this.
    pub(crate) fn contains_bytes(&self, bytes: &[u8]) -> bool {
        let Some((last, whole)) = self.bytes.split_last() else { return true };
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let mask = 0xff << ((8 - self.bits % 8) % 8);
        whole.iter().enumerate().all(|(at, mine)| *mine == byte(at))
            && (byte(whole.len()) ^ last) & mask == 0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.bytes {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "/{}", self.bits)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses_at_every_length() {
        let address = 0xc0a8_d5a7_u32;
        for bits in 0..=32 {
            let network = KeySpec::IP.prefix(&address.to_be_bytes(), bits).unwrap();
            let inside =
                |other: u32| network.contains(&KeySpec::IP.key(&other.to_be_bytes()).unwrap());
            assert!(inside(address), "{network}");
            for bit in 0..32 {
                assert_eq!(inside(address ^ (1 << (31 - bit))), bit >= bits, "{network} {bit}");
            }
        }
        let error = KeySpec::IP.prefix(&[], 33).unwrap_err();
        assert_eq!(error.to_string(), "a prefix of 33 bits, of keys of 32");
        let masked = KeySpec::IP.parse_prefix("10.1.2.3/8").unwrap();
        assert_eq!(masked, KeySpec::IP.parse_prefix("10.0.0.0/8").unwrap());
        assert_eq!(masked.to_string(), "0a/8");
    }

    #[test]
    fn texts_are_checked_whole() {
        for wrong in ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10/8", "::/8", "a/b", "/8"] {
            assert!(KeySpec::IP.parse_prefix(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["::/129", "10.0.0.0/33", "x/8"] {
            assert!(KeySpec::IPV6.parse_prefix(wrong).is_err(), "{wrong:?}");
        }
        let mapped = KeySpec::IPV6.parse_prefix("10.0.0.0/8").unwrap();
        assert_eq!(mapped, KeySpec::IPV6.parse_prefix("::ffff:10.0.0.0/104").unwrap());
        assert_eq!(KeySpec::IP.parse_prefix("10.0.0.1").unwrap().bits(), 32);
        assert_eq!(KeySpec::INTEGER.parse_prefix("7").unwrap().bits(), 32);
        assert!(KeySpec::INTEGER.parse_prefix("7/8").is_err());
    }

    #[test]
    fn strings_and_blocks_have_beginnings() {
        let prefix = KeySpec::STRING.parse_prefix("ab").unwrap();
        let inside = |text: &[u8]| prefix.contains(&KeySpec::STRING.key(text).unwrap());
        assert!(inside(b"ab") && inside(b"abc") && !inside(b"a") && !inside(b"ac"));
        assert!(!prefix.contains(&KeySpec::BINARY.key(b"ab").unwrap()), "another type");
        let all = KeySpec::STRING.parse_prefix("").unwrap();
        assert!(all.contains(&KeySpec::STRING.key(b"").unwrap()));
        let block = KeySpec::binary(4).unwrap();
        let prefix = block.parse_prefix("00ff").unwrap();
        assert!(prefix.contains(&block.key(&[0, 255, 9, 9]).unwrap()) && prefix.bits() == 16);
        assert!(!prefix.contains(&block.key(&[0, 254]).unwrap()));
        assert!(block.parse_prefix("0011223344").is_err());
    }
}
