//! ebtree
