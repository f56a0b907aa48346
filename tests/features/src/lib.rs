//! The features of shared dependencies, for tests: `Cargo.toml` says why. There is no code here.
