//! Settings of an HTTP client, in the shape of Prometheus' `http_config`
//! (prometheus/common `config/http_config.go`, `HTTPClientConfig`). Reads no file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{HttpClientError, NamedFile, Secret};

/// How to reach an HTTP server: credentials, TLS, proxy, redirects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClientConfig {
    /// User name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// File with a bearer token; the same as `authorization.credentials_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// TLS.
    pub tls_config: TlsConfig,
    /// Proxy for all requests; without it none is used, whatever the environment says. A secret, since it may hold a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<Secret>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
}

/// User name and password, the password given or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuth {
    /// User name.
    pub username: String,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// File with the password, read at every request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// The `Authorization` header: `<type> <credentials>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// Scheme, `Bearer` unless told otherwise.
    #[serde(rename = "type")]
    pub kind: String,
    /// Credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Secret>,
    /// File with the credentials, read at every request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
}

/// TLS settings; the files are PEM and are looked at anew at every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Key of the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Name that the server's certificate must carry, where it is not the URL's host. Needs `ca_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Trust any certificate.
    pub insecure_skip_verify: bool,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            bearer_token_file: None,
            tls_config: TlsConfig::default(),
            proxy_url: None,
            follow_redirects: true,
        }
    }
}

impl Default for Authorization {
    fn default() -> Self {
        Self { kind: "Bearer".to_owned(), credentials: None, credentials_file: None }
    }
}

impl HttpClientConfig {
    /// Checks what can be checked without reading a file.
    ///
    /// # Errors
    /// Settings that contradict each other, or a proxy that is not a URL.
    pub fn validate(&self) -> Result<(), HttpClientError> {
        let invalid = |text: &str| Err(HttpClientError::Invalid(text.to_owned()));
        let ways = [self.basic_auth.is_some(), self.authorization.is_some(), self.bearer_token_file.is_some()];
        if ways.iter().filter(|w| **w).count() > 1 {
            return invalid("give only one of basic_auth, authorization and bearer_token_file");
        }
        if let Some(basic) = &self.basic_auth
            && basic.password.is_some()
            && basic.password_file.is_some()
        {
            return invalid("basic_auth: give password or password_file, not both");
        }
        if let Some(auth) = &self.authorization {
            if auth.credentials.is_some() == auth.credentials_file.is_some() {
                return invalid("authorization: give either credentials or credentials_file");
            }
            if auth.kind.eq_ignore_ascii_case("basic") {
                return invalid("authorization: for type Basic use basic_auth");
            }
            if auth.kind.trim().is_empty() {
                return invalid("authorization: type must not be empty");
            }
        }
        let tls = &self.tls_config;
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            return invalid("tls_config: cert_file and key_file belong together");
        }
        if tls.server_name.is_some() && tls.ca_file.is_none() && !tls.insecure_skip_verify {
            return invalid("tls_config: server_name needs ca_file");
        }
        match self.proxy_url.as_ref().map(|p| Url::parse(p.expose())) {
            Some(Err(_)) => invalid("proxy_url is not a URL"),
            _ => Ok(()),
        }
    }

    /// The files that it names, with their settings.
    #[must_use]
    pub fn files(&self) -> Vec<NamedFile> {
        let named = [
            ("basic_auth.password_file", self.basic_auth.as_ref().and_then(|b| b.password_file.as_deref())),
            ("authorization.credentials_file", self.authorization.as_ref().and_then(|a| a.credentials_file.as_deref())),
            ("bearer_token_file", self.bearer_token_file.as_deref()),
        ];
        let credentials = named.into_iter().filter_map(|(setting, file)| Some(NamedFile::new(setting, file?)));
        credentials.chain(self.tls_config.files("tls_config")).collect()
    }

    /// Makes relative file names relative to `dir`, the folder of the configuration file.
    pub fn resolve_paths(&mut self, dir: &Path) {
        let tls = &mut self.tls_config;
        let files = [
            self.basic_auth.as_mut().and_then(|b| b.password_file.as_mut()),
            self.authorization.as_mut().and_then(|a| a.credentials_file.as_mut()),
            self.bearer_token_file.as_mut(),
            tls.ca_file.as_mut(),
            tls.cert_file.as_mut(),
            tls.key_file.as_mut(),
        ];
        for file in files.into_iter().flatten() {
            *file = dir.join(&*file);
        }
    }
}

