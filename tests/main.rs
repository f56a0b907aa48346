//! Integration tests: the program as its users meet it, through its command line, its files and its exit codes.
//!
//! What belongs here: tests that start the binary. What does not: tests of a function, which stand beside it.
//! `cargo test` runs those that need no cluster, no root, no network and no other program. The rest is ignored, with its need as
//! the reason, and fails where that need is not met. `.ci/run` runs each of them where its need is met.

mod browser;
mod campaign;
mod chaos;
mod cli;
mod cluster;
mod docs;
mod gate;
mod junit;
mod partition;
mod rehearsal;
mod report;
mod sandbox;
mod secrets;
mod support;
mod undo;
