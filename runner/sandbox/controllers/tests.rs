//! The controllers under a paused clock, without HTTP.
