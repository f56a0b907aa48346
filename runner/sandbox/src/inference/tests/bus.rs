//! The bus, spoken to by hand and by our client.

use std::time::Duration;

use shakedown_schemas::units::Duration as Written;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::harness::{LIMIT, Town, until};
use crate::inference::nats::client::{Client, ClientConfig, PublishError, client};
use crate::inference::{BusConfig, Log};
use crate::net::{Net, Stream};

/// A connection on which a test types and reads the protocol.
struct Typist(Stream);

impl Typist {
    async fn connect(host: &str, port: u16) -> Self {
        let mut greeted = None;
        // The bus may not listen yet, or still hold clients that have just left.
        until("the bus greets", async || {
            let Ok(stream) = Net::host().connect(host, port).await else { return false };
            let mut typist = Self(stream);
            let greets = typist.line().await.starts_with("INFO {");
            greeted = Some(typist);
            greets
        })
        .await;
        greeted.unwrap()
    }

    async fn quiet(host: &str, port: u16) -> Self {
        let mut typist = Self::connect(host, port).await;
        typist.say("CONNECT {\"verbose\":false,\"protocol\":1}\r\n").await;
        typist
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(timeout(LIMIT, self.0.read_u8()).await.expect("the bus says nothing").unwrap());
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// Everything that comes before the answer to a PING.
    async fn lines(&mut self) -> Vec<String> {
        self.say("PING\r\n").await;
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line == "PONG" {
                return lines;
            }
            lines.push(line);
        }
    }

    /// What comes until the bus closes the connection.
    async fn last_words(mut self) -> String {
        let mut text = String::new();
        let _ = timeout(LIMIT, self.0.read_to_string(&mut text)).await.expect("the bus does not close");
        text
    }
}

fn town(config: BusConfig) -> (Town, String) {
    let mut town = Town::new();
    town.bus(config);
    let host = town.ip("nats").to_string();
    (town, host)
}

/// The behaviour of every NATS server towards subscribers; the real server is tested as well.
pub(super) async fn routes_messages(host: &str, port: u16) {
    let mut one = Typist::quiet(host, port).await;
    let mut two = Typist::quiet(host, port).await;
    one.say("SUB a.* 1\r\nSUB a.> 2\r\nSUB b 3\r\n").await;
    assert!(one.lines().await.is_empty());
    two.say("PUB a.x 2\r\nhi\r\nPUB a.x.y reply.to 3\r\nyou\r\nPUB c 0\r\n\r\nPUB b 0\r\n\r\n").await;
    assert!(two.lines().await.is_empty());
    let mut seen = one.lines().await.join("|");
    // The order of two subscriptions of one client is not defined.
    if seen.starts_with("MSG a.x 2 2|hi|MSG a.x 1 2|hi") {
        seen = seen.replacen("MSG a.x 2 2|hi|MSG a.x 1 2|hi", "MSG a.x 1 2|hi|MSG a.x 2 2|hi", 1);
    }
    assert_eq!(seen, "MSG a.x 1 2|hi|MSG a.x 2 2|hi|MSG a.x.y 2 reply.to 3|you|MSG b 3 0|");

    // Ends after two messages in all.
    one.say("UNSUB 1\r\nUNSUB 2\r\nSUB d 4\r\nUNSUB 4 2\r\nSUB b 3\r\n").await;
    assert!(one.lines().await.is_empty());
    two.say("PUB d 1\r\n1\r\nPUB d 1\r\n2\r\nPUB d 1\r\n3\r\nPUB a.x 0\r\n\r\nPUB b 1\r\n!\r\n").await;
    assert!(two.lines().await.is_empty());
    assert_eq!(one.lines().await.join("|"), "MSG d 4 1|1|MSG d 4 1|2|MSG b 3 1|!");

    // Of a queue's members, one gets each message; both get some.
    one.say("SUB jobs crew 5\r\n").await;
    two.say("SUB jobs crew 6\r\n").await;
    let mut three = Typist::quiet(host, port).await;
    assert!(one.lines().await.is_empty() && two.lines().await.is_empty());
    three.say(&"PUB jobs 1\r\nx\r\n".repeat(200)).await;
    assert!(three.lines().await.is_empty());
    let (first, second) = (one.lines().await.len() / 2, two.lines().await.len() / 2);
    assert_eq!(first + second, 200, "{first} and {second}");
    assert!(first > 20 && second > 20, "{first} and {second}");
}

#[tokio::test]
async fn the_bus_routes_messages() {
    let (_town, host) = town(BusConfig::default());
    routes_messages(&host, 4222).await;
}

#[tokio::test]
async fn a_verbose_client_is_answered_each_time() {
    let (_town, host) = town(BusConfig::default());
    let mut typist = Typist::connect(&host, 4222).await;
    typist
        .say("CONNECT {\"verbose\":true}\r\nSUB a 1\r\nPUB a 1\r\nx\r\nSUB a. 2\r\nPUB a.* 0\r\n\r\nUNSUB 1\r\n")
        .await;
    let expected = "+OK|+OK|MSG a 1 1|x|+OK|-ERR 'Invalid Subject'|-ERR 'Invalid Publish Subject'|+OK";
    assert_eq!(typist.lines().await.join("|"), expected);
    // One that does not want its own messages gets none.
    typist.say("CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 3\r\nPUB a 1\r\nx\r\n").await;
    assert!(typist.lines().await.is_empty());
}

