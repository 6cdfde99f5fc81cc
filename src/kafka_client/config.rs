//! How to reach a Kafka cluster, as users write it, and the same in librdkafka's terms.
//!
//! librdkafka's settings: <https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize};

use crate::http_client::{NamedFile, Secret, TlsConfig};

use super::options::{self, Role};

/// Longest file with a password, in bytes.
const PASSWORD_MAX: u64 = 64 << 10;

/// Credentials by SASL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How they are proved.
    pub mechanism: Mechanism,
    /// User name.
    pub username: String,
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// File with the password, read whenever the client is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// SASL mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Mechanism {
    /// RFC 4616: the password itself; use it with TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// RFC 7677.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// How to reach a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `host:port` of some brokers; the others are learnt from them.
    pub brokers: Vec<String>,
    /// Credentials.
    pub sasl: Option<Sasl>,
    /// TLS, if wanted.
    pub tls: Option<TlsConfig>,
    /// Further settings of librdkafka. They may hold secrets.
    pub options: BTreeMap<String, Secret>,
}

/// Settings that cannot work, or a file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KafkaConfigError(pub String);

impl Connection {
    /// Checks what can be checked without reading a file; that librdkafka knows the further settings among it, and that forewarn
    /// leaves them alone.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self, role: Role) -> Result<(), KafkaConfigError> {
        let fault = |text: &str| Err(KafkaConfigError(text.to_owned()));
        if self.brokers.is_empty() {
            return fault("brokers: name at least one, as host:port");
        }
        if let Some(bad) = self.brokers.iter().find(|b| !is_address(b)) {
            return fault(&format!("brokers: {bad:?} is not host:port"));
        }
        if let Some(sasl) = &self.sasl
            && sasl.password.is_some() == sasl.password_file.is_some()
        {
            return fault("sasl: give either password or password_file");
        }
        if let Some(tls) = &self.tls {
            if tls.cert_file.is_some() != tls.key_file.is_some() {
                return fault("tls: cert_file and key_file belong together");
            }
            if tls.server_name.is_some() {
                return fault("tls: server_name is not possible here; name the brokers as their certificates do");
            }
        }
        options::check(&self.options, role, self.tls.is_some(), self.sasl.is_some())?;
        // librdkafka checks names and values one by one when they are put together.
        let mut client = ClientConfig::new();
        for (name, value) in &self.options {
            client.set(name, value.expose());
            client.create_native_config().map_err(|_| {
                KafkaConfigError(format!("options: librdkafka does not know {name}, or not with this value"))
            })?;
        }
        Ok(())
    }

    /// Makes relative file names relative to `dir`, the folder of the configuration file.
    pub fn resolve_paths(sasl: &mut Option<Sasl>, tls: &mut Option<TlsConfig>, dir: &Path) {
        let password = sasl.as_mut().and_then(|s| s.password_file.as_mut());
        let tls = tls.iter_mut().flat_map(|t| [&mut t.ca_file, &mut t.cert_file, &mut t.key_file]).flatten();
        for file in password.into_iter().chain(tls) {
            *file = dir.join(&*file);
        }
    }

    /// The files that it names, with their settings.
    #[must_use]
    pub fn files(&self) -> Vec<NamedFile> {
        let password = self.sasl.as_ref().and_then(|sasl| sasl.password_file.as_deref());
        let password = password.map(|file| NamedFile::new("sasl.password_file", file));
        let tls = self.tls.iter().flat_map(|tls| tls.files("tls"));
        password.into_iter().chain(tls).collect()
    }

    /// The settings in librdkafka's terms: `defaults`, then the user's, then these, then `musts`. Reads the files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn client(&self, defaults: &[(&str, &str)], musts: &[(&str, &str)]) -> Result<ClientConfig, KafkaConfigError> {
        // librdkafka would say it in OpenSSL's numbers.
        if let Some(fault) = self.files().iter().find_map(|file| file.fault()) {
            return Err(KafkaConfigError(fault));
        }
        let mut client = ClientConfig::new();
        // Brokers' quotas and logs go by it, so users may have their own.
        client.set("client.id", "forewarn");
        client.set_log_level(RDKafkaLogLevel::Info);
        // One line when brokers come back is enough; each disconnection is counted as an error if it is one.
        client.set("log.connection.close", "false");
        for (name, value) in defaults {
            client.set(*name, *value);
        }
        for (name, value) in &self.options {
            client.set(name, value.expose());
        }
        client.set("bootstrap.servers", self.brokers.join(","));
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        if let Some(sasl) = &self.sasl {
            client.set("sasl.mechanism", sasl.mechanism.name());
            client.set("sasl.username", &sasl.username);
            client.set("sasl.password", sasl.password()?);
        }
        if let Some(tls) = &self.tls {
            set_tls(&mut client, tls);
        }
        for (name, value) in musts {
            client.set(*name, *value);
        }
        Ok(client)
    }

    /// Why librdkafka makes no client of these settings, with our names of them and the file that it does not like.
    #[must_use]
    pub fn refused(&self, error: &KafkaError) -> KafkaConfigError {
        let text = error.to_string();
        let theirs = [
            ("ssl.ca.location", "tls.ca_file"),
            ("ssl.certificate.location", "tls.cert_file"),
            ("ssl.key.location", "tls.key_file"),
        ];
        let files = self.files();
        let file = theirs.iter().filter(|(theirs, _)| text.contains(theirs));
        match file.flat_map(|(_, ours)| files.iter().find(|file| file.setting == *ours)).next() {
            Some(file) => KafkaConfigError(format!("{} {} is of no use: {text}", file.setting, file.path.display())),
            None => KafkaConfigError(text),
        }
    }
}

