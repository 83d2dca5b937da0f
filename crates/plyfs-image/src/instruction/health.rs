//! `HEALTHCHECK`: what tells whether a container works, in docker's field of a config.

use serde_json::{Map, Value, json};

use super::{Parsed, command_list};

/// The shortest time that docker takes.
const LEAST: f64 = 1e6;

/// Reads `NONE`, or options and `CMD` with a command; the object as docker writes it.
pub(super) fn parse(text: &str) -> Parsed<Value> {
    let (mut options, mut rest) = (Map::new(), text);
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = option.split_once('=').ok_or_else(|| format!("--{option} has no value"))?;
        let (field, value) = self::option(name, value)?;
        if options.insert(field.into(), value).is_some() {
            return Err(format!("--{name} comes twice"));
        }
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (kind, command) = (kind.to_ascii_uppercase(), command.trim());
    let test = match (kind.as_str(), command_list(command)?) {
        ("NONE", _) if command.is_empty() && options.is_empty() => json!(["NONE"]),
        ("NONE", _) => return Err("NONE takes nothing else".into()),
        ("CMD", Some(list)) if !list.is_empty() => [vec!["CMD".to_owned()], list].concat().into(),
        ("CMD", None) if !command.is_empty() => json!(["CMD-SHELL", command]),
        ("CMD", _) => return Err("it needs a command".into()),
        _ => return Err("it needs NONE, or CMD and a command".into()),
    };
    let mut check = Map::from_iter([("Test".to_owned(), test)]);
    let order = ["Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];
    check.extend(order.into_iter().filter_map(|field| options.remove_entry(field)));
    Ok(check.into())
}

fn option(name: &str, value: &str) -> Parsed<(&'static str, Value)> {
    let field = match name {
        "interval" => "Interval",
        "timeout" => "Timeout",
        "start-period" => "StartPeriod",
        "start-interval" => "StartInterval",
        "retries" => {
            let retries = value.parse().ok().filter(|count: &u32| *count > 0);
            return Ok(("Retries", retries.ok_or("--retries needs a number, 1 or more")?.into()));
        }
        _ => return Err(format!("--{name} is no option of it")),
    };
    let nanoseconds = duration(value).filter(|duration| (LEAST..9e18).contains(duration));
    let nanoseconds = nanoseconds.ok_or_else(|| format!("--{name} needs a duration of 1ms or more: 30s, 1m30s"))?;
    // Bounded just before, and whole: docker counts in nanoseconds as well.
    Ok((field, (nanoseconds.round() as u64).into()))
}

/// Nanoseconds of a duration as Go writes it.
fn duration(text: &str) -> Option<f64> {
    let (mut total, mut rest) = (None, text);
    while !rest.is_empty() {
        let (count, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len()));
        let size = match unit {
            "h" => 3600e9,
            "m" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "\u{b5}s" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        total = Some(total.unwrap_or(0.0) + count.parse::<f64>().ok()? * size);
        rest = after;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_written_as_docker_writes_it() {
        for (text, expected) in [
            ("NONE", r#"{"Test":["NONE"]}"#),
            ("CMD curl -f http://localhost/", r#"{"Test":["CMD-SHELL","curl -f http://localhost/"]}"#),
            (r#"cmd ["a", "b"]"#, r#"{"Test":["CMD","a","b"]}"#),
            (
                "--retries=3 --interval=5m --timeout=1m1.5s --start-period=2s --start-interval=1ms CMD x",
                r#"{"Test":["CMD-SHELL","x"],"Interval":300000000000,"Timeout":61500000000,"StartPeriod":2000000000,"StartInterval":1000000,"Retries":3}"#,
            ),
        ] {
            assert_eq!(parse(text).expect(text).to_string(), expected);
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for text in [
            "",
            "NONE x",
            "--retries=1 NONE",
            "CMD",
            "CMD []",
            "CMD [\"a\", 1]",
            "RUN x",
            "--interval=5 CMD x",
            "--interval=0s CMD x",
            "--interval=1us CMD x",
            "--interval=-1s CMD x",
            "--interval=999999999999h CMD x",
            "--retries=0 CMD x",
            "--retries=x CMD x",
            "--retries CMD x",
            "--retries=1 --retries=2 CMD x",
            "--foo=1 CMD x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
