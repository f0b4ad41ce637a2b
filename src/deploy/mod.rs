//! Releases and the ways between them: what one is made of, what must hold before it, and the way back.
