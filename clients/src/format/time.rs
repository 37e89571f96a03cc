//! The local time, and strftime's conversions of it.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tz::{DateTime, TimeZone};

/// The time zone of `TZ`, else of `/etc/localtime`, else UTC.
fn zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| {
        let zone = match std::env::var("TZ") {
            Ok(zone) => TimeZone::from_posix_tz(&zone),
            Err(_) => TimeZone::local(),
        };
        zone.unwrap_or_else(|_| TimeZone::utc())
    })
}

/// The seconds since 1970 began, leap seconds left out, and the nanoseconds of the second.
fn since_epoch(now: SystemTime) -> (i64, u32) {
    match now.duration_since(UNIX_EPOCH) {
        Ok(after) => (
            after.as_secs().try_into().unwrap_or(i64::MAX),
            after.subsec_nanos(),
        ),
        // A router whose clock was never set stands at the epoch, not before it.
        Err(_) => (0, 0),
    }
}

/// None in a year that has no number.
fn local(now: SystemTime) -> Option<DateTime> {
    let (seconds, nanoseconds) = since_epoch(now);
    let in_zone = DateTime::from_timespec(seconds, nanoseconds, zone().as_ref());
    let utc = || DateTime::from_timespec(seconds, nanoseconds, TimeZone::utc().as_ref());
    in_zone.or_else(|_| utc()).ok()
}

/// `1795338735.231199382`
pub(super) fn seconds(now: SystemTime) -> String {
    let (seconds, nanoseconds) = since_epoch(now);
    format!("{seconds}.{nanoseconds:09}")
}

/// `2026-11-22T09:12:15+0000`
pub(super) fn date_and_time(now: SystemTime) -> String {
    let text = local(now).map(|now| format!("{}{}", date(&now), offset(&now)));
    text.unwrap_or_default()
}

/// `2026-11-22T09:12:15.231199+0000`
pub(super) fn timestamp(now: SystemTime) -> String {
    let text = local(now).map(|now| {
        let microseconds = now.nanoseconds() / 1000;
        format!("{}.{microseconds:06}{}", date(&now), offset(&now))
    });
    text.unwrap_or_default()
}

