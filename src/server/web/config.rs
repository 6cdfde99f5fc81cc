//! `web` in `forewarn.yml`: where to listen, and who is let in. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::http_client::{NamedFile, Secret};

/// `web`. TLS and users hold for every port, those of the OTLP receiver too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Where to listen. Loopback unless told otherwise.
    pub listen_address: String,
    /// How this server is reached from outside, for links in alerts; from `listen_address` if left out.
    pub external_url: Option<Url>,
    /// TLS; without it plain HTTP is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_server_config: Option<TlsServerConfig>,
    /// Names and bcrypt hashes of passwords; without any, everybody is let in. `htpasswd -nBC 10 NAME` makes one.
    pub basic_auth_users: BTreeMap<String, Secret>,
}

/// TLS of the ports. Files are looked at again while running: a renewed certificate needs no restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsServerConfig {
    /// PEM file with the certificate, and those between it and its authority.
    pub cert_file: PathBuf,
    /// PEM file with its private key.
    pub key_file: PathBuf,
    /// Whether clients must show a certificate.
    #[serde(default)]
    pub client_auth_type: ClientAuth,
    /// PEM file with the authorities that clients' certificates must come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// Oldest version that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// Certificates of clients, by the names of Go's crypto/tls as in Prometheus. The two kinds that ask for a certificate and
/// do not verify it are not there: they keep nobody out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    NoClientCert,
    /// One that is shown must be good.
    VerifyClientCertIfGiven,
    /// A good one must be shown.
    RequireAndVerifyClientCert,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    #[serde(rename = "TLS12")]
    Tls12,
    /// 1.3.
    #[serde(rename = "TLS13")]
    Tls13,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen_address: "127.0.0.1:9190".to_owned(),
            external_url: None,
            tls_server_config: None,
            basic_auth_users: BTreeMap::new(),
        }
    }
}

/// Costs that a hash may have: each more doubles the time of a check; at 14 that is about a second.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;

impl Web {
    /// Makes relative files start from `dir`.
    pub fn resolve_paths(&mut self, dir: &Path) {
        let Some(tls) = &mut self.tls_server_config else { return };
        for path in [&mut tls.cert_file, &mut tls.key_file].into_iter().chain(&mut tls.client_ca_file) {
            *path = dir.join(&*path);
        }
    }

    /// The files that it names.
    #[must_use]
    pub fn files(&self) -> Vec<NamedFile> {
        let Some(tls) = &self.tls_server_config else { return Vec::new() };
        let cert = NamedFile::new("tls_server_config.cert_file", &tls.cert_file);
        let key = NamedFile::new("tls_server_config.key_file", &tls.key_file);
        let authorities =
            tls.client_ca_file.as_ref().map(|path| NamedFile::new("tls_server_config.client_ca_file", path));
        [cert, key].into_iter().chain(authorities).collect()
    }

