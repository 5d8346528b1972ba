//! The layer: a request is judged before the service sees it, and counted as under way until its response has been sent.

use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::key::Head;
use super::limiter::{Guards, Limiter, Passed, Verdict};

/// Limits the requests to a service. See the [module](super).
#[derive(Clone, Debug)]
pub struct LimitLayer(Limiter);

impl LimitLayer {
    /// Makes a layer of a limiter, which may be that of other layers too.
    #[must_use]
    pub const fn new(limiter: Limiter) -> Self {
        Self(limiter)
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> LimitService<S> {
        LimitService { inner, limiter: self.0.clone() }
    }
}

/// A service whose requests are limited. A refused request does not reach it, though it was asked whether it is ready.
#[derive(Clone, Debug)]
pub struct LimitService<S> {
    inner: S,
    limiter: Limiter,
}

impl<S, Q, R> Service<Request<Q>> for LimitService<S>
where
    S: Service<Request<Q>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<LimitBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let passed = match self.limiter.judge(Head::of(&request)) {
            Verdict::Pass(passed) => passed,
            Verdict::Shadow(passed, refusal) => {
                request.extensions_mut().insert(*refusal);
                passed
            }
            Verdict::Refuse(response) => {
                return ResponseFuture { state: State::Refused { response: Some(response) } };
            }
        };
        // If this panics, the guards are dropped on the way.
        let future = self.inner.call(request);
        ResponseFuture { state: State::Passed { future, passed } }
    }
}

pin_project! {
    /// The response to a request that was judged.
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Passed { #[pin] future: F, passed: Passed },
        Refused { response: Option<Box<Response<Bytes>>> },
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<LimitBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().state.project() {
            StateProjection::Passed { future, passed } => {
                let result = ready!(future.poll(context));
                let Passed { guards, fields } = mem::take(passed);
                result.map(|mut response| {
                    if let Some(fields) = fields {
                        fields.add_to(response.headers_mut());
                    }
                    response.map(|body| LimitBody::of(body, guards))
                })
            }
            StateProjection::Refused { response } => {
                let response = response.take().expect("not polled after it was ready");
                Ok(response.map(LimitBody::refusal))
            }
        })
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response: the service's, which keeps the request counted as under way until it is over or dropped, or that of a refusal.
    pub struct LimitBody<B> {
        #[pin]
        content: Content<B>,
        guards: Guards,
    }
}

pin_project! {
    #[project = ContentProjection]
    enum Content<B> {
        Service { #[pin] body: B },
        Refusal { bytes: Option<Bytes> },
    }
}

impl<B: Body> LimitBody<B> {
    fn of(body: B, guards: Guards) -> Self {
        let guards = if body.is_end_stream() { Guards::default() } else { guards };
        Self { content: Content::Service { body }, guards }
    }

    fn refusal(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self { content: Content::Refusal { bytes }, guards: Guards::default() }
    }
}

impl<B> Body for LimitBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        Poll::Ready(match this.content.project() {
            ContentProjection::Service { body } => {
                let frame = ready!(body.poll_frame(context));
                if !matches!(frame, Some(Ok(_))) {
                    *this.guards = Guards::default();
                }
                frame
            }
            ContentProjection::Refusal { bytes } => {
                bytes.take().map(|bytes| Ok(Frame::data(bytes.into())))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Service { body } => body.is_end_stream(),
            Content::Refusal { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Service { body } => body.size_hint(),
            Content::Refusal { bytes } => {
                let length = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                SizeHint::with_exact(length)
            }
        }
    }
}

impl<B> fmt::Debug for LimitBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitBody").finish_non_exhaustive()
    }
}