fn date(now: &DateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        now.year(),
        now.month(),
        now.month_day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

/// As strftime's `%z`.
fn offset(now: &DateTime) -> String {
    let offset = now.local_time_type().ut_offset();
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

/// The conversions of glibc's strftime that take no flag. Others are printed as they are, `%` before them.
const CONVERSIONS: &[u8] = b"aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%";

/// What strftime prints for `%` and this letter; `N` stands for the nanoseconds.
pub(super) fn conversion(letter: u8, now: SystemTime) -> Vec<u8> {
    match letter {
        b'N' => format!("{:09}", since_epoch(now).1).into_bytes(),
        letter if CONVERSIONS.contains(&letter) => {
            let text = local(now)
                .and_then(|now| strftime::bytes::strftime(&Local(now), &[b'%', letter]).ok());
            text.unwrap_or_default()
        }
        letter => vec![b'%', letter],
    }
}

/// A time as strftime takes it.
struct Local(DateTime);

impl strftime::Time for Local {
    fn year(&self) -> i32 {
        self.0.year()
    }

    fn month(&self) -> u8 {
        self.0.month()
    }

    fn day(&self) -> u8 {
        self.0.month_day()
    }

    fn hour(&self) -> u8 {
        self.0.hour()
    }

    fn minute(&self) -> u8 {
        self.0.minute()
    }

    fn second(&self) -> u8 {
        self.0.second()
    }

    fn nanoseconds(&self) -> u32 {
        self.0.nanoseconds()
    }

    fn day_of_week(&self) -> u8 {
        self.0.week_day()
    }

    fn day_of_year(&self) -> u16 {
        self.0.year_day() + 1
    }

    fn to_int(&self) -> i64 {
        self.0.unix_time()
    }

    fn is_utc(&self) -> bool {
        false
    }

    fn utc_offset(&self) -> i32 {
        self.0.local_time_type().ut_offset()
    }

    fn time_zone(&self) -> &str {
        match self.0.local_time_type().time_zone_designation() {
            // What stands in for a zone that is not known.
            "" => "UTC",
            name => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-11-22 at 09:12:15 UTC.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::new(1_795_338_735, 231_199_382)
    }

    fn in_zone(zone: &str) -> Local {
        let zone = TimeZone::from_posix_tz(zone).expect("a zone");
        let (seconds, nanoseconds) = since_epoch(now());
        Local(DateTime::from_timespec(seconds, nanoseconds, zone.as_ref()).expect("in range"))
    }

    #[test]
    fn seconds_have_nine_places() {
        assert_eq!(seconds(now()), "1795338735.231199382");
        assert_eq!(seconds(UNIX_EPOCH), "0.000000000");
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(1)), "0.000000000");
    }

    #[test]
    fn offsets_are_hours_and_minutes() {
        for (zone, expected) in [
            ("UTC0", "2026-11-22T09:12:15+0000"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-11-22T10:12:15+0100"),
            ("NST3:30", "2026-11-22T05:42:15-0330"),
            ("<+1245>-12:45", "2026-11-22T21:57:15+1245"),
        ] {
            let now = in_zone(zone).0;
            assert_eq!(format!("{}{}", date(&now), offset(&now)), expected);
        }
    }

    #[test]
    fn conversions_are_those_of_the_c_locale() {
        let now = in_zone("CET-1CEST,M3.5.0,M10.5.0/3");
        for (letter, expected) in [
            ('a', "Sun"),
            ('A', "Sunday"),
            ('b', "Nov"),
            ('B', "November"),
            ('c', "Sun Nov 22 10:12:15 2026"),
            ('C', "20"),
            ('d', "22"),
            ('D', "11/22/26"),
            ('e', "22"),
            ('F', "2026-11-22"),
            ('g', "26"),
            ('G', "2026"),
            ('h', "Nov"),
            ('H', "10"),
            ('I', "10"),
            ('j', "326"),
            ('k', "10"),
            ('l', "10"),
            ('m', "11"),
            ('M', "12"),
            ('n', "\n"),
            ('p', "AM"),
            ('P', "am"),
            ('r', "10:12:15 AM"),
            ('R', "10:12"),
            ('s', "1795338735"),
            ('S', "15"),
            ('t', "\t"),
            ('T', "10:12:15"),
            ('u', "7"),
            ('U', "47"),
            ('V', "47"),
            ('w', "0"),
            ('W', "46"),
            ('x', "11/22/26"),
            ('X', "10:12:15"),
            ('y', "26"),
            ('Y', "2026"),
            ('z', "+0100"),
            ('Z', "CET"),
            ('%', "%"),
        ] {
            let text = strftime::bytes::strftime(&now, &[b'%', letter as u8]).expect("legal");
            assert_eq!(String::from_utf8_lossy(&text), expected, "{letter}");
            assert!(CONVERSIONS.contains(&(letter as u8)));
        }
    }

    #[test]
    fn every_letter_gives_something_and_none_panics() {
        for letter in 0..=u8::MAX {
            assert!(!conversion(letter, now()).is_empty(), "{letter}");
        }
        assert_eq!(conversion(b'N', now()), b"231199382");
        assert_eq!(conversion(b'!', now()), b"%!");
        assert_eq!(conversion(b'0', now()), b"%0");
        assert_eq!(conversion(b'E', now()), b"%E");
    }

    #[test]
    fn without_a_zone_it_is_utc() {
        let (seconds, nanoseconds) = since_epoch(now());
        let utc = DateTime::from_timespec(seconds, nanoseconds, TimeZone::utc().as_ref());
        let now = Local(utc.expect("in range"));
        let text = strftime::bytes::strftime(&now, b"%Z");
        assert_eq!(text.expect("legal"), b"UTC");
        assert_eq!(offset(&now.0), "+0000");
    }

    #[test]
    fn a_clock_far_away_panics_nothing() {
        let far = UNIX_EPOCH.checked_add(Duration::from_secs(1 << 62));
        for now in [Some(UNIX_EPOCH), far].into_iter().flatten() {
            let _ = (date_and_time(now), timestamp(now), conversion(b'c', now));
        }
    }
}