/// For settings that have the fields of [`HttpClientConfig`] beside their own, as Prometheus' do: the fields together, and
/// their paths. (They stand in each of these because serde's `flatten` would let unknown fields pass.)
macro_rules! has_http_settings {
    ($settings:ty) => {
        impl $settings {
            /// The settings of the HTTP client.
            #[must_use]
            pub fn http(&self) -> $crate::http_client::HttpClientConfig {
                $crate::http_client::HttpClientConfig {
                    basic_auth: self.basic_auth.clone(),
                    authorization: self.authorization.clone(),
                    bearer_token_file: self.bearer_token_file.clone(),
                    tls_config: self.tls_config.clone(),
                    proxy_url: self.proxy_url.clone(),
                    follow_redirects: self.follow_redirects,
                }
            }

            /// Makes relative file names relative to `dir`, the folder of the configuration file.
            pub fn resolve_paths(&mut self, dir: &::std::path::Path) {
                let mut http = self.http();
                http.resolve_paths(dir);
                self.basic_auth = http.basic_auth;
                self.authorization = http.authorization;
                self.bearer_token_file = http.bearer_token_file;
                self.tls_config = http.tls_config;
            }
        }
    };
}
pub(crate) use has_http_settings;

impl TlsConfig {
    /// The files that it names, with their settings within the block of this name.
    #[must_use]
    pub fn files(&self, block: &str) -> Vec<NamedFile> {
        let named = [("ca_file", &self.ca_file), ("cert_file", &self.cert_file), ("key_file", &self.key_file)];
        let files = named.into_iter().filter_map(|(setting, file)| Some(NamedFile::new(setting, file.as_deref()?)));
        files.map(|file| file.within(block)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<HttpClientConfig, String> {
        let config: HttpClientConfig = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn prometheus_shape_is_read_and_secrets_do_not_come_out_again() {
        let config = parse(
            "basic_auth: {username: u, password: hunter2}\nproxy_url: http://me:hunter2@proxy:3128\n\
             tls_config: {ca_file: ca.pem, insecure_skip_verify: false}\n",
        )
        .unwrap();
        assert!(config.follow_redirects);
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("<secret>"));
    }

    #[test]
    fn mistakes_are_named() {
        for (yaml, want) in [
            ("basic_auth: {username: u}\nbearer_token_file: t\n", "only one of"),
            ("basic_auth: {username: u, password: p, password_file: f}\n", "password or password_file"),
            ("authorization: {type: Basic, credentials: x}\n", "use basic_auth"),
            ("authorization: {}\n", "either credentials or credentials_file"),
            ("tls_config: {cert_file: c}\n", "belong together"),
            ("tls_config: {server_name: c}\n", "needs ca_file"),
            ("proxy_url: 'not a url'\n", "proxy_url"),
            ("tls_config: {ca_fil: c}\n", "ca_fil"),
        ] {
            let error = parse(yaml).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }

    #[test]
    fn relative_files_stand_beside_the_configuration() {
        let mut config = parse("bearer_token_file: token\ntls_config: {ca_file: /abs/ca.pem}\n").unwrap();
        config.resolve_paths(Path::new("/etc/forewarn"));
        assert_eq!(config.bearer_token_file.as_deref(), Some(Path::new("/etc/forewarn/token")));
        assert_eq!(config.tls_config.ca_file.as_deref(), Some(Path::new("/abs/ca.pem")));
    }
}
