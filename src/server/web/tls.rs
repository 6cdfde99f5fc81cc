//! The server's side of TLS, from files that may be renewed while it runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::config::{ClientAuth, TlsServerConfig, TlsVersion};

/// How often files are looked at, at most.
const LOOK: Duration = Duration::from_secs(5);
/// A file of certificates is far smaller than this.
const FILE_BYTES: u64 = 1 << 20;
/// How long a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What is wrong with the files of TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("web.tls_server_config.{setting}: {}: {why}", path.display())]
pub struct TlsFault {
    setting: &'static str,
    path: PathBuf,
    why: String,
}

/// What the files hold.
#[derive(Clone, Default, PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// TLS for one protocol.
pub(in crate::server) struct ServerTls {
    config: TlsServerConfig,
    protocol: &'static [u8],
    current: Mutex<Current>,
}

struct Current {
    files: Files,
    looked: Instant,
    server: Arc<ServerConfig>,
    /// The fault of the newest look was told.
    told: bool,
}

impl TlsServerConfig {
    /// What a server that starts with it would say of its files, which are read.
    #[must_use]
    pub fn fault(&self) -> Option<TlsFault> {
        ServerTls::new(self, b"http/1.1").err()
    }
}

impl ServerTls {
    /// Reads the files; `protocol` as ALPN names it (RFC 7301).
    pub fn new(config: &TlsServerConfig, protocol: &'static [u8]) -> Result<Self, TlsFault> {
        let files = Files::read(config)?;
        let server = files.server(config, protocol)?;
        let current = Mutex::new(Current { files, looked: Instant::now(), server, told: false });
        Ok(Self { config: config.clone(), protocol, current })
    }

    /// Shakes hands.
    pub(in crate::server) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let handshake = TlsAcceptor::from(self.server()).accept(stream);
        tokio::time::timeout(HANDSHAKE, handshake).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// With what the files hold, or held when they were last good. They are small and local: reading waits for nobody.
    fn server(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() < LOOK {
            return Arc::clone(&current.server);
        }
        current.looked = Instant::now();
        let renewed = Files::read(&self.config).and_then(|files| {
            let changed = files != current.files;
            changed.then(|| files.server(&self.config, self.protocol).map(|server| (files, server))).transpose()
        });
        match renewed {
            Ok(None) => current.told = false,
            Ok(Some((files, server))) => {
                tracing::info!("the certificate was renewed");
                (current.files, current.server, current.told) = (files, server, false);
            }
            Err(error) if !current.told => {
                tracing::error!(%error, "the former certificate stays in use");
                current.told = true;
            }
            Err(_) => {}
        }
        Arc::clone(&current.server)
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Files {
    fn read(config: &TlsServerConfig) -> Result<Self, TlsFault> {
        Ok(Self {
            cert: read("cert_file", &config.cert_file)?,
            key: read("key_file", &config.key_file)?,
            client_ca: config.client_ca_file.as_ref().map(|path| read("client_ca_file", path)).transpose()?,
        })
    }

    fn server(&self, config: &TlsServerConfig, protocol: &[u8]) -> Result<Arc<ServerConfig>, TlsFault> {
        let at_cert = |why: String| fault("cert_file", &config.cert_file, why);
        // The key's own fault is left out: it might quote the key.
        let at_key = || fault("key_file", &config.key_file, "not a PEM private key that fits cert_file".to_owned());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let chain = chain.map_err(|e| at_cert(e.to_string()))?;
        if chain.is_empty() {
            return Err(at_cert("no certificate in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| at_key())?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(config.min_version))
            .map_err(|e| at_cert(e.to_string()))?;
        let builder = match (&self.client_ca, &config.client_ca_file) {
            (Some(pem), Some(path)) => {
                let at_ca = |why: String| fault("client_ca_file", path, why);
                let mut roots = RootCertStore::empty();
                for authority in CertificateDer::pem_slice_iter(pem) {
                    let authority = authority.map_err(|e| at_ca(e.to_string()))?;
                    roots.add(authority).map_err(|e| at_ca(e.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match config.client_auth_type {
                    ClientAuth::RequireAndVerifyClientCert => verifier,
                    ClientAuth::VerifyClientCertIfGiven | ClientAuth::NoClientCert => verifier.allow_unauthenticated(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|e| at_ca(e.to_string()))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(|_| at_key())?;
        server.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(server))
    }
}

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match least {
        TlsVersion::Tls12 => &BOTH,
        TlsVersion::Tls13 => &BOTH[..1],
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsFault> {
    let length = std::fs::metadata(path).map_err(|e| fault(setting, path, e.to_string()))?.len();
    if length > FILE_BYTES {
        return Err(fault(setting, path, format!("{length} bytes are too many")));
    }
    std::fs::read(path).map_err(|e| fault(setting, path, e.to_string()))
}

fn fault(setting: &'static str, path: &Path, why: String) -> TlsFault {
    TlsFault { setting, path: path.to_owned(), why }
}
