//! Whole templates: against what Prometheus makes of them, and against abuse.

use super::*;

/// Expansions by promtool.
const PROMTOOL: &str = include_str!("promtool.txt");

fn expand_with(text: &str, value: f64, max_bytes: usize) -> Result<String, TemplateError> {
    let template = Template::parse(text)?;
    with_context(value, max_bytes, |context| template.expand(context))
}

fn with_context<T>(value: f64, max_bytes: usize, run: impl FnOnce(&TemplateContext<'_>) -> T) -> T {
    let labels = Labels::from_pairs([
        ("__name__", "metric"),
        ("instance", "web-1.example.com:9100"),
        ("job", "node"),
        ("path", "/a b<c>"),
    ]);
    let external_labels = Labels::from_pairs([("region", "eu")]);
    run(&TemplateContext {
        labels: labels.as_ref(),
        external_labels: &external_labels,
        external_url: "http://testhost:9090/path/prefix",
        value,
        now: 1_435_065_584_128,
        max_bytes,
        queries: &Answers,
        max_queries: 3,
    })
}

/// Answers any query with two elements, but for `nothing` and `fault`.
#[derive(Debug)]
struct Answers;

impl Queries for Answers {
    fn query(&self, expr: &str, at: Millis) -> Result<Vec<(Labels, f64)>, String> {
        let element = |instance, v| (Labels::from_pairs([("__name__", expr), ("instance", instance)]), v);
        match expr {
            "fault" => Err("no such thing".to_owned()),
            "nothing" => Ok(vec![]),
            _ => Ok(vec![element("b", at as f64 / 1000.0), element("a", 11.0)]),
        }
    }
}

fn expand(text: &str) -> String {
    expand_with(text, 3661.5, 65_536).unwrap()
}

/// Where we are stricter on purpose: found when the file is loaded, not when the alert fires.
fn refused_earlier(template: &str) -> bool {
    template == "{{ $x = 3 }}"
}

/// What is expected of a row.
fn text_of(json: &str) -> String {
    json.strip_prefix("= ").map_or_else(|| json.to_owned(), |quoted| serde_json::from_str(quoted).unwrap())
}

#[test]
fn templates_expand_as_in_prometheus() {
    let lines: Vec<&str> = PROMTOOL.lines().filter(|line| !line.starts_with('#')).collect();
    let (mut failures, mut words) = (Vec::new(), 0);
    for pair in lines.chunks(2) {
        let (value, template) = pair[0].split_once('\t').unwrap();
        let value = crate::base::parse_value(value).unwrap();
        let got = match Template::parse(template) {
            Err(_) => "refused".to_owned(),
            Ok(parsed) => with_context(value, 65_536, |context| parsed.expand_or_error("A", context)),
        };
        // `~`: an error whose words are ours.
        let agrees = match pair[1].strip_prefix('~') {
            Some(_) => got.starts_with("<error") || (got == "refused" && refused_earlier(template)),
            None => got == text_of(pair[1]),
        };
        words += usize::from(pair[1].starts_with('~'));
        if !agrees {
            failures.push(format!("{template}\n  promtool {}\n  forewarn {got:?}", pair[1]));
        }
    }
    println!("{} templates as promtool has them; of these, {words} errors in words of ours", lines.len() / 2);
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
    assert_eq!(expand("{{ urlQueryEscape \"a b&ä\" }}"), "a+b%26%C3%A4");
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
        ("{{ query \"up\" | first | value }}", true),
        ("{{ define \"a\" }}{{ .Value }}{{ end }}{{ template \"a\" $ }}", true),
    ] {
        assert_eq!(Template::parse(text).unwrap().uses_value(), uses, "{text}");
    }
}

#[test]
fn faults_say_what_and_where() {
    for (text, offset, part) in [
        ("a {{ $value | humanise }}", 14, "\"humanise\" is not defined"),
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
    let error_of = |text: &str| {
        let template = Template::parse(text).unwrap();
        with_context(1.0, 100, |context| template.expand_or_error("Down", context))
    };
    let before = "<error expanding template: error executing template __alert_Down: template: __alert_Down:";
    let within = "executing \"__alert_Down\" at";
    assert_eq!(
        error_of("x {{ $value.foo }}"),
        format!("{before}1:123: {within} <$value.foo>: can't evaluate field foo in type float64>")
    );
    assert_eq!(
        error_of("a\nb {{ query   \"fault\" | first }}"),
        format!("{before}2:5: {within} <query \"fault\">: error calling query: no such thing>")
    );
}

#[test]
fn results_of_queries_are_samples() {
    assert_eq!(expand(r#"{{ with query "up" }}{{ . | first | value }} {{ len . }}{{ end }}"#), "1.435065584128e+09 2");
    assert_eq!(
        expand(
            r#"{{ range query "m" | sortByLabel "instance" }}{{ .Labels.instance }}{{ .Value | humanize }} {{ end }}"#
        ),
        "a11 b1.435G "
    );
    assert_eq!(expand(r#"{{ range $i, $s := query "m" }}{{ $i }}{{ label "instance" $s }}{{ end }}"#), "0b1a");
    assert_eq!(
        expand(r#"{{ range query "nothing" }}x{{ else }}none{{ end }}{{ if query "nothing" }}y{{ end }}"#),
        "none"
    );
    let error = expand_with(r#"{{ range 4 }}{{ query "m" | len }}{{ end }}"#, 1.0, 900).unwrap_err();
    assert!(error.message.contains("more than 3 queries"), "{error}");
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

const PIECES: [&str; 36] = [
    " query \"a\" ",
    " first ",
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
