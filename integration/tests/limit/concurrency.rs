//! A request is under way from the moment it comes until its response is over, whatever happens: raised once, lowered once.

use std::convert::Infallible;
use std::future::{Future as _, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty, Full};
use stktable::DataType as D;
use stktable_integration::SharedTable;
use stktable_integration::limit::{Limit, LimitLayer, Limiter, Limits, Tier};
use tower::{Layer as _, Service as _, service_fn};

use crate::support::*;

const WHO: &str = "192.0.2.7";

struct Lab {
    time: Time,
    table: Arc<SharedTable>,
    limiter: Limiter,
}

impl Lab {
    fn new(max: u64) -> Self {
        let time = Time::new();
        let table =
            table("table t type ip size 10 expire 1m store conn_cur,conn_cnt,http_req_rate(10s)");
        let tier = Tier::of(&table).limit(Limit::new(D::ConnCur, max));
        let limiter = limiter(Limits::builder().tier(tier), &time);
        Self { time, table, limiter }
    }

    fn open(&self) -> i64 {
        stands(&self.table, WHO, D::ConnCur, self.time.now())
    }

    /// Nothing is held: an operator can remove the entry.
    #[track_caller]
    fn is_free(&self) {
        assert_eq!(self.open(), 0);
        let key = self.table.declaration().key.parse(WHO).unwrap();
        assert_eq!(self.table.remove(&key, self.time.now()), stktable::table::Removed::Removed);
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, &'static str>>>;

/// A body of so many frames, which then ends, fails, or waits for ever.
struct Frames {
    left: usize,
    then: fn() -> Polled,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
        match self.left {
            0 => (self.then)(),
            _ => {
                self.left -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
            }
        }
    }
}

#[test]
fn as_many_as_the_limit_are_under_way() {
    let lab = Lab::new(2);
    let mut service = LimitLayer::new(lab.limiter.clone()).layer(service_fn(async |_| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("x"))))
    }));
    let responses: Vec<_> =
        (0..4).map(|_| now_or_never(service.call(from(WHO))).unwrap()).collect();
    let statuses: Vec<_> = responses.iter().map(|response| response.status().as_u16()).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(lab.open(), 2, "those refused are over");
    assert_eq!(responses[2].headers().get("retry-after"), None, "nobody knows when");
    drop(responses);
    assert_eq!(lab.open(), 0);
    assert_eq!(stands(&lab.table, WHO, D::ConnCnt, lab.time.now()), 4);
    assert_eq!(now_or_never(service.call(from(WHO))).unwrap().status(), 200);
    lab.is_free();
}

#[test]
fn it_is_over_when_the_body_ends_or_fails() {
    let ends = || Poll::Ready(None);
    let fails = || Poll::Ready(Some(Err("broken")));
    for then in [ends, fails] as [fn() -> _; 2] {
        let lab = Lab::new(9);
        let mut service = LimitLayer::new(lab.limiter.clone()).layer(service_fn(move |_| {
            std::future::ready(Ok::<_, ()>(Response::new(Frames { left: 2, then })))
        }));
        let mut body = now_or_never(service.call(from(WHO))).unwrap().into_body();
        for _ in 0..2 {
            assert_eq!(lab.open(), 1);
            assert!(matches!(now_or_never(body.frame()), Some(Ok(_))));
        }
        assert_eq!(lab.open(), 1);
        assert!(!matches!(now_or_never(body.frame()), Some(Ok(_))));
        assert_eq!(lab.open(), 0, "though the body is still there");
        // Once: another one would be taken off here.
        let other =
            lab.table.track(&lab.table.declaration().key.parse(WHO).unwrap(), lab.time.now());
        drop(body);
        assert_eq!(lab.open(), 1);
        drop(other);
        lab.is_free();
    }
}

