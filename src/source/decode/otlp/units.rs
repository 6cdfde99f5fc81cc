//! Units as OpenTelemetry writes them (UCUM, case sensitive) into the words that Prometheus puts into names.
//!
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-metadata-1>

/// The suffixes of a unit: of itself, and `per_…` where it is a quotient. Empty where there is none.
///
/// `By/s` gives `bytes` and `per_second`; annotations in braces (`{request}`) give none.
pub(super) fn suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let plain = |part: &str| {
        let part = part.trim();
        (!part.is_empty() && !part.contains(['{', '}'])).then(|| part.to_owned())
    };
    let main = plain(main).map_or_else(String::new, |main| word(&main).map_or(main, str::to_owned));
    let per = plain(per).map_or_else(String::new, |per| format!("per_{}", per_word(&per).unwrap_or(&per)));
    (main, per)
}

fn word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        _ => return None,
    })
}

fn per_word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => return None,
    })
}
