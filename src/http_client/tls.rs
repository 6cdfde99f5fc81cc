//! TLS of a client: reads the PEM files and sets them on a `reqwest` builder. Remembers nothing.

use std::sync::Arc;

use reqwest::{Certificate, ClientBuilder, Identity};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{HttpClientError, TlsConfig, read_file};

/// Contents of the TLS files; a client lasts until they change.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct TlsFiles {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl TlsFiles {
    pub(super) async fn read(config: &TlsConfig) -> Result<Self, HttpClientError> {
        let mut files = Self::default();
        if let Some(path) = &config.ca_file {
            files.ca = Some(read_file("tls_config.ca_file", path).await?);
        }
        if let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) {
            files.cert = Some(read_file("tls_config.cert_file", cert).await?);
            files.key = Some(read_file("tls_config.key_file", key).await?);
        }
        Ok(files)
    }
}

/// The process-wide cryptography provider is `ring`; a second call changes nothing.
pub(super) fn install_provider() {
    // An error says that a provider is installed already, which is all that is asked for.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Sets trust and identity on `builder`.
pub(super) fn apply(
    mut builder: ClientBuilder,
    config: &TlsConfig,
    files: &TlsFiles,
) -> Result<ClientBuilder, HttpClientError> {
    if let (Some(name), Some(ca), false) = (&config.server_name, &files.ca, config.insecure_skip_verify) {
        return Ok(builder.tls_backend_preconfigured(named(name, ca, config, files)?));
    }
    if let Some(ca) = &files.ca {
        let certs = Certificate::from_pem_bundle(ca).map_err(|e| ca_fault(config, e))?;
        if certs.is_empty() {
            return Err(ca_fault(config, "no certificate in it"));
        }
        builder = builder.tls_certs_only(certs);
    }
    if let (Some(cert), Some(key)) = (&files.cert, &files.key) {
        let pem = [cert.as_slice(), b"\n", key.as_slice()].concat();
        builder = builder.identity(Identity::from_pem(&pem).map_err(|_| identity_fault(config))?);
    }
    Ok(builder.tls_danger_accept_invalid_certs(config.insecure_skip_verify))
}

fn ca_fault(config: &TlsConfig, why: impl ToString) -> HttpClientError {
    let path = config.ca_file.clone().unwrap_or_default();
    HttpClientError::Content { what: "tls_config.ca_file", path, why: why.to_string() }
}

fn identity_fault(config: &TlsConfig) -> HttpClientError {
    // The key's own parse error is left out: it might quote the key.
    let path = config.key_file.clone().unwrap_or_default();
    let why = "not a PEM private key that fits tls_config.cert_file".to_owned();
    HttpClientError::Content { what: "tls_config.key_file", path, why }
}

/// A client configuration that looks for `name` in the server's certificate. (SNI still carries the URL's host.)
fn named(name: &str, ca: &[u8], config: &TlsConfig, files: &TlsFiles) -> Result<ClientConfig, HttpClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca) {
        let cert = cert.map_err(|e| ca_fault(config, format!("{e:?}")))?;
        roots.add(cert).map_err(|e| ca_fault(config, e))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|e| ca_fault(config, e))?;
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| HttpClientError::Invalid(format!("tls_config: server_name {name:?} is not a host name")))?;
    let builder =
        client_builder(provider)?.dangerous().with_custom_certificate_verifier(Arc::new(NamedVerifier { inner, name }));
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
            let chain = chain.map_err(|_| identity_fault(config))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| identity_fault(config))?;
            builder.with_client_auth_cert(chain, key).map_err(|_| identity_fault(config))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn client_builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, HttpClientError> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| HttpClientError::Invalid(format!("tls_config: {e}")))
}

/// WebPKI's verifier, with the expected name from the configuration instead of the URL.
#[derive(Debug)]
struct NamedVerifier {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for NamedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _url_host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
