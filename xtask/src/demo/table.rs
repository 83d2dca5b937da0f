//! The table at the end of the demo, and how numbers read in it.

use std::time::Duration;

use super::containers::Added;

/// What layers cost beside copies.
pub(super) fn costs(added: &Added, timings: &[Duration], copy: Duration, count: u32) -> String {
    let rows = [
        ("bytes stored once".to_owned(), bytes(added.stored)),
        (format!("bytes {count} copies would take"), bytes(added.as_copies)),
        ("bytes the containers added".to_owned(), bytes(added.own)),
        ("median time to create and mount one".to_owned(), duration(median(timings))),
        ("time of one cp -a".to_owned(), duration(copy)),
    ];
    let width = rows.iter().map(|(what, _)| what.len()).max().unwrap_or_default();
    let right = rows.iter().map(|(_, value)| value.len()).max().unwrap_or_default();
    rows.map(|(what, value)| format!("    {what:<width$}  {value:>right$}")).join("\n")
}

/// The middle of the sorted values; of an even number the upper one, zero of none.
fn median(values: &[Duration]) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// A size as people say it, in powers of ten.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} B"),
    }
}

/// A time as people say it.
pub(super) fn duration(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1_000 => format!("{micros} µs"),
        micros @ 1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        micros => format!("{}.{:02} s", micros / 1_000_000, micros % 1_000_000 / 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_say_them() {
        for (count, text) in
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_960, "1.9 kB"), (263_400_000, "263.4 MB")]
        {
            assert_eq!(bytes(count), text);
        }
        for (micros, text) in [(7, "7 µs"), (1_250, "1.2 ms"), (999_999, "999.9 ms"), (2_340_000, "2.34 s")] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn the_median_does_not_depend_on_order() {
        let ms = |values: &[u64]| median(&values.iter().map(|v| Duration::from_millis(*v)).collect::<Vec<_>>());
        assert_eq!(ms(&[9, 1, 5]), Duration::from_millis(5));
        assert_eq!(ms(&[4, 1]), Duration::from_millis(4));
        assert_eq!(ms(&[]), Duration::ZERO);
    }

    #[test]
    fn the_table_is_aligned() {
        let added = Added { objects: [1, 3, 100], stored: 330_000_000, as_copies: 33_000_000_000, own: 409_600 };
        let table = costs(&added, &[Duration::from_millis(4)], Duration::from_secs(1), 100);
        let expected = "    bytes stored once                    330.0 MB\n    \
                            bytes 100 copies would take           33.0 GB\n    \
                            bytes the containers added           409.6 kB\n    \
                            median time to create and mount one    4.0 ms\n    \
                            time of one cp -a                      1.00 s";
        assert_eq!(table, expected);
    }
}
