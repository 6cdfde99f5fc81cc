//! Keeps a receiver's URL out of what the receiver answers. For many webhooks the path is the password, and many web
//! frameworks name the path in the body of an error, which goes to the log and the status page. Pure; knows nothing of requests.

use url::Url;

/// In the place of what is not shown, as in [`crate::http_client::Secret`].
const HIDDEN: &str = "<secret>";
/// From this length on a part of the path or the query may be a token, and is hidden wherever it stands alone.
const TOKEN_CHARS: usize = 8;
/// An answer is cut off after some bytes; from this length on its end is taken for the beginning of what is hidden.
const CUT_CHARS: usize = 4;

/// The text without the path, the query and the credentials of the URL: whole, in part, and decoded.
pub(super) fn hide(text: &str, url: &Url) -> String {
    let mut parts = parts(url);
    // What holds others goes before them.
    parts.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    let mut text = parts.iter().fold(text.to_owned(), |text, part| text.replace(part, HIDDEN));
    // Half a character may stand where it was cut.
    let end = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
    if let Some(cut) = parts.iter().filter_map(|part| begun(&text[..end], part)).max() {
        text.truncate(end - cut);
        text.push_str(HIDDEN);
    }
    text
}

/// Bytes of `part` with which `text` ends, where it is cut off in the middle of it.
fn begun(text: &str, part: &str) -> Option<usize> {
    let ends = part.char_indices().map(|(at, _)| at).skip(CUT_CHARS);
    ends.filter(|end| text.ends_with(&part[..*end])).last()
}

fn parts(url: &Url) -> Vec<String> {
    let (path, mut parts) = (url.path(), Vec::new());
    // A router may have taken off the beginning, and the slash with it.
    for (at, _) in path.match_indices('/') {
        parts.push(path[at..].to_owned());
        parts.extend(Some(&path[at + 1..]).filter(|rest| rest.contains('/')).map(str::to_owned));
    }
    let mut tokens: Vec<&str> = path.split('/').chain([url.username(), url.password().unwrap_or_default()]).collect();
    if let Some(query) = url.query() {
        parts.push(format!("{path}?{query}"));
        parts.push(query.to_owned());
        for pair in query.split('&') {
            parts.push(pair.to_owned());
            tokens.extend(pair.split('='));
        }
    }
    parts.extend(tokens.into_iter().filter(|token| token.chars().count() >= TOKEN_CHARS).map(str::to_owned));
    let decoded: Vec<String> = parts.iter().map(|part| decoded(part)).collect();
    parts.extend(decoded);
    // JSON may have its slashes escaped.
    let escaped: Vec<String> = parts.iter().map(|part| part.replace('/', r"\/")).collect();
    parts.extend(escaped);
    // A lone slash is in every URL.
    parts.retain(|part| part.chars().any(|c| c != '/' && c != '\\'));
    parts
}

/// Without percent-encoding; what is none stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(url: &str, text: &str) -> String {
        hide(text, &Url::parse(url).unwrap())
    }

    #[test]
    fn what_frameworks_say_of_the_path_is_hidden() {
        let url = "https://me:hunter2-hunter2@x/services/T0/B0/tok%C3%A9n?key=s3cret&v=1";
        for (text, want) in [
            // Express, Spring Boot, Laravel, a proxy.
            ("404: Cannot POST /services/T0/B0/tok%C3%A9n?key=s3cret&v=1", "404: Cannot POST <secret>"),
            (r#"500: {"status":500,"path":"/services/T0/B0/tokén"}"#, r#"500: {"status":500,"path":"<secret>"}"#),
            (r#"{"message":"no route services\/T0\/B0\/tokén"}"#, r#"{"message":"no route <secret>"}"#),
            ("no team at /T0/B0/tok%C3%A9n", "no team at <secret>"),
            ("parameters: v=1, key=s3cret", "parameters: <secret>, <secret>"),
            ("user hunter2-hunter2?", "user <secret>?"),
            ("503: overloaded, come again", "503: overloaded, come again"),
        ] {
            assert_eq!(hidden(url, text), want);
        }
    }

    #[test]
    fn a_token_is_hidden_wherever_it_stands_and_however_it_is_cut_off() {
        let url = "http://x/hook/0123456789abcdef";
        assert_eq!(hidden(url, "unknown token '0123456789abcdef'"), "unknown token '<secret>'");
        assert_eq!(hidden(url, "unknown token 0123456"), "unknown token <secret>");
        assert_eq!(hidden(url, "Cannot POST /hook/0123\u{fffd}"), "Cannot POST <secret>");
        assert_eq!(hidden(url, "this hook is off"), "this hook is off", "a word is no token");
        assert_eq!(hidden("http://x/", "a / b"), "a / b");
        assert_eq!(hidden("http://x", ""), "");
    }
}
