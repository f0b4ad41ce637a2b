//! Releases in a directory of their own.
