//! NetworkPolicy as pure functions: evaluating policies, and building the ones that cut exactly some links.
