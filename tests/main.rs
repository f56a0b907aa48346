//! Integration tests: the program as its users meet it, through its command line, its files and its exit codes.
//!
//! What belongs here: tests that start the binary, and those of the checkout as a whole (`docs`, `layers`). What does not:
//! tests of a function, which are next to it.
//! Everything but `cluster` and `chaos` needs no cluster, no root and no network; a test that needs something which is not there
//! (kubectl, a browser, the test cluster) says that it skipped.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they skipped")]

mod browser;
mod campaign;
mod chaos;
mod cli;
mod cluster;
mod docs;
mod gate;
mod input;
mod junit;
mod layers;
mod partition;
mod rehearsal;
mod report;
mod sandbox;
mod secrets;
mod support;
mod undo;
