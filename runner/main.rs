//! The program `shakedown`. Everything is in the library; this only hands over the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    shakedown::cli::main()
}