#[test]
fn it_is_over_when_the_body_is_dropped() {
    let lab = Lab::new(9);
    let mut service = LimitLayer::new(lab.limiter.clone()).layer(service_fn(async |_| {
        Ok::<_, ()>(Response::new(Frames { left: 1, then: || Poll::Pending }))
    }));
    let mut body = now_or_never(service.call(from(WHO))).unwrap().into_body();
    assert!(matches!(now_or_never(body.frame()), Some(Ok(_))));
    assert!(pin!(body.frame()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(lab.open(), 1);
    drop(body);
    lab.is_free();
}

#[test]
fn a_response_without_a_body_is_over_at_once() {
    let lab = Lab::new(9);
    let mut service = LimitLayer::new(lab.limiter.clone())
        .layer(service_fn(async |_| Ok::<_, ()>(Response::new(Empty::<Bytes>::new()))));
    let response = now_or_never(service.call(from(WHO))).unwrap();
    lab.is_free();
    drop(response);
}

#[test]
fn it_is_over_when_the_future_is_dropped_or_fails() {
    let lab = Lab::new(9);
    let mut service = LimitLayer::new(lab.limiter.clone())
        .layer(service_fn(async |_| pending::<Result<Response<Full<Bytes>>, ()>>().await));
    let mut future = Box::pin(service.call(from(WHO)));
    assert_eq!(lab.open(), 1, "from the call on, polled or not");
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(lab.open(), 1);
    drop(future);
    lab.is_free();
    drop(service.call(from(WHO)));
    lab.is_free();

    let mut service = LimitLayer::new(lab.limiter.clone())
        .layer(service_fn(async |_| Err::<Response<Full<Bytes>>, _>("broken")));
    let mut future = Box::pin(service.call(from(WHO)));
    assert!(matches!(
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Err("broken"))
    ));
    lab.is_free();
    drop(future);
}

#[test]
fn it_is_over_when_the_service_panics() {
    let lab = Lab::new(9);
    let panics = || -> Result<Response<Full<Bytes>>, ()> { panic!("on purpose") };
    let mut service = LimitLayer::new(lab.limiter.clone()).layer(service_fn(async |_| panics()));
    let polled = catch_unwind(AssertUnwindSafe(|| now_or_never(service.call(from(WHO))).is_ok()));
    assert!(polled.is_err());
    lab.is_free();

    let mut service = LimitLayer::new(lab.limiter.clone()).layer(service_fn(|_: Request<()>| {
        let _ = panics();
        std::future::ready(Ok::<_, ()>(Response::new(Full::<Bytes>::default())))
    }));
    let called = catch_unwind(AssertUnwindSafe(|| drop(service.call(from(WHO)))));
    assert!(called.is_err());
    lab.is_free();
}

#[test]
fn what_others_have_open_may_be_observed() {
    let (time, shared) = (Time::new(), table("table t type ip size 10 expire 1m store conn_cur"));
    let tier = Tier::of(&shared).limit(Limit::new(D::ConnCur, 2).observed());
    let limiter = limiter(Limits::builder().tier(tier), &time);
    let key = shared.declaration().key.parse(WHO).unwrap();
    let open: Vec<_> = (0..2).map(|_| shared.track(&key, time.now()).unwrap()).collect();
    assert!(is_let_in(&limiter, from(WHO)), "2 are not above 2, and this one is none of them");
    assert_eq!(stands(&shared, WHO, D::ConnCur, time.now()), 2);
    let third = shared.track(&key, time.now());
    assert!(!is_let_in(&limiter, from(WHO)));
    drop((open, third));
    assert!(is_let_in(&limiter, from(WHO)));
}

#[test]
fn many_threads_raise_and_lower_as_often() {
    let lab = Lab::new(3);
    let inside = AtomicUsize::new(0);
    let served: usize = std::thread::scope(|scope| {
        let run = || {
            let service =
                service_fn(async |_| Ok::<_, ()>(Response::new(Full::new(Bytes::from("x")))));
            let mut service = LimitLayer::new(lab.limiter.clone()).layer(service);
            let mut served = 0;
            for _ in 0..1000 {
                let response = now_or_never(service.call(from(WHO))).unwrap();
                if response.status() == 200 {
                    served += 1;
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            }
            served
        };
        let threads: Vec<_> = (0..5).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(served > 0);
    assert_eq!(stands(&lab.table, WHO, D::ConnCnt, lab.time.now()), 5000);
    lab.is_free();
}
