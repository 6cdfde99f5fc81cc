//! Functions from text to text: case, escapes, addresses and links.

use core::net::IpAddr;
use std::fmt::Write as _;

/// Upper case where that is one letter for one, as Go has it: `straße` is `STRAßE`.
pub(super) fn to_upper(text: &str) -> String {
    text.chars().map(|c| single(c, c.to_uppercase())).collect()
}

/// Lower case, letter for letter.
pub(super) fn to_lower(text: &str) -> String {
    text.chars().map(|c| single(c, c.to_lowercase())).collect()
}

/// The first letter of each word upper case, the others as they are. Words end as Unicode says (UAX 29): `o'x` and `a.b`
/// are one word each, `a-b` is two, and digits do not begin one: `3g` is `3G`.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut within, mut previous) = (false, ' ');
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        if c.is_alphabetic() {
            if within {
                out.push(c);
            } else {
                let mut upper = c.to_uppercase();
                out.extend(upper.next());
                out.extend(upper.flat_map(char::to_lowercase));
            }
            within = true;
        } else {
            out.push(c);
            within = match c {
                '_' => within,
                '\'' | '’' | '.' | ':' => within && previous.is_alphabetic() && next.is_alphabetic(),
                _ => within && c.is_alphanumeric(),
            };
        }
        previous = c;
    }
    out
}

/// As Go's `html/template` escapes text.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&#34;",
            '\'' => out += "&#39;",
            '\0' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// For within a JavaScript string.
pub(super) fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' | '\0'..' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

/// For a URL's query, a space being `+`.
pub(super) fn urlquery(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Path to the expression's graph in Prometheus, to be put behind `externalURL`.
pub(super) fn graph_link(expression: &str) -> String {
    format!("/graph?g0.expr={}&g0.tab=0", urlquery(expression))
}

/// Path to the expression's table in Prometheus.
pub(super) fn table_link(expression: &str) -> String {
    format!("/graph?g0.expr={}&g0.tab=1", urlquery(expression))
}

/// `host:9100` without its port; what has none stays as it is.
pub(super) fn strip_port(address: &str) -> String {
    split_host_port(address).map_or(address, |(host, _)| host).to_owned()
}

/// `web-1.example.com:9100` without its domain, `web-1:9100`; IP addresses stay as they are.
pub(super) fn strip_domain(address: &str) -> String {
    let (host, port) = split_host_port(address).unwrap_or((address, ""));
    if host.parse::<IpAddr>().is_ok() {
        return address.to_owned();
    }
    let host = host.split('.').next().unwrap_or(host);
    match (port, host.contains(':')) {
        ("", _) => host.to_owned(),
        (_, true) => format!("[{host}]:{port}"),
        (_, false) => format!("{host}:{port}"),
    }
}

/// The path of a URL: `/path/prefix` of `http://host:9090/path/prefix`.
pub(super) fn url_path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// As Go's `net.SplitHostPort`: none where the port is missing or a colon too many.
fn split_host_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => {
            let inner = inner.strip_suffix(']')?;
            (!inner.contains(['[', ']'])).then_some((inner, port))
        }
        None => (!host.contains([':', '[', ']'])).then_some((host, port)),
    }
}

fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What promtool 3.5 prints.
    #[test]
    fn text_comes_out_as_in_prometheus() {
        assert_eq!(title("aa bb CC d-e o'x _f 3g"), "Aa Bb CC D-E O'x _F 3G");
        assert_eq!(
            title("a.b a:b a,b 1,a a'b 'b a_b _ a__b x3g 3.g été a/b web-1.example.com (x) _3f 3_f ß a;b a’b x. y"),
            "A.b A:b A,B 1,A A'b 'B A_b _ A__b X3g 3.G Été A/B Web-1.Example.com (X) _3F 3_F Ss A;B A’b X. Y"
        );
        assert_eq!((to_upper("straße").as_str(), to_lower("aA bB").as_str()), ("STRAßE", "aa bb"));
        assert_eq!(html("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&#34;");
        assert_eq!(js("it's <b>=&\n"), "it\\'s \\u003Cb\\u003E\\u003D\\u0026\\u000A");
        assert_eq!(urlquery("a b&c=/ä~*'()"), "a+b%26c%3D%2F%C3%A4~%2A%27%28%29");
        for (address, stripped) in [("a.b:9100", "a.b"), ("[::1]:80", "::1"), ("a:b:c", "a:b:c"), ("a", "a")] {
            assert_eq!(strip_port(address), stripped);
        }
        for (address, stripped) in [
            ("web-1.example.com:9100", "web-1:9100"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("a.b.c", "a"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(strip_domain(address), stripped);
        }
        assert_eq!(url_path("http://testhost:9090/path/prefix"), "/path/prefix");
        assert_eq!(url_path("http://testhost:9090"), "");
    }
}