#[tokio::test]
async fn a_client_that_breaks_the_rules_is_told_and_dropped() {
    let (_town, host) = town(BusConfig { max_payload: 100, max_clients: 2, ..BusConfig::default() });
    for (text, error) in [
        ("GET / HTTP/1.1\r\n", "Unknown Protocol Operation"),
        ("PUB a 101\r\n", "Maximum Payload Violation"),
        ("MSG a 1 0\r\n\r\n", "Unknown Protocol Operation"),
    ] {
        let mut typist = Typist::quiet(&host, 4222).await;
        typist.say(&format!("PING\r\n{text}")).await;
        assert_eq!(typist.last_words().await, format!("PONG\r\n-ERR '{error}'\r\n"));
    }
    let (mut one, mut two) = (Typist::quiet(&host, 4222).await, Typist::quiet(&host, 4222).await);
    assert!(one.lines().await.is_empty() && two.lines().await.is_empty());
    let third = Typist(Net::host().connect(&host, 4222).await.unwrap());
    assert_eq!(third.last_words().await, "-ERR 'maximum connections exceeded'\r\n");
}

#[tokio::test]
async fn a_slow_consumer_and_a_silent_client_are_dropped() {
    let config = BusConfig { max_pending: 4 << 20, ping_interval: Written::from_millis(50), ..BusConfig::default() };
    let (_town, host) = town(config);
    let mut slow = Typist::quiet(&host, 4222).await;
    slow.say("SUB flood 1\r\n").await;
    assert!(slow.lines().await.iter().all(|line| line == "PING"));
    let mut source = Typist::quiet(&host, 4222).await;
    let part = format!("PUB flood 1000000\r\n{}\r\n", "x".repeat(1_000_000));
    for _ in 0..40 {
        source.say(&part).await;
        source.say("PONG\r\n").await;
    }
    // It has not read anything; what the kernel holds for it is less than what was sent.
    assert!(slow.last_words().await.len() < 38_000_000);

    let silent = Typist::quiet(&host, 4222).await;
    let words = silent.last_words().await;
    assert!(words.ends_with("-ERR 'Stale Connection'\r\n"), "{words}");
}

/// What a client of ours needs from any NATS server.
pub(super) async fn serves_our_client(net: Net, address: String) {
    let (one, driver) = client(net.clone(), ClientConfig::new(&address, "one", Log::unread()));
    let first = tokio::spawn(driver);
    let (two, driver) = client(net, ClientConfig::new(format!("nats://{address}"), "two", Log::unread()));
    let second = tokio::spawn(driver);
    // Subscriptions may come before the connection.
    let mut messages = one.subscribe("greetings.*", None).unwrap();
    connected(&one).await;
    connected(&two).await;
    assert!(one.subscribe("a..b", None).is_none());
    assert_eq!(two.publish("greetings.*", None, "x".into()), Err(PublishError::Subject));
    assert_eq!(two.publish("greetings.x", None, vec![0; 2 << 20].into()), Err(PublishError::TooLarge));
    until("a message arrives", async || {
        two.publish("greetings.two", Some("answer.here"), "hello".into()).unwrap();
        timeout(Duration::from_millis(100), messages.next()).await.is_ok_and(|message| {
            let message = message.unwrap();
            (message.subject.as_str(), message.reply.as_deref(), &message.payload[..])
                == ("greetings.two", Some("answer.here"), b"hello")
        })
    })
    .await;
    // And after it.
    let mut later = one.subscribe("later", None).unwrap();
    until("a message arrives", async || {
        two.publish("later", None, "x".into()).unwrap();
        timeout(Duration::from_millis(100), later.next()).await.is_ok()
    })
    .await;
    first.abort();
    second.abort();
}

async fn connected(client: &Client) {
    let mut state = client.state();
    timeout(LIMIT, state.wait_for(|state| state.connected.is_some())).await.expect("it does not connect").unwrap();
}

#[tokio::test]
async fn the_bus_serves_our_client() {
    let (town, _) = town(BusConfig::default());
    serves_our_client(town.net("client"), "nats:4222".into()).await;
}

#[tokio::test]
async fn the_client_notices_a_cut_and_is_soon_back_however_long_it_was() {
    let (town, _) = town(BusConfig::default());
    let (client, driver) = client(town.net("client"), ClientConfig::new("nats:4222", "client", Log::unread()));
    let driver = tokio::spawn(driver);
    connected(&client).await;
    let mut messages = client.subscribe("here", None).unwrap();
    town.cut("client", "nats");
    let noticed = until("it notices", async || !client.is_connected()).await;
    assert!(noticed < Duration::from_millis(2300), "{noticed:?}");
    assert_eq!(client.publish("here", None, "lost".into()), Err(PublishError::Disconnected));
    town.cuts.heal();
    let back = until("it is back", async || client.is_connected()).await;
    assert!(back < Duration::from_secs(2), "{back:?}");
    assert_eq!(client.state().borrow().connections, 2);
    until("it has subscribed again", async || {
        client.publish("here", None, "found".into()).unwrap();
        timeout(Duration::from_millis(100), messages.next()).await.is_ok_and(|message| {
            let message = message.unwrap();
            message.payload == "found"
        })
    })
    .await;
    driver.abort();
}
