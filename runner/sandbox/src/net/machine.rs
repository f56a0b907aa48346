//! The clock and the files of a program. On a real host they are the machine's; in the sandbox they belong to the pod,
//! can have ailments, and the files stay in memory for the life of the pod.

use std::io;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::ailments::Ailment;
use super::{Net, Place};

/// The file system operations for reading and for writing a whole file, by their names in FUSE.
const READING: &[&str] = &["open", "read"];
const WRITING: &[&str] = &["create", "write", "flush"];

impl Net {
    /// The time of the program's clock.
    pub fn now(&self) -> SystemTime {
        let ahead = |ailment: &Ailment| if let Ailment::Clock { ahead_ms } = ailment { *ahead_ms } else { 0 };
        let ahead_ms: i64 = self.ailments().iter().map(ahead).sum();
        let by = Duration::from_millis(ahead_ms.unsigned_abs());
        let now = SystemTime::now();
        if ahead_ms < 0 { now.checked_sub(by) } else { now.checked_add(by) }.unwrap_or(now)
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// The file system's error.
    pub async fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        match &self.place {
            Place::Host => tokio::fs::read(path).await,
            Place::Pod(pod) => {
                self.operate(path, READING).await?;
                pod.files.lock().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
            }
        }
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// The file system's error.
    pub async fn write_file(&self, path: &str, content: &[u8]) -> io::Result<()> {
        match &self.place {
            Place::Host => tokio::fs::write(path, content).await,
            Place::Pod(pod) => {
                self.operate(path, WRITING).await?;
                pod.files.write(path, content)
            }
        }
    }

    /// Applies the pod's file ailments to each operation.
    async fn operate(&self, path: &str, methods: &[&str]) -> io::Result<()> {
        for method in methods {
            for ailment in self.ailments() {
                let Ailment::Files(rule) = ailment else { continue };
                if !rule.hits(path, method) {
                    continue;
                }
                sleep(rule.delay).await;
                if let Some(number) = rule.error {
                    return Err(io::Error::from_raw_os_error(number));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::net::FileRule;
    use crate::net::Links;
    use crate::net::files::{CAPACITY, NO_SPACE};
    use crate::net::tests::address;

    fn pod(links: &Links) -> Net {
        links.pod(address(), "test".to_owned(), Arc::new(|_: &str, _: u16, _: &str| None))
    }

    fn rule() -> FileRule {
        FileRule {
            volume: "/data".into(),
            path: None,
            methods: Vec::new(),
            share: 1.0,
            delay: Duration::ZERO,
            error: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_the_pods_own_and_ail_where_the_rule_says() {
        let links = Links::new();
        let (one, other) = (pod(&links), pod(&links));
        one.write_file("/data/a", b"x").await.unwrap();
        assert_eq!(one.read_file("/data/a").await.unwrap(), b"x");
        assert_eq!(other.read_file("/data/a").await.unwrap_err().kind(), io::ErrorKind::NotFound);

        let inflict = |rule: FileRule| links.ailments().inflict(one.address().unwrap(), "k", Ailment::Files(rule));
        inflict(FileRule { error: Some(NO_SPACE), methods: vec!["write".into()], ..rule() });
        assert_eq!(one.write_file("/data/b", b"x").await.unwrap_err().raw_os_error(), Some(NO_SPACE));
        one.write_file("/database", b"x").await.expect("another folder with such a name");
        assert_eq!(one.read_file("/data/a").await.unwrap(), b"x", "reading is not writing");
        other.write_file("/data/b", b"x").await.unwrap();

        inflict(FileRule { delay: Duration::from_millis(100), path: Some("/data/*.log".into()), ..rule() });
        let begun = Instant::now();
        one.read_file("/data/a").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        one.write_file("/data/a.log", b"x").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_millis(300), "each of three operations is late");

        inflict(FileRule { error: Some(5), share: 0.0, ..rule() });
        one.read_file("/data/a").await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_is_full_one_day() {
        let net = pod(&Links::new());
        let half = vec![0; CAPACITY / 2];
        net.write_file("/data/a", &half).await.unwrap();
        net.write_file("/data/b", &half).await.unwrap();
        assert_eq!(net.write_file("/data/c", b"x").await.unwrap_err().raw_os_error(), Some(NO_SPACE));
        net.write_file("/data/a", b"x").await.expect("in place of a longer one");
        net.write_file("/data/c", b"x").await.unwrap();
    }

    #[test]
    fn a_clock_is_wrong_until_it_is_healed() {
        let links = Links::new();
        let net = pod(&links);
        let off = |net: &Net| match net.now().duration_since(SystemTime::now()) {
            Ok(ahead) => ahead.as_secs_f64(),
            Err(behind) => -behind.duration().as_secs_f64(),
        };
        assert!(off(&net).abs() < 1.0);
        links.ailments().inflict(net.address().unwrap(), "k", Ailment::Clock { ahead_ms: -600_000 });
        assert!((off(&net) + 600.0).abs() < 1.0, "{}", off(&net));
        links.ailments().heal("k");
        assert!(off(&net).abs() < 1.0 && off(&Net::host()).abs() < 1.0);
    }
}
