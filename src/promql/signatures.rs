//! How functions are called, as Prometheus' documentation writes it: for help texts, and to tell which argument is wrong.

use super::extensions::extension;

/// The function's signature.
pub(super) fn signature(name: &str) -> String {
    if let Some(extension) = extension(name) {
        return extension.signature.to_owned();
    }
    let arguments = match name {
        "time" | "pi" => "",
        "vector" => "s scalar",
        "day_of_month" | "day_of_week" | "day_of_year" | "days_in_month" | "hour" | "minute" | "month" | "year" => {
            "[v instant-vector]"
        }
        "clamp" => "v instant-vector, min scalar, max scalar",
        "clamp_max" => "v instant-vector, max scalar",
        "clamp_min" => "v instant-vector, min scalar",
        "round" => "v instant-vector [, to_nearest scalar]",
        "histogram_quantile" => "φ scalar, b instant-vector",
        "histogram_fraction" => "lower scalar, upper scalar, b instant-vector",
        "label_replace" => "v instant-vector, dst_label string, replacement string, src_label string, regex string",
        "label_join" => "v instant-vector, dst_label string, separator string [, src_label string ...]",
        "predict_linear" => "v range-vector, t scalar",
        "quantile_over_time" => "φ scalar, v range-vector",
        "changes" | "delta" | "deriv" | "idelta" | "increase" | "irate" | "rate" | "resets" => "v range-vector",
        _ if name.ends_with("_over_time") => "v range-vector",
        _ => "v instant-vector",
    };
    format!("{name}({arguments})")
}

/// The type of an argument, in the parser's words.
pub(super) fn argument_type(name: &str, index: usize) -> &'static str {
    let signature = signature(name);
    let argument = signature.split_once('(').and_then(|(_, arguments)| arguments.split(',').nth(index));
    match argument.unwrap_or_default() {
        a if a.contains("range-vector") => "matrix",
        a if a.contains("instant-vector") => "vector",
        a if a.contains("scalar") => "scalar",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::super::functions::STABLE;
    use super::super::parse;
    use super::*;

    #[test]
    fn every_function_can_be_called_by_its_signature() {
        for name in STABLE {
            let signature = signature(name);
            let count = if signature.ends_with("()") { 0 } else { signature.split(',').count() };
            let args: Vec<&str> = (0..count)
                .map(|i| match argument_type(name, i) {
                    "matrix" => "x[5m]",
                    "vector" => "x",
                    "scalar" => "1",
                    _ => "\"a\"",
                })
                .collect();
            let call = format!("{name}({})", args.join(", "));
            assert_eq!(parse(&call).err(), None, "{signature}");
        }
    }
}
