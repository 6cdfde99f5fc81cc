//! Whole templates: against what Prometheus makes of them, and against abuse.

use super::*;

/// Expansions by promtool.
const PROMTOOL: &str = include_str!("promtool.txt");

fn expand_with(text: &str, value: f64, max_bytes: usize) -> Result<String, TemplateError> {
    let labels = Labels::from_pairs([
        ("__name__", "metric"),
        ("instance", "web-1.example.com:9100"),
        ("job", "node"),
        ("path", "/a b<c>"),
    ]);
    let external_labels = Labels::from_pairs([("region", "eu")]);
    Template::parse(text)?.expand(&TemplateContext {
        labels: labels.as_ref(),
        external_labels: &external_labels,
        external_url: "http://testhost:9090/path/prefix",
        value,
        now: 1_435_065_584_128,
        max_bytes,
    })
}

fn expand(text: &str) -> String {
    expand_with(text, 3661.5, 65_536).unwrap()
}

/// Where we are stricter on purpose: found when the file is loaded, not when the alert fires.
fn refused_earlier(template: &str) -> bool {
    template == "{{ $x = 3 }}"
}

#[test]
fn templates_expand_as_in_prometheus() {
    let lines: Vec<&str> = PROMTOOL.lines().filter(|line| !line.starts_with('#')).collect();
    let mut failures = Vec::new();
    for pair in lines.chunks(2) {
        let (value, template) = pair[0].split_once('\t').unwrap();
        let value = crate::base::parse_value(value).unwrap();
        let outcome = match (Template::parse(template), expand_with(template, value, 65_536)) {
            (Err(_), _) if refused_earlier(template) => "error".to_owned(),
            (Err(_), _) => "refused".to_owned(),
            (Ok(_), Err(_)) => "error".to_owned(),
            (Ok(_), Ok(text)) => format!("= {}", serde_json::to_string(&text).unwrap()),
        };
        let unescaped = |json: &str| match json.strip_prefix("= ") {
            Some(quoted) => serde_json::from_str(quoted).unwrap(),
            None => json.to_owned(),
        };
        if unescaped(&outcome) != unescaped(pair[1]) {
            let detail = expand_with(template, value, 65_536);
            failures.push(format!("{template}\n  promtool {}\n  forewarn {outcome} {detail:?}", pair[1]));
        }
    }
    assert!(lines.len() > 200 && failures.is_empty(), "{}", failures.join("\n"));
}

/// Newer than the promtool the table was made with (`now`, `toDuration` came with 3.6), or not offered by it.
#[test]
fn newer_functions_work() {
    assert_eq!(expand("{{ $value | toDuration }}"), "1h1m1.5s");
    assert_eq!(expand("{{ ($value | toDuration).Minutes }} {{ toDuration 1e-3 }}"), "61.025 1ms");
    assert_eq!(
        expand("{{ now }} {{ now | humanizeTimestamp }}"),
        "1.435065584128e+09 2015-06-23 13:19:44.128 +0000 UTC"
    );
    assert_eq!(expand("{{ pathPrefix }} {{ externalURL }}"), "/path/prefix http://testhost:9090/path/prefix");
}

#[test]
fn only_text_is_static() {
    let of = |text| Template::parse(text).unwrap();
    assert_eq!(of("page").is_static(), Some("page"));
    assert_eq!(of("").is_static(), Some(""));
    assert_eq!(of("a {{/* why */ -}} ").is_static(), Some("a "));
    assert_eq!(of("{{ $labels.job }}").is_static(), None);
}

#[test]
fn what_changes_from_tick_to_tick_is_known() {
    for (text, uses) in [
        ("page", false),
        ("{{ $labels.job }}{{ .Labels.job | toUpper }}{{ $externalLabels.region }}{{ pathPrefix }}", false),
        ("{{ $value }}", true),
        ("{{ .Value }}", true),
        ("{{ $.Value }}", true),
        ("{{ if gt $value 3.0 }}a{{ else }}b{{ end }}", true),
        ("{{ printf \"%v\" . }}", true),
        ("{{ with $x := ($value | humanize) }}{{ $x }}{{ end }}", true),
        ("{{ now }}", true),
        ("{{ define \"a\" }}{{ .Value }}{{ end }}{{ template \"a\" $ }}", true),
    ] {
        assert_eq!(Template::parse(text).unwrap().uses_value(), uses, "{text}");
    }
}

