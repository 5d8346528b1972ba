//! Maps for serde: written and read as maps, entry by entry.

#[cfg(not(loom))]
use core::fmt;
#[cfg(not(loom))]
use core::marker::PhantomData;

#[cfg(not(loom))]
use ::serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use ::serde::ser::{Serialize, SerializeMap, Serializer};

use super::EbTree;
use crate::key::Key;
use crate::reclaim::Reclaimer;

impl<K: Key + Serialize, V: Serialize + Send + Sync + 'static, R: Reclaimer> Serialize
    for EbTree<K, V, R>
{
    /// Writes what a walk meets, in ascending order. As with [`iter`](EbTree::iter), others may change the map meanwhile.
    ///
    /// The number of entries is not known until the walk is over. A format that writes it first, as some binary ones do,
    /// refuses that: collect the entries first for it, in a `BTreeMap` say.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for entry in self {
            map.serialize_entry(entry.key(), entry.value())?;
        }
        map.end()
    }
}

#[cfg(not(loom))]
impl<'de, K, V, R> Deserialize<'de> for EbTree<K, V, R>
where
    K: Key + Deserialize<'de>,
    V: Deserialize<'de> + Send + Sync + 'static,
    R: Reclaimer + Default,
{
    /// Reads a map, into the [global](crate::Domain::global) domain. Of entries with one key the last stays.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V, R>(PhantomData<(K, V, R)>);

        impl<'de, K, V, R> Visitor<'de> for Entries<K, V, R>
        where
            K: Key + Deserialize<'de>,
            V: Deserialize<'de> + Send + Sync + 'static,
            R: Reclaimer + Default,
        {
            type Value = EbTree<K, V, R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let tree = EbTree::default();
                while let Some((key, value)) = entries.next_entry()? {
                    tree.insert(key, value);
                }
                Ok(tree)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}
