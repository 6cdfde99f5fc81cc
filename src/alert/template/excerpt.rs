//! What went wrong in an expansion, in the words of Go's templates: the part at fault is quoted as Go writes it, which is
//! not quite as the user did.

use super::ast::Place;
use super::lex::{Kind, lex};
use super::{TemplateError, TemplateFault};

/// What Prometheus puts before every template, so that errors in its first line are counted from there.
const PREAMBLE: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                        {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// `error executing template __alert_Down: template: __alert_Down:1:115: executing "__alert_Down" at <title 3>: …`
pub(super) fn executing(error: &TemplateError, source: &str, alert: &str) -> String {
    let name = format!("__alert_{alert}");
    let Some(TemplateFault { place, within, quoted }) = error.fault.as_deref() else {
        return format!("error executing template {name}: {}", error.message);
    };
    let mut message = error.message.clone();
    if let Some((at, part)) = quoted {
        message.insert_str(*at, &excerpt(source, *part));
    }
    let before = source.get(..place.position).unwrap_or(source);
    let (line, column) = match before.rfind('\n') {
        Some(at) => (1 + before.matches('\n').count(), before.len() - at - 1),
        None => (1, PREAMBLE.len() + before.len()),
    };
    let within = within.as_deref().unwrap_or(&name);
    let part = excerpt(source, *place);
    format!(
        "error executing template {name}: template: {name}:{line}:{column}: executing {within:?} at <{part}>: {message}"
    )
}

/// A part of a template with white space as Go's templates print it: one blank between operands, none within parentheses.
pub(super) fn excerpt(source: &str, place: Place) -> String {
    // Only whole actions can be cut into tokens, so cut all and take those of the part.
    let Ok(tokens) = lex(source) else { return String::new() };
    let mut out = String::new();
    let mut blank = false;
    for (i, token) in tokens.iter().enumerate() {
        if token.offset < place.start || token.offset >= place.end {
            continue;
        }
        let end = tokens.get(i + 1).map_or(source.len(), |next| next.offset);
        match token.kind {
            Kind::Space => blank = true,
            Kind::Open => out += "{{",
            Kind::Close => out += "}}",
            Kind::Pipe | Kind::Declare | Kind::Assign => {
                out += &format!(" {} ", &source[token.offset..end]);
                blank = false;
                continue;
            }
            _ => {
                let opens = out.is_empty() || out.ends_with([' ', '(']) || out == "{{";
                let glued = opens || token.kind == Kind::EndParen;
                out += if blank && !glued { " " } else { "" };
                out += &source[token.offset..end];
                blank = false;
            }
        }
    }
    out
}
