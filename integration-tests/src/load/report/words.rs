//! Numbers for people.

/// A count with its thousands apart.
pub(in crate::load) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A figure: whole from a thousand on, else with as many places as tell something.
pub(in crate::load) fn figure(x: f64) -> String {
    if !x.is_finite() {
        return "–".to_owned();
    }
    let size = x.abs();
    match size {
        // Beyond 2^53 a float names no single whole number.
        _ if size >= 1e15 => format!("{x:.2e}"),
        _ if size >= 999.95 => {
            let sign = if x < 0.0 { "-" } else { "" };
            format!("{sign}{}", count(size.round() as u64))
        }
        _ if size >= 99.995 => format!("{x:.1}"),
        _ if size >= 0.1 => format!("{x:.2}"),
        _ if size == 0.0 => "0".to_owned(),
        _ => format!("{x:.4}"),
    }
}

/// Bytes in the largest unit that leaves more than one of it.
pub(in crate::load) fn bytes(n: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut rest = n;
    let mut unit = 0;
    while rest.abs() >= 1024.0 && unit + 1 < units.len() {
        rest /= 1024.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 {
        format!("{rest:.0} {name}")
    } else {
        format!("{rest:.1} {name}")
    }
}

/// "1 leak", "2 leaks".
pub(in crate::load) fn several(n: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
    }

    #[test]
    fn figures_have_the_places_that_tell_something() {
        assert_eq!(figure(0.0), "0");
        assert_eq!(figure(0.012_34), "0.0123");
        assert_eq!(figure(3.456), "3.46");
        assert_eq!(figure(345.67), "345.7");
        assert_eq!(figure(999.96), "1,000");
        assert_eq!(figure(160_857.4), "160,857");
        assert_eq!(figure(f64::NAN), "–");
    }

    #[test]
    fn bytes_take_their_unit() {
        assert_eq!(bytes(12.0), "12 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(3.0 * 1024.0 * 1024.0 * 1024.0), "3.0 GiB");
    }
}
