//! Dates in access logs, in the words of C's `strftime` with Envoy's additions for fractions of a second.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use time::OffsetDateTime;

/// The shape of a date.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TimeFormat(Option<Box<[Item]>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Text(Box<str>),
    Year,
    ShortYear,
    Month,
    MonthName(bool),
    Day,
    PaddedDay,
    DayOfYear,
    WeekdayName(bool),
    Hour,
    Hour12,
    Minute,
    Second,
    HalfDay,
    /// Seconds since 1970.
    Epoch,
    /// So many digits of the fraction of a second.
    Fraction(u8),
    /// Seconds with so many digits of their fraction: `%E3S`.
    Seconds(u8),
    Zone,
    Offset,
}

impl TimeFormat {
    /// Reads a format. `None` if a specifier isn't known.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut items = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            push_text(&mut items, &rest[..at]);
            rest = &rest[at + 1..];
            let length = specifier(rest, &mut items)?;
            rest = &rest[length..];
        }
        push_text(&mut items, rest);
        Some(Self((!items.is_empty()).then(|| items.into())))
    }

    /// Writes a moment.
    pub(super) fn write(&self, moment: SystemTime, out: &mut String) {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let date = OffsetDateTime::from(moment);
        let Some(items) = &self.0 else { return iso(date, out) };
        for item in items {
            // Writing to a string doesn't fail.
            let _ = write_item(item, date, since, out);
        }
    }
}

/// `2026-11-21T04:05:06.789Z`
fn iso(date: OffsetDateTime, out: &mut String) {
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
        date.millisecond()
    );
}

fn push_text(items: &mut Vec<Item>, text: &str) {
    if !text.is_empty() {
        items.push(Item::Text(text.into()));
    }
}

/// Reads what follows a `%`; how long it is.
fn specifier(text: &str, items: &mut Vec<Item>) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = *bytes.first()?;
    if first == b'E' && bytes.len() >= 3 && bytes[1].is_ascii_digit() && bytes[2] == b'S' {
        items.push(Item::Seconds(bytes[1] - b'0'));
        return Some(3);
    }
    if (b'1'..=b'9').contains(&first) && bytes.get(1) == Some(&b'f') {
        items.push(Item::Fraction(first - b'0'));
        return Some(2);
    }
    let several = |texts: &[Item]| Some(texts.to_vec());
    let dash = Item::Text("-".into());
    let colon = Item::Text(":".into());
    let found = match first {
        b'Y' => several(&[Item::Year]),
        b'y' => several(&[Item::ShortYear]),
        b'm' => several(&[Item::Month]),
        b'b' | b'h' => several(&[Item::MonthName(false)]),
        b'B' => several(&[Item::MonthName(true)]),
        b'd' => several(&[Item::Day]),
        b'e' => several(&[Item::PaddedDay]),
        b'j' => several(&[Item::DayOfYear]),
        b'a' => several(&[Item::WeekdayName(false)]),
        b'A' => several(&[Item::WeekdayName(true)]),
        b'H' => several(&[Item::Hour]),
        b'I' => several(&[Item::Hour12]),
        b'M' => several(&[Item::Minute]),
        b'S' => several(&[Item::Second]),
        b'p' => several(&[Item::HalfDay]),
        b's' => several(&[Item::Epoch]),
        b'f' => several(&[Item::Fraction(9)]),
        b'Z' => several(&[Item::Zone]),
        b'z' => several(&[Item::Offset]),
        b'F' => several(&[Item::Year, dash.clone(), Item::Month, dash, Item::Day]),
        b'T' => several(&[Item::Hour, colon.clone(), Item::Minute, colon, Item::Second]),
        b'R' => several(&[Item::Hour, colon, Item::Minute]),
        b'%' => several(&[Item::Text("%".into())]),
        b'n' => several(&[Item::Text(" ".into())]),
        b't' => several(&[Item::Text("\t".into())]),
        _ => None,
    };
    items.extend(found?);
    Some(1)
}

fn write_item(item: &Item, date: OffsetDateTime, since: Duration, out: &mut String) -> std::fmt::Result {
    let name = |name: &str, long: bool| if long { name.to_owned() } else { name[..3].to_owned() };
    match item {
        Item::Text(text) => out.write_str(text),
        Item::Year => write!(out, "{:04}", date.year()),
        Item::ShortYear => write!(out, "{:02}", date.year().rem_euclid(100)),
        Item::Month => write!(out, "{:02}", u8::from(date.month())),
        Item::MonthName(long) => out.write_str(&name(&date.month().to_string(), *long)),
        Item::Day => write!(out, "{:02}", date.day()),
        Item::PaddedDay => write!(out, "{:2}", date.day()),
        Item::DayOfYear => write!(out, "{:03}", date.ordinal()),
        Item::WeekdayName(long) => out.write_str(&name(&date.weekday().to_string(), *long)),
        Item::Hour => write!(out, "{:02}", date.hour()),
        Item::Hour12 => write!(out, "{:02}", (date.hour() + 11) % 12 + 1),
        Item::Minute => write!(out, "{:02}", date.minute()),
        Item::Second => write!(out, "{:02}", date.second()),
        Item::HalfDay => out.write_str(if date.hour() < 12 { "AM" } else { "PM" }),
        Item::Epoch => write!(out, "{}", since.as_secs()),
        Item::Fraction(digits) => write_fraction(*digits, date.nanosecond(), out),
        Item::Seconds(0) => write!(out, "{:02}", date.second()),
        Item::Seconds(digits) => {
            write!(out, "{:02}.", date.second())?;
            write_fraction(*digits, date.nanosecond(), out)
        }
        Item::Zone => out.write_str("UTC"),
        Item::Offset => out.write_str("+0000"),
    }
}

fn write_fraction(digits: u8, nanoseconds: u32, out: &mut String) -> std::fmt::Result {
    out.write_str(&format!("{nanoseconds:09}")[..usize::from(digits)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_asked() {
        let moment = UNIX_EPOCH + Duration::new(1_792_555_506, 789_123_456);
        for (format, want) in [
            ("", "2026-10-21T04:05:06.789Z"),
            ("%Y-%m-%dT%H:%M:%E3SZ", "2026-10-21T04:05:06.789Z"),
            ("%Y/%m/%dT%H:%M:%S%z %s", "2026/10/21T04:05:06+0000 1792555506"),
            ("%s.%6f", "1792555506.789123"),
            ("%s%3f", "1792555506789"),
            ("%a, %d %b %Y %T %Z", "Wed, 21 Oct 2026 04:05:06 UTC"),
            ("%A %e %B %y %j %I %p %R %%", "Wednesday 21 October 26 294 04 AM 04:05 %"),
        ] {
            let mut out = String::new();
            TimeFormat::parse(format).unwrap().write(moment, &mut out);
            assert_eq!(out, want, "{format}");
        }
        assert_eq!(TimeFormat::parse("%Q"), None);
        assert_eq!(TimeFormat::parse("%"), None);
    }
}
