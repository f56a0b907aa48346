//! The keys of a cache, and the commands on them. No sockets.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::resp::Reply;

/// The keys with their values.
pub(super) struct Keys {
    max_memory: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    entries: HashMap<Bytes, Entry>,
    /// The bytes of all keys and values.
    used: usize,
}

struct Entry {
    value: Bytes,
    ends: Option<Instant>,
}

impl Held {
    /// The entry of a key, unless its time is over.
    fn live(&mut self, key: &Bytes) -> Option<&Entry> {
        let is_over = self.entries.get(key)?.ends.is_some_and(|ends| ends <= Instant::now());
        if is_over {
            self.remove(key);
        }
        self.entries.get(key)
    }

    fn remove(&mut self, key: &Bytes) -> bool {
        let removed = self.entries.remove(key);
        self.used -= removed.as_ref().map_or(0, |entry| key.len() + entry.value.len());
        removed.is_some()
    }

    fn put(&mut self, key: Bytes, entry: Entry) {
        self.remove(&key);
        self.used += key.len() + entry.value.len();
        self.entries.insert(key, entry);
    }
}

impl Keys {
    pub fn new(max_memory: usize) -> Self {
        Self { max_memory, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command of at least one word.
    pub fn run(&self, words: &[Bytes]) -> Reply {
        let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
        let count = |reply: bool| Reply::Number(i64::from(reply));
        match (name.as_str(), &words[1..]) {
            ("ping", []) => Reply::Simple("PONG".into()),
            ("ping" | "echo", [text]) => Reply::bulk(text.clone()),
            ("get", [key]) => Reply::Bulk(self.held().live(key).map(|entry| entry.value.clone())),
            ("set", [key, value, options @ ..]) => self.set(key, value, options),
            ("del" | "unlink", [_, ..]) => {
                let mut held = self.held();
                let gone = words[1..].iter().filter(|key| held.live(key).is_some() && held.remove(key)).count();
                Reply::Number(i64::try_from(gone).unwrap_or(i64::MAX))
            }
            ("exists", [key]) => count(self.held().live(key).is_some()),
            ("incr", [key]) => self.increment(key),
            ("ttl", [key]) => self.left(key),
            ("dbsize", []) => Reply::Number(i64::try_from(self.held().entries.len()).unwrap_or(i64::MAX)),
            ("flushall" | "flushdb", _) => {
                *self.held() = Held::default();
                Reply::ok()
            }
            // What clients say when they connect.
            ("quit", _) | ("client", [..]) => Reply::ok(),
            ("select", [number]) if number.as_ref() == b"0" => Reply::ok(),
            ("select", [_]) => Reply::error("ERR DB index is out of range"),
            ("hello", [] | [_]) if words.get(1).is_none_or(|version| version.as_ref() == b"2") => {
                let facts =
                    ["server", "redis", "version", "7.0.0", "proto", "2", "mode", "standalone", "role", "master"];
                Reply::words(&facts)
            }
            ("hello", _) => Reply::error("NOPROTO unsupported protocol version"),
            ("info", _) => Reply::bulk("# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n"),
            ("command" | "config", _) => Reply::Array(Vec::new()),
            ("auth", _) => Reply::error("ERR AUTH <password> called without any password configured"),
            (
                "get" | "set" | "del" | "unlink" | "exists" | "incr" | "ttl" | "ping" | "echo" | "dbsize" | "select",
                _,
            ) => Reply::error(format!("ERR wrong number of arguments for '{name}' command")),
            _ => Reply::error(format!("ERR unknown command '{name}'")),
        }
    }

    fn set(&self, key: &Bytes, value: &Bytes, options: &[Bytes]) -> Reply {
        let mut held = self.held();
        let (mut ends, mut options) = (None, options.iter());
        while let Some(option) = options.next() {
            let is_there = held.live(key).is_some();
            match option.to_ascii_lowercase().as_slice() {
                b"nx" if is_there => return Reply::Bulk(None),
                b"xx" if !is_there => return Reply::Bulk(None),
                b"nx" | b"xx" => {}
                unit @ (b"ex" | b"px") => {
                    let time = options.next().and_then(|text| std::str::from_utf8(text).ok()?.parse::<i64>().ok());
                    let Some(time) = time else { return Reply::error("ERR value is not an integer or out of range") };
                    let Some(time) = u32::try_from(time).ok().filter(|time| *time > 0) else {
                        return Reply::error("ERR invalid expire time in 'set' command");
                    };
                    let unit = Duration::from_millis(if unit == b"ex" { 1000 } else { 1 });
                    ends = Some(Instant::now() + unit * time);
                }
                _ => return Reply::error("ERR syntax error"),
            }
        }
        if held.used + key.len() + value.len() > self.max_memory {
            let now = Instant::now();
            let over: Vec<Bytes> = held
                .entries
                .iter()
                .filter(|(_, it)| it.ends.is_some_and(|at| at <= now))
                .map(|(key, _)| key.clone())
                .collect();
            over.iter().for_each(|key| _ = held.remove(key));
        }
        if held.used + key.len() + value.len() > self.max_memory {
            return Reply::error("OOM command not allowed when used memory > 'maxmemory'.");
        }
        held.put(key.clone(), Entry { value: value.clone(), ends });
        Reply::ok()
    }

    fn increment(&self, key: &Bytes) -> Reply {
        let mut held = self.held();
        let (text, ends) = held.live(key).map_or((Bytes::from("0"), None), |it| (it.value.clone(), it.ends));
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<i64>().ok()?.checked_add(1));
        let Some(number) = number else { return Reply::error("ERR value is not an integer or out of range") };
        held.put(key.clone(), Entry { value: number.to_string().into(), ends });
        Reply::Number(number)
    }

    /// The seconds that are left of a key: -1 without an end, -2 without the key.
    fn left(&self, key: &Bytes) -> Reply {
        Reply::Number(match self.held().live(key) {
            None => -2,
            Some(Entry { ends: None, .. }) => -1,
            Some(Entry { ends: Some(ends), .. }) => {
                let left = ends.saturating_duration_since(Instant::now());
                i64::try_from((left + Duration::from_millis(500)).as_secs()).unwrap_or(i64::MAX)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(keys: &Keys, line: &str) -> Reply {
        let words: Vec<Bytes> = line.split(' ').map(|word| Bytes::from(word.to_owned())).collect();
        keys.run(&words)
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_set_read_counted_and_end() {
        let keys = Keys::new(100);
        for (line, expected) in [
            ("GET a", Reply::Bulk(None)),
            ("SET a 1 EX 10", Reply::ok()),
            ("GET a", Reply::bulk("1")),
            ("TTL a", Reply::Number(10)),
            ("SET a 2 NX", Reply::Bulk(None)),
            ("SET b 2 XX", Reply::Bulk(None)),
            ("INCR n", Reply::Number(1)),
            ("INCR n", Reply::Number(2)),
            ("TTL n", Reply::Number(-1)),
            ("TTL m", Reply::Number(-2)),
            ("DBSIZE", Reply::Number(2)),
            ("DEL n m", Reply::Number(1)),
            ("EXISTS n", Reply::Number(0)),
        ] {
            assert_eq!(run(&keys, line), expected, "{line}");
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(run(&keys, "GET a"), Reply::Bulk(None));
        assert_eq!(run(&keys, "FLUSHALL"), Reply::ok());
    }

    #[tokio::test(start_paused = true)]
    async fn mistakes_and_too_much_are_errors() {
        let keys = Keys::new(20);
        for line in ["GET", "SET a", "SET a 1 EX 0", "SET a 1 EX x", "SET a 1 QX", "NOTHING", "SELECT 3", "HELLO 3"] {
            assert!(matches!(run(&keys, line), Reply::Error(_)), "{line}");
        }
        assert_eq!(run(&keys, "SET word 0123456789 PX 5"), Reply::ok());
        assert!(matches!(run(&keys, "SET other 0123456789"), Reply::Error(it) if it.starts_with("OOM")));
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(run(&keys, "SET other 0123456789"), Reply::ok(), "what is over makes room");
        assert!(matches!(run(&keys, "INCR other"), Reply::Number(123_456_790)));
        assert_eq!(run(&keys, "SET x y"), Reply::ok());
    }
}
