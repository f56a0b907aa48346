//! Judging: observations in, verdicts out. Pure.
