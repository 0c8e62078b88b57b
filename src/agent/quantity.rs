//! Kubernetes quantities: `250m`, `64Gi`, `1e3`, `1500M`.
//!
//! Owns: reading a quantity and rounding it to the unit that a report uses.
//! Must not know: what is measured.
//!
//! A quantity is a decimal number and an optional suffix: `n`, `u`, `m`, `k`,
//! `M`, `G`, `T`, `P`, `E` (powers of 1000), `Ki` to `Ei` (powers of 1024) or
//! an exponent such as `e3`. Reading is exact down to a billionth, finer parts
//! are rounded up, and so is every conversion, as Kubernetes itself does.

use std::str::FromStr;

/// A quantity that is not negative, kept in billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nanos: u128,
}

/// The text is no quantity, or a negative one, or too large to mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a quantity such as 250m, 2 or 64Gi")]
pub struct NotAQuantity;

const NANOS: u128 = 1_000_000_000;

impl Quantity {
    /// Thousandths, rounded up: what a report says of CPU.
    pub fn millis(self) -> u64 {
        saturated(self.nanos.div_ceil(NANOS / 1_000))
    }

    /// Whole units, rounded up: what a report says of memory, in bytes.
    pub fn units(self) -> u64 {
        saturated(self.nanos.div_ceil(NANOS))
    }
}

fn saturated(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let end = text
            .bytes()
            .position(|byte| !byte.is_ascii_digit() && byte != b'.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(NotAQuantity);
        }
        let scale = Scale::from_suffix(suffix).ok_or(NotAQuantity)?;
        nanos(whole, fraction, scale).map(|nanos| Self { nanos }).ok_or(NotAQuantity)
    }
}

/// What a suffix multiplies by: a power of ten or a power of 1024.
#[derive(Clone, Copy)]
enum Scale {
    Decimal(i32),
    Binary(u32),
}

impl Scale {
    fn from_suffix(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "" => Self::Decimal(0),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(1),
            "Mi" => Self::Binary(2),
            "Gi" => Self::Binary(3),
            "Ti" => Self::Binary(4),
            "Pi" => Self::Binary(5),
            "Ei" => Self::Binary(6),
            exponent => {
                let digits = exponent.strip_prefix(['e', 'E'])?;
                Self::Decimal(digits.parse().ok().filter(|e: &i32| e.abs() <= 30)?)
            }
        })
    }
}

/// Digits before and after the point, scaled to billionths and rounded up;
/// `None` when the number does not fit.
fn nanos(whole: &str, fraction: &str, scale: Scale) -> Option<u128> {
    let mut digits: u128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        digits = digits.checked_mul(10)?.checked_add(u128::from(byte - b'0'))?;
    }
    let below_point = i32::try_from(fraction.len()).ok()?;
    let (digits, exponent) = match scale {
        Scale::Decimal(exponent) => (digits, exponent),
        Scale::Binary(power) => (digits.checked_mul(1024_u128.pow(power))?, 0),
    };
    // The value in billionths is digits * 10^(exponent - below_point + 9).
    let shift = exponent - below_point + 9;
    let power = 10_u128.checked_pow(shift.unsigned_abs());
    if shift >= 0 {
        return if digits == 0 { Some(0) } else { digits.checked_mul(power?) };
    }
    // A divisor that does not fit is larger than any number that does.
    Some(power.map_or(u128::from(digits > 0), |power| digits.div_ceil(power)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|_| panic!("{text} is a quantity"))
    }

    #[test]
    fn cpu_reads_as_thousandths_of_a_core() {
        for (text, millis) in [
            ("250m", 250),
            ("1", 1_000),
            ("0.5", 500),
            (".5", 500),
            ("2.", 2_000),
            ("+3", 3_000),
            ("15", 15_000),
            ("156340021n", 157),
            ("1u", 1),
            ("0", 0),
            ("1e3", 1_000_000),
            ("1E-3", 1),
            ("2k", 2_000_000),
        ] {
            assert_eq!(read(text).millis(), millis, "{text}");
        }
    }

    #[test]
    fn memory_reads_as_bytes() {
        for (text, bytes) in [
            ("64Gi", 64 << 30),
            ("128974848", 128_974_848),
            ("1500M", 1_500_000_000),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("1E", 1_000_000_000_000_000_000),
            ("0.5Ki", 512),
            ("1.5Gi", 3 << 29),
            ("129e6", 129_000_000),
            ("1Ki", 1_024),
            ("7Ei", 7 << 60),
            ("128974848000m", 128_974_848),
            ("1m", 1),
        ] {
            assert_eq!(read(text).units(), bytes, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_quantity_is_refused() {
        for text in [
            "", ".", "Gi", "-1", "1 Gi", "1gi", "1K", "1MB", "1.2.3", "0x10", "1e", "1e99", "e3",
            "NaN", "1i", "1mi", "١",
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(NotAQuantity), "{text:?} was read");
        }
    }

    #[test]
    fn a_quantity_too_large_for_a_report_stops_at_the_largest_number() {
        assert_eq!(read("100Ei").units(), u64::MAX);
        assert!("99999999999999999999999999999999999999999".parse::<Quantity>().is_err());
    }

    #[test]
    fn more_digits_than_a_billionth_are_rounded_up() {
        assert_eq!(read("0.0000000000001").units(), 1);
        assert_eq!(read("1.0000000001n"), read("2n"));
    }

    /// The same value written in many ways, over a spread of magnitudes.
    #[test]
    fn every_way_of_writing_a_value_reads_alike() {
        let mut value: u64 = 1;
        for step in 0..2_000_u64 {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step) >> (step % 50);
            value %= 1 << 50;
            let plain = read(&value.to_string());
            assert_eq!(plain.units(), value);
            assert_eq!(plain, read(&format!("{value}e0")));
            assert_eq!(plain, read(&format!("{value}000m")));
            assert_eq!(plain, read(&format!("{value}.000")));
            assert_eq!(plain, read(&format!("{}.{:03}k", value / 1_000, value % 1_000)));
            assert_eq!(plain, read(&format!("{}.{:06}e6", value / 1_000_000, value % 1_000_000)));
            assert_eq!(read(&format!("{value}Ki")).units(), value << 10);
            assert_eq!(read(&format!("{value}Ki")), read(&format!("{}", value << 10)));
        }
    }

    #[test]
    fn a_larger_number_with_the_same_suffix_is_a_larger_quantity() {
        for suffix in ["n", "u", "m", "", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e2", "E-4"] {
            for number in [0_u32, 1, 9, 10, 999, 1_000, 65_535] {
                let low = read(&format!("{number}{suffix}"));
                let high = read(&format!("{}{suffix}", number + 1));
                assert!(low < high, "{number}{suffix}");
                assert!(low.millis() <= high.millis() && low.units() <= high.units());
            }
        }
    }
}
