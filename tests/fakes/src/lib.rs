//! Fake servers for the tests of all crates. They depend on none of shakedown's own code.
//!
//! An [`HttpServer`] speaks HTTP/1.1. A function turns each [`Request`] into an [`Answer`]; an answer is a list of steps, so
//! that it can also be slow, broken or without end. The server runs on loopback in a thread of its own, for tests with and
//! without a runtime, or in memory on the test's own runtime, where paused time drives its pauses.

mod answer;
mod http;
pub mod kubernetes;
mod large;
pub mod recordings;

pub use answer::{Answer, Step};
pub use http::{HttpServer, MemoryServer, Request};
pub use large::LargeCluster;
