//! How a line of the audit log looks: JSON, whose fields are left out where there is nothing to say.

use serde::Serialize;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};
use weir_core::gateway::audit::Line;

#[derive(Serialize)]
struct Fields<'a> {
    time: String,
    event: &'static str,
    session: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Cow<'a, str>>,
    client: &'a str,
    tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sorts: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "is_false")]
    reduced: bool,
    #[serde(skip_serializing_if = "is_false")]
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ran_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    rows: u64,
    #[serde(skip_serializing_if = "is_zero")]
    affected: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

#[derive(Serialize)]
struct LeftOut {
    time: String,
    event: &'static str,
    lines: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What is not UTF-8 is replaced.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The line of what was over at this time, with its end.
pub(super) fn of(at: SystemTime, line: &Line) -> Vec<u8> {
    let (told, error) = (line.told.as_ref(), line.error.as_ref());
    let is_statement = told.is_some() || !line.sorts.is_empty();
    let (ran_on, role) = match &line.ran_on {
        Some((alias, role)) => (alias.as_ref().map(ToString::to_string), Some(role.name())),
        None => (is_statement.then(|| "gateway".to_owned()), None),
    };
    ended(&Fields {
        time: utc(at),
        event: line.what.name(),
        session: line.session,
        user: text(&line.user),
        before: line.before.as_deref().map(text),
        client: &line.client,
        tls: line.tls,
        schema: line.schema.as_deref().map(text),
        sorts: line.sorts.names().collect(),
        text: told.map(|told| text(&told.text)),
        reduced: told.is_some_and(|told| told.reduced),
        cut: told.is_some_and(|told| told.cut),
        ran_on,
        role,
        result: line.result,
        error: error.map(|error| error.code),
        sqlstate: error.map(|error| text(&error.sqlstate)),
        message: error.and_then(|error| error.message.as_deref()).map(text),
        reason: line.reason.map(weir_core::gateway::session::Reason::name),
        rows: line.rows_sent,
        affected: line.rows_affected,
        took_us: line.took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        trace_id: line.trace.map(|trace| trace.to_string()),
    })
}

/// The line that tells of so many that are missing before it.
pub(super) fn of_left_out(at: SystemTime, lines: u64) -> Vec<u8> {
    ended(&LeftOut { time: utc(at), event: "left_out", lines })
}

fn ended(fields: &impl Serialize) -> Vec<u8> {
    // Text and numbers are all that is in it.
    let mut line = serde_json::to_vec(fields).unwrap_or_default();
    line.push(b'\n');
    line
}

/// RFC 3339, with milliseconds.
fn utc(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, milliseconds) = (since.as_secs(), since.subsec_millis());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Year, month and day, so many days after 1970-01-01. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>).
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_time_is_that_of_greenwich() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_709_251_200, "2024-03-01T00:00:00.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(7)), text);
        }
    }
}
