//! What a figure counts, and how it reads.

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Operations a second.
    PerSecond,
    /// Things.
    Count,
}

impl Unit {
    /// The name in the JSON file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "B",
            Self::PerSecond => "1/s",
            Self::Count => "1",
        }
    }

    /// The figure with three digits that count, in the unit people would choose.
    pub(super) fn show(self, value: f64) -> String {
        let (steps, last): (&[(f64, &str)], &str) = match self {
            Self::Seconds => (&[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")], "ns"),
            Self::Bytes => (&[(1e9, "GB"), (1e6, "MB"), (1e3, "kB")], "B"),
            Self::PerSecond => (&[], "/s"),
            Self::Count => return format!("{value:.0}"),
        };
        let smallest = if self == Self::Seconds { 1e-9 } else { 1.0 };
        let (size, unit) = steps.iter().find(|(size, _)| value >= *size).copied().unwrap_or((smallest, last));
        format!("{} {unit}", digits(value / size))
    }
}

/// Three digits that count; more when they stand before the point.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_say_them() {
        for (unit, value, text) in [
            (Unit::Seconds, 2.5, "2.50 s"),
            (Unit::Seconds, 0.000_412_4, "412 µs"),
            (Unit::Seconds, 0.000_000_83, "830 ns"),
            (Unit::Seconds, 0.0, "0.00 ns"),
            (Unit::Bytes, 31_900_000.0, "31.9 MB"),
            (Unit::Bytes, 12.0, "12.0 B"),
            (Unit::PerSecond, 12_345.0, "12345 /s"),
            (Unit::Count, 4.0, "4"),
        ] {
            assert_eq!(unit.show(value), text);
        }
    }
}
