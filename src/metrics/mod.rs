//! What was measured, kept in ever coarser steps: recorded, asked for by series and time, drawn as lines.
