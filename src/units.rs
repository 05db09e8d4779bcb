//! Numbers as people read them: three digits and a unit.

/// A size in binary units: `92.1 MiB`.
pub fn size(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// A count in decimal units: `135 M`.
pub fn count(number: u64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "B", "T"]).trim_end().to_owned()
}

fn scaled(number: u64, base: f64, units: &[&str]) -> String {
    let mut value = number as f64;
    let mut unit = 0;
    // 999.5 and more would be printed with four digits.
    while value >= base.min(999.5) && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let digits = if unit == 0 { number.to_string() } else { three_digits(value) };
    format!("{digits} {}", units[unit])
}

/// Nanoseconds with three digits and a unit.
pub fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        below if below < 1e3 => format!("{below:.0} ns"),
        below if below < 1e6 => format!("{} us", three_digits(below / 1e3)),
        below if below < 1e9 => format!("{} ms", three_digits(below / 1e6)),
        above => format!("{} s", three_digits(above / 1e9)),
    }
}

/// Three significant digits, and all of those before the point.
pub fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        below if below < 0.0995 => 3,
        below if below < 9.995 => 2,
        below if below < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_binary_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1023, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (96_573_849, "92.1 MiB"),
            (1 << 30, "1.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn counts_have_a_decimal_unit() {
        assert_eq!(count(999), "999");
        assert_eq!(count(134_515_008), "135 M");
        assert_eq!(count(494_032_768), "494 M");
        assert_eq!(count(1_235_814_400), "1.24 B");
    }

    #[test]
    fn durations_have_the_unit_of_their_size() {
        for (nanoseconds, text) in
            [(0.0, "0 ns"), (999.0, "999 ns"), (12_340.0, "12.3 us"), (3.4e8, "340 ms"), (7.5e10, "75.0 s")]
        {
            assert_eq!(duration(nanoseconds), text);
        }
    }
}