    /// Whether it can work.
    ///
    /// # Errors
    /// What cannot, and what would.
    pub fn validate(&self) -> Result<(), String> {
        if self.listen_address.parse::<std::net::SocketAddr>().is_err() && !self.listen_address.contains(':') {
            return Err(format!("listen_address: {:?} is not host:port", self.listen_address));
        }
        for (name, hash) in &self.basic_auth_users {
            let known = hash.expose().parse::<bcrypt::HashParts>();
            let Ok(parts) = known else {
                return Err(format!(
                    "basic_auth_users: {name:?}: not a bcrypt hash; `htpasswd -nBC 10 {name}` makes one"
                ));
            };
            if !COSTS.contains(&parts.get_cost()) {
                let (least, most) = COSTS.into_inner();
                return Err(format!("basic_auth_users: {name:?}: the hash's cost must be from {least} to {most}"));
            }
        }
        if self.basic_auth_users.keys().any(|name| name.is_empty() || name.contains(':')) {
            return Err("basic_auth_users: a name must not be empty, nor have a colon in it".to_owned());
        }
        let Some(tls) = &self.tls_server_config else { return Ok(()) };
        match (tls.client_auth_type, &tls.client_ca_file) {
            (ClientAuth::NoClientCert, Some(_)) => {
                Err("tls_server_config: client_ca_file asks for client_auth_type: RequireAndVerifyClientCert"
                    .to_owned())
            }
            (ClientAuth::RequireAndVerifyClientCert | ClientAuth::VerifyClientCertIfGiven, None) => {
                Err("tls_server_config: client_auth_type asks for client_ca_file".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// How this server is reached from outside, without a slash at the end.
    #[must_use]
    pub fn external_url(&self) -> String {
        match &self.external_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("{}://{}", self.scheme(), self.listen_address),
        }
    }

    /// Settles on a URL with the host's name where the server listens on all addresses: nobody can follow a link to 0.0.0.0.
    pub fn name_host(&mut self, host_name: &str) {
        let Ok(address) = self.listen_address.parse::<std::net::SocketAddr>() else { return };
        if self.external_url.is_none() && address.ip().is_unspecified() {
            // A name that makes no URL leaves things as they are.
            self.external_url = Url::parse(&format!("{}://{host_name}:{}", self.scheme(), address.port())).ok();
        }
    }

    fn scheme(&self) -> &'static str {
        if self.tls_server_config.is_some() { "https" } else { "http" }
    }

    /// Whether nothing keeps strangers out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let asks = |tls: &TlsServerConfig| tls.client_auth_type == ClientAuth::RequireAndVerifyClientCert;
        self.basic_auth_users.is_empty() && !self.tls_server_config.as_ref().is_some_and(asks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$NBxlvWnXt0ccZNgkrTbqLeUFN9FDdhwP4fkeaWF9RPq3yLpiLmOSW";

    fn checked(yaml: &str) -> Result<Web, String> {
        let config: Web = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        config.validate().map(|()| config)
    }

    #[test]
    fn who_is_kept_out() {
        assert!(checked("basic_auth_users: {}").unwrap().is_open());
        assert!(!checked(&format!("basic_auth_users: {{ann: '{HASH}'}}")).unwrap().is_open());
        let tls = |rest: &str| checked(&format!("tls_server_config: {{cert_file: c, key_file: k{rest}}}"));
        assert!(tls("").unwrap().is_open());
        assert!(tls(", client_auth_type: VerifyClientCertIfGiven, client_ca_file: a").unwrap().is_open());
        assert!(!tls(", client_auth_type: RequireAndVerifyClientCert, client_ca_file: a").unwrap().is_open());
        assert_eq!(tls("").unwrap().external_url(), "https://127.0.0.1:9190");
    }

    #[test]
    fn faults_say_what_would_do() {
        let fault = |yaml: &str| checked(yaml).unwrap_err();
        assert!(fault("basic_auth_users: {ann: hunter2}").contains("htpasswd -nBC 10 ann"));
        assert!(!fault("basic_auth_users: {ann: hunter2}").contains("hunter2"));
        assert!(
            fault(&format!("basic_auth_users: {{ann: '{}'}}", HASH.replace("$04$", "$20$"))).contains("from 4 to 14")
        );
        assert!(fault(&format!("basic_auth_users: {{'a:b': '{HASH}'}}")).contains("colon"));
        let tls = |rest: &str| fault(&format!("tls_server_config: {{cert_file: c, key_file: k, {rest}}}"));
        assert!(tls("client_ca_file: a").contains("RequireAndVerifyClientCert"));
        assert!(tls("client_auth_type: RequireAndVerifyClientCert").contains("client_ca_file"));
        assert!(tls("min_version: TLS10").contains("TLS10"));
        assert!(fault("tls_server_config: {cert_file: c}").contains("key_file"));
    }

    #[test]
    fn links_name_the_host_where_the_address_does_not() {
        let url = |yaml: &str| {
            let mut config = checked(yaml).unwrap();
            config.name_host("box");
            config.external_url()
        };
        assert_eq!(url("listen_address: '0.0.0.0:9191'"), "http://box:9191");
        assert_eq!(url("listen_address: '[::]:9191'"), "http://box:9191");
        assert_eq!(url("listen_address: '10.0.0.1:9191'"), "http://10.0.0.1:9191");
        assert_eq!(url("{listen_address: '0.0.0.0:9191', external_url: 'https://fw/'}"), "https://fw");
        let tls = "tls_server_config: {cert_file: c, key_file: k}";
        assert_eq!(url(&format!("{{listen_address: '0.0.0.0:9191', {tls}}}")), "https://box:9191");
    }

    #[test]
    fn hashes_are_not_shown() {
        let config = checked(&format!("basic_auth_users: {{ann: '{HASH}'}}")).unwrap();
        assert!(!format!("{config:?}").contains("NBxl"));
    }
}
