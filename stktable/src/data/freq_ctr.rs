//! Events per sliding period.