impl Sasl {
    fn password(&self) -> Result<String, KafkaConfigError> {
        let Some(file) = &self.password_file else {
            return Ok(self.password.as_ref().map_or_else(String::new, |p| p.expose().to_owned()));
        };
        let fault = |text: String| KafkaConfigError(format!("sasl: password_file {}: {text}", file.display()));
        let length = std::fs::metadata(file).map_err(|e| fault(e.to_string()))?.len();
        if length > PASSWORD_MAX {
            return Err(fault("too large for a password".to_owned()));
        }
        let text = std::fs::read_to_string(file).map_err(|e| fault(e.to_string()))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn set_tls(client: &mut ClientConfig, tls: &TlsConfig) {
    // "probe" looks where distributions keep their certificates; the OpenSSL in here has no such place of its own.
    let ca = tls.ca_file.as_deref().unwrap_or(Path::new("probe"));
    client.set("ssl.ca.location", ca.to_string_lossy());
    if let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) {
        client.set("ssl.certificate.location", cert.to_string_lossy());
        client.set("ssl.key.location", key.to_string_lossy());
    }
    let verify = !tls.insecure_skip_verify;
    client.set("enable.ssl.certificate.verification", verify.to_string());
    client.set("ssl.endpoint.identification.algorithm", if verify { "https" } else { "none" });
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    !host.is_empty() && !host.contains(['/', ',', ' ']) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection { brokers: vec!["k1:9092".to_owned(), "[::1]:9092".to_owned()], ..Connection::default() }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(connection().validate(Role::Source), Ok(()));
        let problem = |change: &dyn Fn(&mut Connection)| {
            let mut connection = connection();
            change(&mut connection);
            connection.validate(Role::Source).unwrap_err().0
        };
        assert!(problem(&|c| c.brokers.clear()).contains("at least one"));
        assert!(problem(&|c| c.brokers.push("kafka".to_owned())).contains("\"kafka\" is not host:port"));
        let sasl: Sasl = serde_saphyr::from_str("{mechanism: SCRAM-SHA-512, username: u}").unwrap();
        assert!(problem(&|c| c.sasl = Some(sasl.clone())).contains("either password or password_file"));
        assert!(serde_saphyr::from_str::<Sasl>("{mechanism: GSSAPI, username: u}").is_err());
        let tls = TlsConfig { server_name: Some("x".to_owned()), ..TlsConfig::default() };
        assert!(problem(&|c| c.tls = Some(tls.clone())).contains("server_name"));
        let unknown = problem(&|c| drop(c.options.insert("fetch.mx".to_owned(), Secret::new("hunter2"))));
        assert!(unknown.contains("fetch.mx") && !unknown.contains("hunter2"), "{unknown}");
    }

    #[test]
    fn settings_in_librdkafkas_terms() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "hunter2\n").unwrap();
        let mut connection = connection();
        let sasl = "{mechanism: SCRAM-SHA-256, username: u, password_file: password}";
        connection.sasl = Some(serde_saphyr::from_str(sasl).unwrap());
        connection.tls = Some(TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() });
        connection.options.insert("fetch.wait.max.ms".to_owned(), Secret::new("7"));
        Connection::resolve_paths(&mut connection.sasl, &mut connection.tls, dir.path());
        let client = connection.client(&[("fetch.wait.max.ms", "100")], &[("enable.auto.commit", "false")]).unwrap();
        for (name, value) in [
            ("bootstrap.servers", "k1:9092,[::1]:9092"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.password", "hunter2"),
            ("fetch.wait.max.ms", "7"),
            ("enable.auto.commit", "false"),
            ("enable.ssl.certificate.verification", "false"),
        ] {
            assert_eq!(client.get(name), Some(value), "{name}");
        }
        assert!(client.create_native_config().is_ok());
        assert!(!format!("{connection:?}").contains("hunter2"));
    }

    #[test]
    fn users_may_give_no_setting_that_is_set_here() {
        let mut secured = connection();
        secured.sasl = Some(serde_saphyr::from_str("{mechanism: PLAIN, username: u, password: p}").unwrap());
        secured.tls = Some(TlsConfig::default());
        let client = secured.client(&[], &[]).unwrap();
        let theirs = ["client.id", "log.connection.close"];
        let set: Vec<&str> = client.config_map().keys().copied().filter(|name| !theirs.contains(name)).collect();
        assert!(set.len() >= 8, "{set:?}");
        for name in set {
            secured.options = [(name.to_owned(), Secret::new("x"))].into();
            let error = secured.validate(Role::Sink).unwrap_err().0;
            assert!(error.contains(&format!("options: {name} cannot be given here")), "{error}");
        }
        secured.options = [("client.id".to_owned(), Secret::new("mine"))].into();
        assert_eq!(secured.client(&[], &[]).unwrap().get("client.id"), Some("mine"));
    }

    #[test]
    fn files_that_are_missing_or_of_no_use_are_named_with_their_setting() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = connection();
        connection.tls = Some(TlsConfig { ca_file: Some("ca.pem".into()), ..TlsConfig::default() });
        Connection::resolve_paths(&mut connection.sasl, &mut connection.tls, dir.path());
        let file = dir.path().join("ca.pem");
        let named = format!("tls.ca_file {}", file.display());
        let missing = connection.client(&[], &[]).unwrap_err().0;
        assert!(missing.starts_with(&named) && missing.contains("No such file"), "{missing}");
        std::fs::write(&file, "no certificate").unwrap();
        let client: Result<rdkafka::producer::BaseProducer, _> = connection.client(&[], &[]).unwrap().create();
        let useless = connection.refused(&client.err().unwrap()).0;
        assert!(useless.starts_with(&named) && useless.contains("of no use"), "{useless}");
    }
}
