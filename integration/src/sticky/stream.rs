//! A stream whose bytes are counted.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use stktable::table::Event;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;

/// A stream of a [`Connection`]: what is read from it counts as `bytes_in`, what is written as `bytes_out`, in every counter of the
/// connection that tracks something. It keeps the connection alive.
///
/// Put it around TLS to count what is said, below TLS to count what is sent.
#[derive(Debug)]
pub struct TrackedStream<S, const N: usize = 3> {
    stream: S,
    connection: Arc<Connection<N>>,
}

impl<S, const N: usize> TrackedStream<S, N> {
    pub(super) const fn new(stream: S, connection: Arc<Connection<N>>) -> Self {
        Self { stream, connection }
    }

    /// Returns the stream, whose bytes are counted no more.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Returns the stream.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the connection.
    pub const fn connection(&self) -> &Arc<Connection<N>> {
        &self.connection
    }

    fn wrote(&self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes @ 1..)) = wrote {
            self.connection.count(Event::BytesOut, bytes as u64);
        }
        wrote
    }
}

impl<S: AsyncRead + Unpin, const N: usize> AsyncRead for TrackedStream<S, N> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len().saturating_sub(before);
        if bytes > 0 {
            self.connection.count(Event::BytesIn, bytes as u64);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin, const N: usize> AsyncWrite for TrackedStream<S, N> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
