//! Integration tests: the program as its users meet it, through its command line, its files and its exit codes.
//!
//! What belongs here: tests that start the binary, and those of the checkout as a whole (`docs`, `layers`). What does not:
//! tests of a function, which are next to it.
//! `cargo test` runs those that need no cluster, no root, no network and no other program. The rest is ignored, with its need as
//! the reason, and fails where that need is not met. `.ci/run` runs each of them where its need is met.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they skipped")]

mod browser;
mod campaign;
mod chaos;
mod cli;
mod cluster;
mod docs;
mod dynamo;
mod editor;
mod fuse;
mod gate;
mod init;
mod input;
mod junit;
mod kinds;
mod layers;
mod messages;
mod names;
mod observed;
mod partition;
mod reaction;
mod record;
mod recorded;
mod rehearsal;
mod report;
mod restart;
mod roles;
mod sandbox;
mod scale;
mod secrets;
mod sessions;
mod suite;
mod support;
mod undo;
