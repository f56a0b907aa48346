//! The API as the ordinary client sees it.
