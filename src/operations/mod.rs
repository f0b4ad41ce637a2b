//! Long work that survives a crash: journaled steps, each of which can be run again or undone.
