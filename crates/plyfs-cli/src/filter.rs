//! `--filter KEY=VALUE`: which images a command means, in the words and with the meanings of docker.
//!
//! Filters of different keys must all fit, and so must labels; of several references or times one that fits suffices
//! or the strictest counts. An image's age is what its config says it is, as for docker; a prune goes by when a thing
//! came into the store, since a layer has no other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use plyfs::prelude::*;
use plyfs::{ErrorKind, Image, LabelFilter, PruneOptions, Pruned, Store};

use crate::exit::{Failure, Result};
use crate::{glob, session, words};

/// What is before a name where people leave it out, as the look-up of names has it.
const UNSAID: [&str; 3] = ["docker.io/library/", "docker.io/", "localhost/"];

/// What `images` lists.
#[derive(Debug, Default)]
pub(crate) struct ImageFilter {
    /// The name asked for beside the filters.
    name: Option<String>,
    references: Vec<String>,
    labels: Vec<LabelFilter>,
    /// Created before, and after, these times; an image that does not say when is older than any.
    before: Vec<Option<Timestamp>>,
    since: Vec<Option<Timestamp>>,
    dangling: Option<bool>,
}

impl ImageFilter {
    /// Reads the filters; the images that they name must be there. What is listed has also this name, if there is one.
    pub(crate) fn new(store: &Store, name: Option<&str>, filters: &[String]) -> Result<Self> {
        let mut all = Self { name: name.map(str::to_owned), ..Self::default() };
        for filter in filters {
            match split(filter)? {
                ("reference", false, pattern) => all.references.push(pattern.to_owned()),
                ("label", is_not, text) => all.labels.push(label(text, is_not)),
                ("before", false, image) => all.before.push(created(&session::image(store, image)?)),
                ("since", false, image) => all.since.push(created(&session::image(store, image)?)),
                ("dangling", false, "true" | "1") => all.dangling = Some(true),
                ("dangling", false, "false" | "0") => all.dangling = Some(false),
                ("dangling", false, _) => return Err(Failure::usage(format!("filter {filter:?}: true or false"))),
                _ => return Err(unknown(filter, "reference, label, before, since, dangling")),
            }
        }
        Ok(all)
    }

    /// Says whether the image is meant.
    pub(crate) fn takes(&self, image: &Image) -> Result<bool> {
        let created = created(image);
        let is_named = |name: &plyfs::Reference| self.takes_name(name.as_str());
        let any_name = self.name.is_none() && self.references.is_empty();
        Ok((any_name || image.names().iter().any(is_named))
            && self.dangling.is_none_or(|dangling| dangling == image.names().is_empty())
            && self.before.iter().all(|time| created < *time)
            && self.since.iter().all(|time| created > *time)
            && has_labels(image, &self.labels)?)
    }

    /// Says whether a name of an image that is meant is one of those asked for.
    pub(crate) fn takes_name(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|pattern| fits(pattern, name))
            && (self.references.is_empty() || self.references.iter().any(|pattern| fits(pattern, name)))
    }
}

/// What `prune` may take.
#[derive(Debug, Default)]
pub(crate) struct PruneFilter {
    added_before: Option<u64>,
    labels: Vec<LabelFilter>,
}

impl PruneFilter {
    /// Reads the filters.
    pub(crate) fn new(filters: &[String]) -> Result<Self> {
        let mut all = Self::default();
        for filter in filters {
            match split(filter)? {
                ("until", false, time) => {
                    let time = moment(time, SystemTime::now())
                        .ok_or_else(|| Failure::usage(format!("filter {filter:?}: no duration and no time")))?;
                    all.added_before = Some(all.added_before.map_or(time, |before| before.min(time)));
                }
                ("label", is_not, text) => all.labels.push(label(text, is_not)),
                _ => return Err(unknown(filter, "until, label")),
            }
        }
        Ok(all)
    }

    /// Prunes by the filters.
    pub(crate) fn prune(&self, store: &Store, options: PruneOptions) -> Result<Pruned> {
        let options = self.added_before.into_iter().fold(options, PruneOptions::added_before);
        Ok(store.prune_labelled(options, &self.labels)?)
    }
}

