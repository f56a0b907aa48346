//! The registry's rules, without HTTP.
