//! Numbers in few bytes. Whoever reads gets `None` at the first byte that makes no sense, and never more memory than asked.
use crate::domain::Distribution;

/// Beyond it a float has no whole numbers to itself.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// A histogram of two significant figures from 1 µs to 100 s has fewer classes.
const MOST_CLASSES: u64 = 10_000;

/// What floats are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    Whole,
    Thousandths,
    /// Bit by bit.
    Free,
}

impl Grid {
    /// The coarsest on which all of these are exactly.
    pub fn of<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> Self {
        let on = |grid: Self| values.clone().all(|value| grid.step(*value).is_some());
        [Self::Whole, Self::Thousandths].into_iter().find(|grid| on(*grid)).unwrap_or(Self::Free)
    }

    /// Which step of the grid it is; none if it is between two.
    pub fn step(self, value: f64) -> Option<i64> {
        let scaled = match self {
            Self::Whole => value,
            Self::Thousandths => (value * 1e3).round(),
            #[expect(clippy::cast_possible_wrap, reason = "bits, not a number")]
            Self::Free => return Some(value.to_bits() as i64),
        };
        if scaled.abs() >= EXACT || scaled.fract() != 0.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
        let step = scaled as i64;
        (self.value(step).to_bits() == value.to_bits()).then_some(step)
    }

    pub fn value(self, step: i64) -> f64 {
        match self {
            Self::Whole => step as f64,
            Self::Thousandths => step as f64 / 1e3,
            #[expect(clippy::cast_sign_loss, reason = "bits, not a number")]
            Self::Free => f64::from_bits(step as u64),
        }
    }

    pub fn code(self) -> u64 {
        match self {
            Self::Whole => 0,
            Self::Thousandths => 1,
            Self::Free => 2,
        }
    }

    pub fn decoded(code: u64) -> Option<Self> {
        [Self::Whole, Self::Thousandths, Self::Free].into_iter().find(|grid| grid.code() == code)
    }
}

/// Seven bits a byte, the lowest first.
pub fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

/// One float by itself.
pub fn put_float(bytes: &mut Vec<u8>, value: f64) {
    let grid = Grid::of(std::iter::once(&value));
    let step = grid.step(value).unwrap_or_default();
    if grid == Grid::Free {
        put(bytes, Grid::Free.code());
        bytes.extend_from_slice(&value.to_le_bytes());
    } else {
        put(bytes, (zigzag(step) << 2) | grid.code());
    }
}

pub fn put_distribution(bytes: &mut Vec<u8>, distribution: &Distribution) {
    let counts = distribution.counts();
    put(bytes, counts.len() as u64);
    let mut before = 0;
    for (value, count) in counts {
        put(bytes, value - before);
        put(bytes, *count);
        before = *value;
    }
}

/// Differences from one to the next; a run of the same is told by its length.
pub fn put_column(bytes: &mut Vec<u8>, values: impl Iterator<Item = i64>) {
    let (mut before, mut same) = (0_i64, 0_u64);
    for value in values {
        let difference = zigzag(value.wrapping_sub(before));
        before = value;
        if difference == 0 {
            same += 1;
            continue;
        }
        put_run(bytes, &mut same);
        put(bytes, difference);
    }
    put_run(bytes, &mut same);
}

fn put_run(bytes: &mut Vec<u8>, same: &mut u64) {
    if *same > 0 {
        put(bytes, 0);
        put(bytes, *same);
        *same = 0;
    }
}

/// What is left to read.
pub struct Rest<'a>(pub &'a [u8]);

