//! A real Apache Kafka in KRaft mode: one node on free loopback ports, small, with its log in a temporary folder.
//!
//! It runs under a shell that kills it when this process ends, however that ends: the shell waits for the end of its
//! standard input, whose other end is ours.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use super::peer;

/// A user of the listeners with SASL, and the password.
pub const USER: (&str, &str) = ("alice", "alice-secret");

/// Starting a JVM on a busy machine.
const START: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(20);

/// Starts the program in the background, waits for the end of input, kills it; removes the folder if it is to be removed.
const WATCH: &str =
    r#""$@" & child=$!; cat >/dev/null; kill -9 $child; wait $child 2>/dev/null; [ -z "$REMOVE" ] || rm -rf "$REMOVE""#;

/// A running broker. Its listeners are plain, with SASL (SCRAM and PLAIN), with TLS in several ways, and with both.
pub struct Kafka {
    /// `127.0.0.1:port` of the plain listener.
    pub plain: String,
    /// With SASL.
    pub sasl: String,
    /// With TLS.
    pub tls: String,
    /// With both.
    pub sasl_tls: String,
    /// With TLS, where clients must have a certificate too.
    pub mutual_tls: String,
    /// With TLS and a certificate that is another host's.
    pub misnamed_tls: String,
    dir: PathBuf,
    /// None where the shell removes it.
    kept: Option<TempDir>,
    shell: Option<Child>,
}

