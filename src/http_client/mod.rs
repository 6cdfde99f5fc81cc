//! The HTTP client of sinks, scrapes, history and own traces: credentials, TLS and proxy as Prometheus' configuration has them.
//!
//! Files with secrets or certificates are read at every request, so that a rotated one is used at once. Knows nothing of
//! what is sent, never retries, and never lets a secret into a message.

mod config;
mod file;
mod secret;
mod tls;

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};
use tokio::sync::Mutex;
use url::Url;

pub(crate) use config::has_http_settings;
pub use config::{Authorization, BasicAuth, HttpClientConfig, TlsConfig};
pub use file::NamedFile;
pub use secret::Secret;

use tls::TlsFiles;

/// Why no request can be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// A file that cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    File {
        /// The setting that names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that does not hold what it should.
    #[error("{what} {}: {why}", path.display())]
    Content {
        /// The setting that names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Settings that cannot work.
    #[error("{0}")]
    Invalid(String),
    /// The TLS library refuses the settings, or the system has no certificates to trust.
    #[error("cannot set up the HTTP client: {0}")]
    Build(String),
}

/// What a client is for; decides which redirects may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// GET: all redirects.
    Read,
    /// POST: only 307 and 308. Any other redirect would become a GET, and a log-in page's 200 would pass for an acknowledgement.
    Write,
}

/// An HTTP client. One connection pool, built anew when a TLS file changes.
#[derive(Debug)]
pub struct HttpClient {
    config: HttpClientConfig,
    purpose: Purpose,
    timeout: Duration,
    built: Mutex<Option<Built>>,
}

struct Built {
    files: TlsFiles,
    /// Whether it can verify a server: false on a machine without CA certificates.
    verifies: bool,
    client: Client,
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Built")
    }
}

impl HttpClient {
    /// A client whose requests, answer's body included, take at most `timeout`.
    ///
    /// # Errors
    /// [`HttpClientConfig::validate`]'s. Files are not read yet.
    pub fn new(config: &HttpClientConfig, purpose: Purpose, timeout: Duration) -> Result<Self, HttpClientError> {
        config.validate()?;
        tls::install_provider();
        Ok(Self { config: config.clone(), purpose, timeout, built: Mutex::new(None) })
    }

    /// A request that carries the configured credentials.
    ///
    /// # Errors
    /// A file that cannot be read or does not fit.
    pub async fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, HttpClientError> {
        let credentials = self.authorization().await?;
        let request = self.client(url.scheme() == "https").await?.request(method, url);
        Ok(match credentials {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        })
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>, HttpClientError> {
        let config = &self.config;
        let text = if let Some(basic) = &config.basic_auth {
            let password = secret(basic.password.as_ref(), "basic_auth.password_file", basic.password_file.as_deref());
            let pair = format!("{}:{}", basic.username, password.await?.expose());
            format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair))
        } else if let Some(auth) = &config.authorization {
            let file = auth.credentials_file.as_deref();
            let credentials = secret(auth.credentials.as_ref(), "authorization.credentials_file", file).await?;
            format!("{} {}", auth.kind.trim(), credentials.expose())
        } else if let Some(file) = &config.bearer_token_file {
            format!("Bearer {}", secret(None, "bearer_token_file", Some(file)).await?.expose())
        } else {
            return Ok(None);
        };
        let mut header = HeaderValue::from_str(&text)
            .map_err(|_| HttpClientError::Invalid("the credentials hold a character no header can".to_owned()))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    async fn client(&self, https: bool) -> Result<Client, HttpClientError> {
        let files = TlsFiles::read(&self.config.tls_config).await?;
        let mut built = self.built.lock().await;
        if let Some(current) = built.as_ref().filter(|b| b.files == files && (b.verifies || !https)) {
            return Ok(current.client.clone());
        }
        let fresh = self.build(files, https)?;
        Ok(built.insert(fresh).client.clone())
    }

    fn build(&self, files: TlsFiles, https: bool) -> Result<Built, HttpClientError> {
        match tls::apply(self.builder()?, &self.config.tls_config, &files)?.build() {
            Ok(client) => Ok(Built { files, verifies: true, client }),
            // A machine without any CA certificates can still speak plain HTTP.
            Err(_) if !https && files == TlsFiles::default() => {
                let client = self.builder()?.tls_certs_only([]).build().map_err(build_fault)?;
                Ok(Built { files, verifies: false, client })
            }
            Err(error) => Err(build_fault(error)),
        }
    }

    fn builder(&self) -> Result<reqwest::ClientBuilder, HttpClientError> {
        let builder = Client::builder()
            .user_agent(concat!("forewarn/", env!("CARGO_PKG_VERSION")))
            .timeout(self.timeout)
            .connect_timeout(self.timeout)
            .redirect(redirects(self.config.follow_redirects, self.purpose));
        match &self.config.proxy_url {
            Some(url) => {
                let proxy = reqwest::Proxy::all(url.expose())
                    .map_err(|_| HttpClientError::Invalid("proxy_url is not a URL".to_owned()))?;
                Ok(builder.proxy(proxy))
            }
            None => Ok(builder.no_proxy()),
        }
    }
}

/// Text of an error and of its causes, without the URL: it may hold a secret.
#[must_use]
pub fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Reads a text file that a setting names, white space at both ends off, as Prometheus reads its secrets.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub async fn read_secret(what: &'static str, path: &Path) -> Result<Secret, HttpClientError> {
    match String::from_utf8(read_file(what, path).await?) {
        Ok(text) => Ok(Secret::new(text.trim())),
        Err(_) => Err(HttpClientError::Content { what, path: path.to_owned(), why: "not UTF-8".to_owned() }),
    }
}

async fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, HttpClientError> {
    tokio::fs::read(path).await.map_err(|source| HttpClientError::File { what, path: path.to_owned(), source })
}

async fn secret(given: Option<&Secret>, what: &'static str, file: Option<&Path>) -> Result<Secret, HttpClientError> {
    match (given, file) {
        (Some(secret), _) => Ok(secret.clone()),
        (None, Some(path)) => read_secret(what, path).await,
        (None, None) => Ok(Secret::new("")),
    }
}

fn build_fault(error: reqwest::Error) -> HttpClientError {
    HttpClientError::Build(describe(error))
}

fn redirects(follow: bool, purpose: Purpose) -> redirect::Policy {
    const MOST: usize = 10;
    match (follow, purpose) {
        (false, _) => redirect::Policy::none(),
        (true, Purpose::Read) => redirect::Policy::limited(MOST),
        (true, Purpose::Write) => redirect::Policy::custom(|attempt| {
            let keeps_method =
                matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            if keeps_method && attempt.previous().len() <= MOST { attempt.follow() } else { attempt.stop() }
        }),
    }
}
