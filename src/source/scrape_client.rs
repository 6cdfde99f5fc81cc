//! The HTTP client of scrapes: TLS, credentials, their redacted configuration.
//!
//! Credentials in files are read at every use, so that rotated ones are taken up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder};
use serde::{Deserialize, Serialize};

/// How to speak to a peer, with the keys of prometheus.yml.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// A token.
    pub authorization: Option<Authorization>,
    /// TLS.
    pub tls_config: TlsConfig,
}

/// User and password; the password stands here or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password.
    pub password: Option<Secret>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
}

/// A token; it stands here or in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// The scheme, `Bearer` where nothing is said.
    #[serde(rename = "type")]
    pub scheme: String,
    /// The token.
    pub credentials: Option<Secret>,
    /// File that holds the token.
    pub credentials_file: Option<PathBuf>,
}

impl Default for Authorization {
    fn default() -> Self {
        Self { scheme: "Bearer".to_owned(), credentials: None, credentials_file: None }
    }
}

/// TLS settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates to trust instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Trust any certificate.
    pub insecure_skip_verify: bool,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<secret>")
    }
}

/// A client that cannot be made, or credentials that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up the HTTP client{hint}: {source}")]
    Client {
        /// What to mend.
        hint: &'static str,
        /// Why.
        source: reqwest::Error,
    },
}

/// A client for one peer. Without `tls` the system's certificates are not needed, and not looked for.
///
/// # Errors
/// The CA file is not readable or holds no certificates, or the system has none.
pub fn client(config: &HttpConfig, tls: bool) -> Result<Client, ClientError> {
    // A second call finds the provider in place and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("forewarn/", env!("CARGO_PKG_VERSION")))
        // As in Prometheus, a proxy of the environment is not for targets.
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .tls_danger_accept_invalid_certs(config.tls_config.insecure_skip_verify);
    let mut hint = " (install the ca-certificates package, or set tls_config.ca_file)";
    if let Some(path) = &config.tls_config.ca_file {
        hint = " (does tls_config.ca_file hold PEM certificates?)";
        let pem = std::fs::read(path).map_err(|source| ClientError::File { path: path.clone(), source })?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|source| ClientError::Client { hint, source })?;
        builder = builder.tls_certs_only(certificates);
    } else if !tls {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|source| ClientError::Client { hint, source })
}

/// Adds the configured credentials to a request.
///
/// # Errors
/// A file of credentials is not readable.
pub async fn authorize(request: RequestBuilder, config: &HttpConfig) -> Result<RequestBuilder, ClientError> {
    if let Some(basic) = &config.basic_auth {
        let password = secret(basic.password.as_ref(), basic.password_file.as_deref()).await?;
        return Ok(request.basic_auth(&basic.username, Some(password)));
    }
    if let Some(token) = &config.authorization {
        let credentials = secret(token.credentials.as_ref(), token.credentials_file.as_deref()).await?;
        return Ok(request.header("authorization", format!("{} {credentials}", token.scheme)));
    }
    Ok(request)
}

async fn secret(text: Option<&Secret>, file: Option<&Path>) -> Result<String, ClientError> {
    match (text, file) {
        (Some(text), _) => Ok(text.0.clone()),
        (None, Some(path)) => match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(source) => Err(ClientError::File { path: path.to_owned(), source }),
        },
        (None, None) => Ok(String::new()),
    }
}