impl<'a> Rest<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub fn float(&mut self) -> Option<f64> {
        let head = self.number()?;
        match Grid::decoded(head & 3)? {
            Grid::Free => Some(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            grid => Some(grid.value(unzigzag(head >> 2))),
        }
    }

    pub fn distribution(&mut self) -> Option<Distribution> {
        let classes = self.number().filter(|classes| *classes <= MOST_CLASSES)?;
        let mut value = 0_u64;
        let counts = (0..classes).map(|_| {
            value = value.checked_add(self.number()?)?;
            Some((value, self.number()?))
        });
        counts.collect::<Option<Vec<_>>>().map(Distribution::new)
    }

    /// Past a number, without telling it.
    pub fn skip_number(&mut self) -> Option<()> {
        let last = self.0.iter().take(10).position(|byte| byte & 0x80 == 0)?;
        self.0 = &self.0[last + 1..];
        Some(())
    }

    pub fn skip_float(&mut self) -> Option<()> {
        match Grid::decoded(self.number()? & 3)? {
            Grid::Free => self.take(8).map(drop),
            Grid::Whole | Grid::Thousandths => Some(()),
        }
    }

    pub fn skip_distribution(&mut self) -> Option<()> {
        let classes = self.number().filter(|classes| *classes <= MOST_CLASSES)?;
        (0..classes * 2).try_for_each(|_| self.skip_number())
    }

    /// `length` of them.
    pub fn column(&mut self, length: usize) -> Option<Vec<i64>> {
        let mut values = Vec::with_capacity(length);
        let mut before = 0_i64;
        while values.len() < length {
            match self.number()? {
                0 => {
                    let same = usize::try_from(self.number()?).ok()?;
                    if same == 0 || same > length - values.len() {
                        return None;
                    }
                    values.extend(std::iter::repeat_n(before, same));
                }
                difference => {
                    before = before.wrapping_add(unzigzag(difference));
                    values.push(before);
                }
            }
        }
        Some(values)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }
}

#[expect(clippy::cast_sign_loss, reason = "bits move, no number is bent")]
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[expect(clippy::cast_possible_wrap, reason = "bits move, no number is bent")]
fn unzigzag(number: u64) -> i64 {
    ((number >> 1) as i64) ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stays_the_same_costs_nothing_and_whole_numbers_little() {
        let mut bytes = Vec::new();
        put_column(&mut bytes, std::iter::repeat_n(0, 360));
        assert_eq!(bytes.len(), 3);
        bytes.clear();
        put_float(&mut bytes, 12.5);
        put_float(&mut bytes, 3.0);
        assert_eq!(bytes.len(), 3 + 1);
    }

    #[test]
    fn a_length_that_a_damaged_file_claims_is_not_believed() {
        let mut bytes = Vec::new();
        put(&mut bytes, 0);
        put(&mut bytes, u64::MAX);
        assert_eq!(Rest(&bytes).column(3), None);
        assert_eq!(Rest(&[0xff; 12]).number(), None);
        let mut bytes = Vec::new();
        put(&mut bytes, u64::MAX);
        assert!(Rest(&bytes).distribution().is_none());
    }

    proptest! {
        #[test]
        fn every_float_reads_back_bit_by_bit(value in any::<f64>(), near in -5_000_000_i64..5_000_000) {
            for value in [value, near as f64, near as f64 / 1e3, -0.0, f64::MAX, 1e15 + 0.5] {
                let mut bytes = Vec::new();
                put_float(&mut bytes, value);
                let mut rest = Rest(&bytes);
                prop_assert_eq!(rest.float().map(f64::to_bits), Some(value.to_bits()));
                prop_assert!(rest.is_empty());
            }
        }

        #[test]
        fn every_column_reads_back(values in proptest::collection::vec(prop_oneof![Just(7_i64), any::<i64>(), -3_i64..3], 0..200)) {
            let mut bytes = Vec::new();
            put_column(&mut bytes, values.iter().copied());
            let mut rest = Rest(&bytes);
            prop_assert_eq!(rest.column(values.len()), Some(values));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn every_number_reads_back(number in any::<u64>(), signed in any::<i64>()) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut rest = Rest(&bytes);
            prop_assert_eq!(rest.number(), Some(number));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }

        /// Past what is not wanted, everything is as it is for whoever reads it.
        #[test]
        fn what_is_skipped_is_as_long_as_what_is_read(
            value in any::<f64>(),
            near in -5_000_000_i64..5_000_000,
            counts in proptest::collection::vec((1_u64..100_000_000, 1_u64..1000), 0..12),
        ) {
            let mut bytes = Vec::new();
            put_float(&mut bytes, value);
            put_float(&mut bytes, near as f64 / 1e3);
            put_distribution(&mut bytes, &Distribution::new(counts));
            put(&mut bytes, 77);
            let mut rest = Rest(&bytes);
            prop_assert!(rest.skip_float().is_some() && rest.skip_float().is_some());
            prop_assert!(rest.skip_distribution().is_some());
            prop_assert_eq!(rest.number(), Some(77));
            prop_assert!(rest.is_empty() && rest.skip_number().is_none());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Rest(&bytes).distribution();
            let _ = Rest(&bytes).skip_distribution();
            let _ = Rest(&bytes).skip_float();
            let _ = Rest(&bytes).column(100);
            let _ = Rest(&bytes).float();
        }
    }
}
