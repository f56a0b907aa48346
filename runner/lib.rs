//! The program's outside: its command line, and the export of results to other systems. What it runs is in the crates
//! beside it.

pub mod cli;
pub mod export;
