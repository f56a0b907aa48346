//! The program `shakedown`.

fn main() {}
