//! Who asks: the address of the connection, or what proxies that are trusted say of it.

use core::fmt;
use core::task::{Context, Poll};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{Extensions, Request};
use ipnet::{IpNet, Ipv4Net};
use tower_layer::Layer;
use tower_service::Service;

use super::forwarded::{self, Field};
use super::key::Head;

/// Returns an IPv4 address that is written as IPv6 (`::ffff:192.0.2.7`) as IPv4.
pub(super) const fn normal(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Networks, of either family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Box<[IpNet]>);

impl Networks {
    /// Returns whether an address is in one of them. IPv4 that is written as IPv6 is IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = normal(address);
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mapped = |network: &IpNet| match network {
            IpNet::V6(network) => {
                let bits = network.prefix_len().checked_sub(96)?;
                Ipv4Net::new(network.addr().to_ipv4_mapped()?, bits).ok().map(IpNet::V4)
            }
            IpNet::V4(_) => None,
        };
        Self(networks.into_iter().map(|network| mapped(&network).unwrap_or(network)).collect())
    }
}

/// The other end of the connection that a request came by. Put among the extensions of each request by whoever accepts connections;
/// [`PeerAddrLayer`] does it for all requests of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Tells where the address of the client is found.
///
/// The default is the other end of the connection, from the extension [`PeerAddr`]. Where proxies stand before the service, that is
/// one of them, and what they say of the client is in a header field that anybody can send. So it is only ever believed as far as
/// it was written by proxies of these networks:
///
/// - The walk begins with the connection. As long as an address is one of a trusted proxy, what that proxy said is the next one; proxies
///   write at the end, so the field is read from right to left. The first address that is not trusted is the client.
/// - Where an element is malformed, hidden (`unknown`, `_name`) or missing, the address that was trusted last is the client.
/// - Several lines of the field are one list, in their order. A quoted string ends with its line.
///
/// # Examples
/// ```
/// use stktable_integration::limit::{Client, Head, PeerAddr};
///
/// let client = Client::x_forwarded_for(["10.0.0.0/8".parse().unwrap()]);
/// let request = http::Request::builder()
///     .extension(PeerAddr("10.0.0.1:4711".parse().unwrap()))
///     .header("x-forwarded-for", "127.0.0.1, 192.0.2.7, 10.0.0.2")
///     .body(())
///     .unwrap();
/// // What 192.0.2.7 itself has sent does not count.
/// assert_eq!(client.address(&Head::of(&request)), "192.0.2.7".parse().ok());
/// ```
#[derive(Clone)]
pub struct Client {
    peer: Arc<Peer>,
    proxies: Option<(Field, Networks)>,
}

type Peer = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

impl Default for Client {
    fn default() -> Self {
        Self::peer()
    }
}

impl Client {
    /// The other end of the connection.
    #[must_use]
    pub fn peer() -> Self {
        Self { peer: Arc::new(|all| Some(all.get::<PeerAddr>()?.0.ip())), proxies: None }
    }

    /// What proxies of these networks say in `Forwarded` (RFC 7239).
    pub fn forwarded(trusted: impl IntoIterator<Item = IpNet>) -> Self {
        Self::behind(Field::Forwarded, trusted)
    }

    /// What proxies of these networks say in `X-Forwarded-For`.
    pub fn x_forwarded_for(trusted: impl IntoIterator<Item = IpNet>) -> Self {
        Self::behind(Field::XForwardedFor, trusted)
    }

    fn behind(field: Field, trusted: impl IntoIterator<Item = IpNet>) -> Self {
        Self { proxies: Some((field, trusted.into_iter().collect())), ..Self::peer() }
    }

    /// Finds the other end of the connection in another extension than [`PeerAddr`]: with axum in its own,
    /// `|ConnectInfo(address): &ConnectInfo<SocketAddr>| address.ip()`.
    #[must_use]
    pub fn from_extension<T: Send + Sync + 'static, A: Into<Option<IpAddr>>>(
        self,
        address: impl Fn(&T) -> A + Send + Sync + 'static,
    ) -> Self {
        Self { peer: Arc::new(move |all| address(all.get::<T>()?).into()), ..self }
    }

    /// Returns the address of the client, `None` where nobody said who is at the other end of the connection.
    #[must_use]
    pub fn address(&self, head: &Head<'_>) -> Option<IpAddr> {
        let peer = normal((self.peer)(head.extensions)?);
        Some(match &self.proxies {
            None => peer,
            Some((field, trusted)) => forwarded::walk(*field, trusted, peer, head.headers),
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

/// Adds a [`PeerAddr`] to every request of one connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddrLayer(pub SocketAddr);

impl<S> Layer<S> for PeerAddrLayer {
    type Service = PeerAddrService<S>;

    fn layer(&self, inner: S) -> PeerAddrService<S> {
        PeerAddrService { inner, peer: PeerAddr(self.0) }
    }
}

/// See [`PeerAddrLayer`].
#[derive(Clone, Copy, Debug)]
pub struct PeerAddrService<S> {
    inner: S,
    peer: PeerAddr,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for PeerAddrService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.inner.call(request)
    }
}
