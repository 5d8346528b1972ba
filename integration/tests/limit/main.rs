//! The layer that limits requests, driven by hand: time is a number, and every future is polled here, but for those of `served`.

mod answers;
mod concurrency;
mod counting;
mod declared;
mod live;
mod proxies;
mod served;
mod support;
mod tiers;
mod waiting;
