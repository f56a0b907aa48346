//! Reports: a result in, the bytes of JUnit, HTML and Markdown files out. Pure functions of the result, so that the
//! same result always gives the same bytes. No tokio, no kube, no reqwest.
