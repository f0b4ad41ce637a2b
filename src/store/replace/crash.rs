//! Where tests end it in the middle, as a kill would. Nothing in any other build.

#[cfg(not(test))]
pub fn here(_after: &str) {}

#[cfg(test)]
pub use planned::{here, points};

#[cfg(test)]
mod planned {
    use std::{
        cell::Cell,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    thread_local! {
        /// How many more moments are lived through.
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// A panic, since nothing that handles errors may see it.
    pub fn here(after: &str) {
        LEFT.with(|left| match left.get() {
            Some(0) => panic!("killed after {after}"),
            Some(more) => left.set(Some(more - 1)),
            None => {}
        });
    }

    /// Runs `work` and kills it at the first moment, then anew and at the second, and so on; `between` sees to each.
    pub fn points(mut prepare: impl FnMut(), work: impl Fn(), mut between: impl FnMut(u32)) -> u32 {
        for point in 0.. {
            prepare();
            LEFT.with(|left| left.set(Some(point)));
            let killed = catch_unwind(AssertUnwindSafe(&work)).is_err();
            LEFT.with(|left| left.set(None));
            between(point);
            if !killed {
                return point;
            }
        }
        unreachable!("the numbers do not end")
    }
}
