//! What a listener, and a peer that is called, do about TLS; read again when the files change.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};

use super::error::{TlsError, TlsErrorKind};
use super::files::{Loaded, Stamp, stamp};
use super::{Settings, Verify, Versions};

/// What was made of the files, and when they were written.
#[derive(Debug)]
struct Current<C> {
    config: Arc<C>,
    stamp: Stamp,
}

/// Settings, and what was made of their files last.
#[derive(Debug)]
struct Kept<C> {
    settings: Settings,
    current: ArcSwap<Current<C>>,
    make: fn(&Settings) -> Result<C, TlsError>,
}

impl<C: Send + Sync + 'static> Kept<C> {
    fn load(
        settings: Settings,
        make: fn(&Settings) -> Result<C, TlsError>,
    ) -> Result<Self, TlsError> {
        // First: what is written while we read is read again.
        let stamp = stamp(&settings);
        let config = Arc::new(make(&settings)?);
        Ok(Self { settings, current: ArcSwap::from_pointee(Current { config, stamp }), make })
    }

    fn reload(&self) -> Result<(), TlsError> {
        let stamp = stamp(&self.settings);
        let made = (self.make)(&self.settings);
        // A stamp that was tried is not tried again, so that an error is told once.
        let config = match &made {
            Ok(_) => None,
            Err(_) => Some(Arc::clone(&self.current.load().config)),
        };
        let (config, result) = match (made, config) {
            (Ok(config), _) => (Arc::new(config), Ok(())),
            (Err(error), Some(config)) => (config, Err(error)),
            (Err(error), None) => return Err(error),
        };
        self.current.store(Arc::new(Current { config, stamp }));
        result
    }

    /// Returns what the files say now; what they said before if they cannot be used.
    async fn fresh(self: Arc<Self>) -> Arc<C> {
        let this = Arc::clone(&self);
        let look = move || {
            if stamp(&this.settings) == this.current.load().stamp {
                return;
            }
            match this.reload() {
                Ok(()) => tracing::info!(files = ?this.files(), "certificates read again"),
                Err(error) => {
                    tracing::error!(%error, "certificates cannot be read again, the old ones stay");
                }
            }
        };
        // Fails only when the runtime ends.
        let _ = tokio::task::spawn_blocking(look).await;
        Arc::clone(&self.current.load().config)
    }

    fn files(&self) -> Vec<&PathBuf> {
        [&self.settings.crt, &self.settings.key, &self.settings.ca_file]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// The TLS of a listener.
#[derive(Debug)]
pub struct Acceptor(Arc<Kept<ServerConfig>>);

/// The TLS of calls to one peer.
#[derive(Debug)]
pub struct Connector(Arc<Kept<ClientConfig>>);

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be used, or one is missing.
    pub fn load(settings: Settings) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(Arc::new(Kept::load(settings, server)?))))
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// When one cannot be used; what there was stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.reload()
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) async fn fresh(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0).fresh().await
    }
}

impl Connector {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be used, or one is missing.
    pub fn load(settings: Settings) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(Arc::new(Kept::load(settings, client)?))))
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// When one cannot be used; what there was stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.reload()
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) async fn fresh(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0).fresh().await
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn versions(versions: Versions) -> &'static [&'static SupportedProtocolVersion] {
    static TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
    static TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match versions {
        Versions::Both => rustls::ALL_VERSIONS,
        Versions::Tls12 => &TLS12,
        Versions::Tls13 => &TLS13,
    }
}

/// What rustls says of the files of `word`.
fn refused<'a>(
    word: &'static str,
    file: Option<&'a PathBuf>,
) -> impl Fn(Error) -> TlsError + use<'a> {
    move |error| TlsError { word, file: file.cloned(), kind: TlsErrorKind::Tls(error.to_string()) }
}

fn missing(word: &'static str) -> TlsError {
    TlsError { word, file: None, kind: TlsErrorKind::Missing }
}

fn server(settings: &Settings) -> Result<ServerConfig, TlsError> {
    let Loaded { own, roots } = Loaded::read(settings)?;
    let (chain, key) = own.ok_or(missing("crt"))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(settings.versions))
        .map_err(refused("ssl", None))?;
    let builder = match settings.verify {
        Verify::None => builder.with_no_client_auth(),
        Verify::Optional | Verify::Required => {
            let roots = Arc::new(roots.ok_or(missing("ca-file"))?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = match settings.verify {
                Verify::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| TlsError {
                word: "ca-file",
                file: settings.ca_file.clone(),
                kind: TlsErrorKind::Tls(error.to_string()),
            })?)
        }
    };
    let word = if settings.key.is_some() { "key" } else { "crt" };
    let file = settings.key.as_ref().or(settings.crt.as_ref());
    let mut config = builder.with_single_cert(chain, key).map_err(refused(word, file))?;
    // Nothing is resumed: the certificate of a caller is judged each time.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(settings: &Settings) -> Result<ClientConfig, TlsError> {
    let Loaded { own, roots } = Loaded::read(settings)?;
    let roots = match settings.verify {
        Verify::None => None,
        _ => Some(roots.ok_or(missing("ca-file"))?),
    };
    let named = settings.verify_host.as_ref().map(|name| ("verifyhost", name));
    let named = named.or(settings.sni.as_ref().map(|name| ("sni", name)));
    let name = named.map(|(word, name)| server_name(word, name)).transpose()?;
    // Used at each call.
    settings.sni.as_ref().map(|name| server_name("sni", name)).transpose()?;
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(settings.versions))
        .map_err(refused("ssl", None))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerCheck { roots, name, algorithms }));
    let word = if settings.key.is_some() { "key" } else { "crt" };
    let file = settings.key.as_ref().or(settings.crt.as_ref());
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(refused(word, file))?
        }
    };
    config.resumption = Resumption::disabled();
    config.enable_sni = settings.sni.is_some();
    Ok(config)
}

/// Whether a certificate can have this name.
pub(crate) fn can_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// Returns a name that a certificate can have.
pub(super) fn server_name(word: &'static str, name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError {
        word,
        file: None,
        kind: TlsErrorKind::Name(name.to_owned()),
    })
}

/// Judges the certificate of a peer that is called, as HAProxy does: whether somebody vouches for it, and its name where
/// one is said.
#[derive(Debug)]
struct ServerCheck {
    /// `None` where nothing is verified.
    roots: Option<RootCertStore>,
    name: Option<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        if let Some(name) = &self.name {
            verify_server_name(&certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