/// Reads the config only where labels are asked for; of an image without a readable one nothing is known, and it does
/// not fit, whatever is asked.
fn has_labels(image: &Image, wanted: &[LabelFilter]) -> Result<bool> {
    if wanted.is_empty() {
        return Ok(true);
    }
    match image.labels() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::InvalidInput) => {
            let is_there = image.store().image_by_id(&image.id());
            // One that somebody removed meanwhile is nothing to speak of.
            if is_there.map_or_else(|error| error.kind() != ErrorKind::NotFound, |_| true) {
                words::warning(&format!("it is passed over: {}", plyfs::report(&error)));
            }
            Ok(false)
        }
        labels => {
            let labels = labels?;
            Ok(wanted.iter().all(|label| label.fits(&labels)))
        }
    }
}

fn label(text: &str, is_not: bool) -> LabelFilter {
    if is_not { LabelFilter::lacks(text) } else { LabelFilter::has(text) }
}

fn created(image: &Image) -> Option<Timestamp> {
    image.created()?.parse().ok()
}

/// The key of a filter, whether it is negated, and its value.
fn split(filter: &str) -> Result<(&str, bool, &str)> {
    let (key, value) = filter
        .split_once('=')
        .filter(|(_, value)| !value.is_empty())
        .ok_or_else(|| Failure::usage(format!("filter {filter:?} is not KEY=VALUE")))?;
    Ok(key.strip_suffix('!').map_or((key, false, value), |key| (key, true, value)))
}

fn unknown(filter: &str, known: &str) -> Failure {
    Failure::usage(format!("filter {filter:?} is none of: {known}"))
}

/// Says whether a pattern fits a name, with its tag or without, as it is or as people write it; `*` ends at a slash.
fn fits(pattern: &str, name: &str) -> bool {
    let short = UNSAID.iter().filter_map(|unsaid| name.strip_prefix(unsaid));
    let without_tag = |name: &'_ str| name.rsplit_once(':').map_or(name.len(), |(repository, _)| repository.len());
    std::iter::once(name).chain(short).flat_map(|name| [name, &name[..without_tag(name)]]).any(|name| {
        let (patterns, parts) = (pattern.split('/'), name.split('/'));
        patterns.clone().count() == parts.clone().count()
            && patterns.zip(parts).all(|(pattern, part)| glob::matches(pattern.as_bytes(), part.as_bytes()))
    })
}

/// A time in seconds since the epoch: a duration ago, a number, a date or a time, in UTC unless it says where.
fn moment(text: &str, now: SystemTime) -> Option<u64> {
    if let Ok(unix) = text.parse() {
        return Some(unix);
    }
    if let Some(ago) = duration(text) {
        return now.checked_sub(ago)?.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
    }
    let civil = || -> Option<DateTime> {
        text.parse::<DateTime>().ok().or_else(|| Some(text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::MIN)))
    };
    let time = text.parse::<Timestamp>().ok();
    let time = time.or_else(|| Some(civil()?.to_zoned(TimeZone::UTC).ok()?.timestamp()))?;
    time.as_second().try_into().ok()
}

/// A duration as Go writes it: `24h`, `1h30m`, `1.5s`, `300ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (count, after) = rest.split_at(number);
        let unit = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(count.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = &after[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_a_name_as_it_is_or_as_people_write_it_and_ends_at_a_slash() {
        for (pattern, name, expected) in [
            ("app", "localhost/app:1", true),
            ("app:1", "localhost/app:1", true),
            ("app:*", "localhost/app:1", true),
            ("localhost/*", "localhost/app:1", true),
            ("*", "localhost/app:1", true),
            ("*", "quay.io/a/b:1", false),
            ("quay.io/*/b", "quay.io/a/b:1", true),
            ("alpine", "docker.io/library/alpine:3", true),
            ("me/*:3", "docker.io/me/tool:3", true),
            ("ap?:[0-9]", "localhost/app:1", true),
            ("app:2", "localhost/app:1", false),
            ("host:5000/app", "host:5000/app:1", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_time_is_a_duration_ago_a_number_a_date_or_a_time() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (text, expected) in [
            ("24h", Some(913_600)),
            ("1h30m", Some(994_600)),
            ("1.5s", Some(999_998)),
            ("1700000000", Some(1_700_000_000)),
            ("2024-01-01", Some(1_704_067_200)),
            ("2024-01-01T00:00:00", Some(1_704_067_200)),
            ("2024-01-01T01:00:00+01:00", Some(1_704_067_200)),
            ("", None),
            ("h", None),
            ("24", Some(24)),
            ("24x", None),
            ("1h2", None),
            ("999999999h", None),
            ("yesterday", None),
        ] {
            assert_eq!(moment(text, now), expected, "{text:?}");
        }
    }
}