#[test]
fn faults_say_what_and_where() {
    for (text, offset, part) in [
        ("a {{ $value | humanise }}", 14, "\"humanise\" is not defined"),
        ("{{ query \"up\" | first | value }}", 3, "templates cannot query yet"),
        ("{{ range query \"up\" | sortByLabel \"job\" }}{{ end }}", 9, "templates cannot query yet"),
        ("{{ $labels.foo-bar }}", 14, "index $labels"),
        ("{{ if $value }}x", 16, "{{end}} of {{if}} is missing"),
        ("ä {{ $nope }}", 6, "undefined variable $nope"),
    ] {
        let error = Template::parse(text).unwrap_err();
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    }
    let error = expand_with("{{ gt $value 5 }}", 1.0, 100).unwrap_err();
    assert!(error.message.contains("float64 and int"), "{error}");
}

#[test]
fn an_error_becomes_the_text() {
    let labels = Labels::default();
    let context = TemplateContext {
        labels: labels.as_ref(),
        external_labels: &labels,
        external_url: "",
        value: 1.0,
        now: 0,
        max_bytes: 100,
    };
    let text = Template::parse("x {{ $value.foo }}").unwrap().expand_or_error(&context);
    assert_eq!(text, "<error expanding template: template, byte 5: can't evaluate field foo in type float64>");
}

#[test]
fn abuse_ends_soon() {
    let deep = "(".repeat(10_000);
    for (text, part) in [
        ("{{ range 100 }}0123456789{{ end }}", "longer than"),
        ("{{ range 1000000000000 }}{{ end }}", "steps"),
        ("{{ $x := \"ab\" }}{{ range 60 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}", "longer than"),
        ("{{ $x := args 1 }}{{ range 60 }}{{ $x = args $x $x }}{{ end }}{{ $x }}", "longer than"),
        ("{{ printf \"%1000000d\" 1 }}", "longer than"),
        ("{{ printf \"%.1000000f\" 1.0 }}", "longer than"),
        ("{{ reReplaceAll \"\" $labels.instance (printf \"%500s\" \"\") }}", "longer than"),
        ("{{ match \"(a{1000}){1000}\" \"x\" }}", "regular expression"),
        ("{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}", "deeper than"),
        (
            "{{ define \"r\" }}{{ if . }}{{ template \"r\" . }}{{ template \"r\" . }}{{ end }}{{ end }}{{ template \"r\" 1 }}",
            "deeper than",
        ),
        (&format!("{{{{ {deep} }}}}"), "nested deeper"),
    ] {
        let error = expand_with(text, 1.0, 900).unwrap_err();
        assert!(error.message.contains(part), "{text}: {error}");
    }
}

proptest::proptest! {
    /// Whatever is written, parsing and expanding end without a panic and within the bound.
    #[test]
    fn no_text_panics(pieces in proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..12)) {
        let text = pieces.concat();
        if let Ok(expanded) = expand_with(&text, 1.5, 500) {
            proptest::prop_assert!(expanded.len() <= 500);
        }
    }
}

const PIECES: [&str; 34] = [
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{ if ",
    "{{ range $i, $x := ",
    "{{ end }}",
    "{{ else }}",
    "{{ with ",
    "$value",
    "$labels",
    ".job",
    ".",
    "$",
    "|",
    "(",
    ")",
    " printf ",
    "\"%5.2f|%*d|%[2]q\"",
    " 3 ",
    "-1.5e3",
    "'x'",
    "`raw`",
    " := ",
    " humanize ",
    " len ",
    "ä",
    "\"",
    "/*",
    "*/",
    " index ",
    " args ",
    " toTime ",
    ".Format \"2006 Jan\"",
];