impl Kafka {
    /// One for all tests of a file, started by the first; None where Kafka is not there.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: tokio::sync::OnceCell<Option<Kafka>> = tokio::sync::OnceCell::const_new();
        SHARED.get_or_init(|| Self::launch(true)).await.as_ref()
    }

    /// One for a test alone, that may kill it.
    pub async fn own() -> Option<Self> {
        Self::launch(false).await
    }

    async fn launch(shared: bool) -> Option<Self> {
        let libs = libs()?;
        for attempt in 1.. {
            let kept = tempfile::tempdir().unwrap();
            let dir = kept.path().to_owned();
            let ports: Vec<String> = (0..7).map(|_| peer::free_address()).collect();
            certificates(&dir);
            std::fs::write(dir.join("server.properties"), properties(&dir, &ports)).unwrap();
            format(&libs, &dir);
            let kept = if shared {
                let _ = kept.keep();
                None
            } else {
                Some(kept)
            };
            let mut ports = ports.into_iter();
            let mut next = || ports.next().unwrap();
            let mut kafka = Self {
                plain: next(),
                sasl: next(),
                tls: next(),
                sasl_tls: next(),
                mutual_tls: next(),
                misnamed_tls: next(),
                dir,
                kept,
                shell: None,
            };
            kafka.spawn(&libs);
            if kafka.answers().await {
                return Some(kafka);
            }
            // Another process may have taken a port in between.
            assert!(attempt < 3, "Kafka does not start:\n{}", kafka.log());
            kafka.kill();
        }
        None
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Starts it again after [`Self::kill`], with what it had on disk.
    pub async fn revive(&mut self) {
        let libs = libs().unwrap();
        self.spawn(&libs);
        assert!(self.answers().await, "Kafka does not start again:\n{}", self.log());
    }

    /// The certificate of whom the TLS listeners trust, as a file.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A certificate that the listener for mutual TLS believes, and its key.
    pub fn identity(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("client.pem"), self.dir.join("client.key"))
    }

    /// Codecs of the batches of a partition as they lie in the broker's log.
    pub fn codecs(&self, topic: &str, partition: i32) -> Vec<&'static str> {
        let log = self.dir.join(format!("data/{topic}-{partition}/00000000000000000000.log"));
        codecs(&std::fs::read(log).unwrap())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Makes a topic.
    pub async fn topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(SOON))).await.unwrap();
        made.into_iter().for_each(|topic| drop(topic.unwrap()));
    }

    /// A client's settings for the plain listener.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.plain).set_log_level(RDKafkaLogLevel::Emerg);
        client
    }

    /// A producer that waits for acknowledgements; `codec` as Kafka names it.
    pub fn producer(&self, codec: &str) -> FutureProducer {
        let mut client = self.client();
        client.set("enable.idempotence", "true").set("compression.codec", codec).set("linger.ms", "5");
        client.set("message.max.bytes", "20000000");
        client.create().unwrap()
    }

    /// Writes messages into a partition, in order, and waits until they are there.
    pub async fn write(&self, codec: &str, topic: &str, partition: i32, payloads: &[Vec<u8>]) {
        write(&self.producer(codec), topic, partition, payloads).await;
    }

    /// All messages of a topic so far, oldest first within each partition.
    pub fn read(&self, topic: &str) -> Vec<OwnedMessage> {
        let mut client = self.client();
        client.set("group.id", "reads-all").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = client.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), SOON).unwrap();
        let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|p| p.id()).collect();
        let mut list = TopicPartitionList::new();
        partitions.iter().for_each(|p| list.add_partition_offset(topic, *p, Offset::Beginning).unwrap());
        consumer.assign(&list).unwrap();
        let (mut messages, mut ends, limit) = (Vec::new(), 0, Instant::now() + SOON);
        while ends < partitions.len() {
            assert!(Instant::now() < limit, "{topic} has no end");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => messages.push(message.detach()),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
        messages
    }

    /// What a group has committed of a partition.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let mut client = self.client();
        let consumer: BaseConsumer = client.set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let answer = consumer.committed_offsets(asked, SOON).unwrap();
        answer.elements()[0].offset().to_raw().filter(|at| *at >= 0)
    }

    fn spawn(&mut self, libs: &str) {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let remove = if self.kept.is_none() { self.dir.as_path() } else { Path::new("") };
        let shell = Command::new("sh")
            .args(["-c", WATCH, "sh", "java"])
            .args(JVM)
            .args(["-cp", libs, "kafka.Kafka", "server.properties"])
            .env("REMOVE", remove)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.shell = Some(shell);
    }

    async fn answers(&mut self) -> bool {
        let end = Instant::now() + START;
        while Instant::now() < end {
            if tokio::net::TcpStream::connect(&self.plain).await.is_ok() {
                let consumer: BaseConsumer = self.client().create().unwrap();
                let asked = tokio::task::spawn_blocking(move || {
                    consumer.fetch_metadata(None, Duration::from_secs(5)).is_ok_and(|m| !m.brokers().is_empty())
                });
                if asked.await.unwrap() {
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes messages with a producer, in order, and waits until they are there.
pub async fn write(producer: &FutureProducer, topic: &str, partition: i32, payloads: &[Vec<u8>]) {
    let mut sent = Vec::new();
    for payload in payloads {
        let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).partition(partition).payload(payload);
        sent.push(producer.send_result(record).unwrap_or_else(|(e, _)| panic!("{e}")));
    }
    for delivery in sent {
        delivery.await.unwrap().unwrap_or_else(|(e, _)| panic!("{e}"));
    }
}

/// A message's headers as text.
pub fn headers(message: &impl Message) -> Vec<(String, String)> {
    use rdkafka::message::Headers as _;
    let headers = message.headers().expect("headers");
    let text = |h: Header<'_, &[u8]>| (h.key.to_owned(), String::from_utf8_lossy(h.value.unwrap_or_default()).into());
    headers.iter().map(text).collect()
}

const JVM: [&str; 5] = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

/// The classpath; None, and a word about it, where there is none.
fn libs() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = || format!("{}/.cache", set("HOME").unwrap_or_else(|| "/tmp".to_owned()));
    let cache = || format!("{}/forewarn-test-peers/kafka", set("XDG_CACHE_HOME").unwrap_or_else(home));
    let dir = set("FOREWARN_KAFKA").unwrap_or_else(cache);
    if !Path::new(&dir).is_dir() {
        peer::skip("Apache Kafka is not there (`make peers` fetches it)");
        return None;
    }
    peer::require("java")?;
    Some(format!("{dir}/*"))
}

fn properties(dir: &Path, ports: &[String]) -> String {
    let [plain, sasl, tls, sasl_tls, mutual, misnamed, controller] = ports else { panic!("seven ports") };
    let (user, password) = USER;
    let plain_login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let scram_login = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let mut text = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAIN://{plain},SASL://{sasl},TLS://{tls},SASLTLS://{sasl_tls},MUTUAL://{mutual},MISNAMED://{misnamed},CONTROLLER://{controller}
advertised.listeners=PLAIN://{plain},SASL://{sasl},TLS://{tls},SASLTLS://{sasl_tls},MUTUAL://{mutual},MISNAMED://{misnamed}
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,SASLTLS:SASL_SSL,MUTUAL:SSL,MISNAMED:SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
log.dirs={0}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
background.threads=1
message.max.bytes=20000000
auto.create.topics.enable=false
ssl.keystore.type=PEM
ssl.keystore.location={0}/server.pem
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location={0}/ca.pem
listener.name.misnamed.ssl.keystore.type=PEM
listener.name.misnamed.ssl.keystore.location={0}/misnamed.pem
",
        dir.display()
    );
    for listener in ["sasl", "sasltls"] {
        text += &format!(
            "listener.name.{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.{listener}.plain.sasl.jaas.config={plain_login} user_{user}=\"{password}\";
listener.name.{listener}.scram-sha-256.sasl.jaas.config={scram_login}
listener.name.{listener}.scram-sha-512.sasl.jaas.config={scram_login}
"
        );
    }
    text
}

/// Makes the folders of a new cluster, and the user.
fn format(libs: &str, dir: &Path) {
    let (user, password) = USER;
    let mut command = Command::new("java");
    command.args(JVM).args(["-cp", libs, "kafka.tools.StorageTool", "format"]);
    command.args(["-t", "Zm9yZXdhcm4tdGVzdHMtMQ", "-c", "server.properties"]);
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        command.args(["--add-scram", &format!("{mechanism}=[name={user},password={password}]")]);
    }
    let output = command.current_dir(dir).stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Certificates: the one that stands for the others, of the loopback address, of another host, and of a client.
fn certificates(dir: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Of the same name as the server's it would be taken for that one's own signature.
    ca.distinguished_name.push(DnType::CommonName, "tests of forewarn");
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let signed = |names: &[&str]| {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        (key.serialize_pem(), certificate.pem())
    };
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("ca.pem", &ca_pem);
    for (file, names) in [("server.pem", &["127.0.0.1", "localhost"][..]), ("misnamed.pem", &["elsewhere.test"])] {
        let (key, certificate) = signed(names);
        write(file, &format!("{key}{certificate}{ca_pem}"));
    }
    let (key, certificate) = signed(&["forewarn.test"]);
    write("client.key", &key);
    write("client.pem", &certificate);
}

/// Codecs of the batches of a log segment: <https://kafka.apache.org/documentation/#recordbatch>.
fn codecs(mut log: &[u8]) -> Vec<&'static str> {
    let mut codecs = Vec::new();
    while log.len() > 61 {
        let length = u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
        // What is behind the last one was reserved and not written.
        if length == 0 {
            break;
        }
        assert_eq!(log[16], 2, "the batches' format");
        let attributes = u16::from_be_bytes(log[21..23].try_into().unwrap());
        codecs.push(["none", "gzip", "snappy", "lz4", "zstd"][usize::from(attributes & 7)]);
        log = &log[12 + length..];
    }
    codecs
}
