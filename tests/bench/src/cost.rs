//! What something costs: time, and instructions, which are the same however busy the machine is.

use std::iter::Sum;
use std::ops::{Add, Div};
use std::time::Duration;

/// A cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// How long it took.
    pub time: Duration,
    /// How many instructions its processes needed outside the kernel, where they were counted.
    pub instructions: Option<u64>,
}

impl From<Duration> for Cost {
    fn from(time: Duration) -> Self {
        Self {
            time,
            instructions: None,
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let both = self.instructions.zip(other.instructions);
        Self {
            time: self.time + other.time,
            instructions: both.map(|(one, other)| one + other),
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.reduce(Add::add).unwrap_or_default()
    }
}

impl Div<u32> for Cost {
    type Output = Self;

    fn div(self, parts: u32) -> Self {
        Self {
            time: self.time / parts,
            instructions: self.instructions.map(|all| all / u64::from(parts)),
        }
    }
}
