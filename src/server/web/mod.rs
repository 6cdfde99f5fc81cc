//! Who may talk to forewarn's ports, and how much at once: TLS and users, in the shape of Prometheus' web configuration
//! (`prometheus/exporter-toolkit`, docs/web-configuration.md). Serves nothing itself.

mod bodies;
mod config;
mod port;
mod refusal;
mod tls;
mod users;

pub use config::{ClientAuth, TlsServerConfig, TlsVersion, Web};
pub use port::{Access, Port};
pub use refusal::Refused;
pub(super) use refusal::count;
pub use tls::TlsFault;
