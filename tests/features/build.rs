//! Nothing is built. Without this file Cargo would leave the dependencies of procedural macros out.
fn main() {}
