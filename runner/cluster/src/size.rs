//! The size of an object, compared with the size that an API server stores.

use std::io::{self, Write};

use serde::Serialize;

/// etcd's limit of one request (`--max-request-bytes`) is 1.5 MiB. Larger objects are refused by the API server.
const STORED: usize = 3 << 19;
/// What the server and controllers may add to an object: `managedFields`, a status.
const ADDED: usize = 128 << 10;
/// The largest object that is sent, in bytes of JSON.
const LARGEST: usize = STORED - ADDED;

/// The next step for an object that is too large.
pub const HELP: &str = "divide the fault into several with fewer targets and peers each, or select peers by labels or by a \
                        larger `cidr`";

/// Why an object cannot be stored; none when it can.
pub fn too_large(what: &str, object: &impl Serialize) -> Option<String> {
    let size = size(object);
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    (size > LARGEST).then(|| {
        format!(
            "{what} would have {:.1} MiB, and an API server stores no object of more than about {:.1} MiB",
            mib(size),
            mib(STORED)
        )
    })
}

/// The size of an object as JSON, in bytes.
fn size(object: &impl Serialize) -> usize {
    let mut count = Count(0);
    // Writing to a counter cannot fail, and plain data can always be serialised.
    serde_json::to_writer(&mut count, object).map_or(0, |()| count.0)
}

/// Counts what is written.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_refused_from_the_first_byte_that_the_server_may_not_store() {
        let of = |size: usize| json!({"a": "x".repeat(size - r#"{"a":""}"#.len())});
        assert_eq!(size(&of(LARGEST)), of(LARGEST).to_string().len());
        assert_eq!(too_large("it", &of(LARGEST)), None);
        let why = too_large("NetworkPolicy web", &of(LARGEST + 1)).unwrap();
        assert_eq!(
            why,
            "NetworkPolicy web would have 1.4 MiB, and an API server stores no object of more than about 1.5 MiB"
        );
    }
}
