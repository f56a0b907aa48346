//! The program's outside: its command line, and the export of results to other systems. The crates next to it do the
//! work.

pub mod cli;
pub mod export;
