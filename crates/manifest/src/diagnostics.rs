//! How a manifest's mistakes are told: stable codes, places, suggestions, and one compact text with the
//! line and a caret. Doesn't know what the mistakes are: `parse` finds them.

use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::{Serialize, Serializer};

/// The most mistakes that are told at once; the rest are counted.
pub(crate) const TOLD_MAX: usize = 50;
/// The longest part of a source line that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 120;
/// The longest part of what the user wrote that a message repeats, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// What kind of mistake it is. Each has a page in `docs/errors/`, and its number never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// EW1001: the text is no TOML.
    Syntax,
    /// EW1002: a key that doesn't exist.
    UnknownKey,
    /// EW1003: a value of the wrong type, or one that the key doesn't allow.
    InvalidValue,
    /// EW1004: a key that must be there isn't.
    MissingKey,
    /// EW1005: two routes match the same requests.
    RouteConflict,
    /// EW1006: a route isn't `[host]/path`.
    BadRoute,
    /// EW1007: two functions have one name.
    DuplicateFunction,
    /// EW1008: a name is no DNS label.
    BadName,
    /// EW1009: a limit is below its minimum or above its maximum.
    LimitOutOfRange,
    /// EW1010: the isolation needs another world.
    IsolationWorldConflict,
    /// EW1011: the manifest is too large or not UTF-8.
    TooLarge,
    /// EW1012: a grant isn't `scheme://host[:port]` or an address.
    BadGrant,
}

impl ErrorCode {
    /// All codes, by number.
    pub const ALL: [Self; 12] = [
        Self::Syntax,
        Self::UnknownKey,
        Self::InvalidValue,
        Self::MissingKey,
        Self::RouteConflict,
        Self::BadRoute,
        Self::DuplicateFunction,
        Self::BadName,
        Self::LimitOutOfRange,
        Self::IsolationWorldConflict,
        Self::TooLarge,
        Self::BadGrant,
    ];

    /// The code as users see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "EW1001",
            Self::UnknownKey => "EW1002",
            Self::InvalidValue => "EW1003",
            Self::MissingKey => "EW1004",
            Self::RouteConflict => "EW1005",
            Self::BadRoute => "EW1006",
            Self::DuplicateFunction => "EW1007",
            Self::BadName => "EW1008",
            Self::LimitOutOfRange => "EW1009",
            Self::IsolationWorldConflict => "EW1010",
            Self::TooLarge => "EW1011",
            Self::BadGrant => "EW1012",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A place in the manifest. Both numbers start at 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Its kind.
    pub code: ErrorCode,
    /// The manifest's name, as the caller gave it.
    pub file: String,
    /// Where it starts.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to write instead, if something is near.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    #[serde(skip)]
    excerpt: Excerpt,
}

/// The line as it is shown and where the caret stands under it, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    line: String,
    caret: usize,
    width: usize,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        write!(
            f,
            "{}:{line}:{column}: {} {}",
            self.file, self.code, self.message
        )?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        let Excerpt {
            line: shown,
            caret,
            width,
        } = &self.excerpt;
        if !shown.trim().is_empty() {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            write!(
                f,
                "\n {number} | {shown}\n {margin} | {:caret$}{:^<width$}",
                "", ""
            )?;
        }
        match &self.help {
            Some(help) => write!(f, "\n   = help: {help}"),
            None => Ok(()),
        }
    }
}

/// All mistakes of one manifest, in the order of their places. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestErrors {
    diagnostics: Vec<Diagnostic>,
    /// How many more there were than [`TOLD_MAX`].
    untold: usize,
}

impl ManifestErrors {
    /// The mistakes that are told, at least one.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The mistakes that are told, one after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.diagnostics.iter()
    }

    /// The number of all mistakes.
    pub fn count(&self) -> usize {
        self.diagnostics.len() + self.untold
    }
}

impl<'a> IntoIterator for &'a ManifestErrors {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            write!(f, "{diagnostic}")?;
        }
        match self.untold {
            0 => Ok(()),
            untold => write!(f, "\nand {untold} more"),
        }
    }
}

impl std::error::Error for ManifestErrors {}

/// A mistake as it is found: a span of bytes instead of a place.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) code: ErrorCode,
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
    pub(crate) help: Option<String>,
}

impl Finding {
    pub(crate) fn new(code: ErrorCode, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            span,
            message: message.into(),
            suggestion: None,
            help: None,
        }
    }

    pub(crate) fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(|text| quoted(&text.into()));
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `text` in a form that fits a message: short, and with no character that steers a terminal.
pub(crate) fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let mut quoted: String = chars
        .by_ref()
        .take(QUOTED_CHARS_MAX)
        .flat_map(shown)
        .collect();
    if chars.next().is_some() {
        quoted.push('…');
    }
    quoted
}

fn shown(c: char) -> impl Iterator<Item = char> {
    let steers = c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let (escaped, plain) = if steers {
        (Some(c.escape_unicode()), None)
    } else {
        (None, Some(c))
    };
    escaped.into_iter().flatten().chain(plain)
}

/// The number of the line that `offset` is on, from 1.
pub(crate) fn line_number(source: &str, offset: usize) -> usize {
    1 + source
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}

/// Puts findings in order and gives each its place. `findings` must not be empty.
pub(crate) fn tell(source: &str, file: &str, mut findings: Vec<Finding>) -> ManifestErrors {
    findings.sort_by_key(|finding| (finding.span.start, finding.code));
    let untold = findings.len().saturating_sub(TOLD_MAX);
    findings.truncate(TOLD_MAX);
    let diagnostics = findings.into_iter().map(|finding| {
        let (place, excerpt) = locate(source, finding.span);
        let Finding {
            code,
            message,
            suggestion,
            help,
            ..
        } = finding;
        Diagnostic {
            code,
            file: quoted(file),
            place,
            message,
            suggestion,
            help,
            excerpt,
        }
    });
    ManifestErrors {
        diagnostics: diagnostics.collect(),
        untold,
    }
}

fn locate(source: &str, span: Range<usize>) -> (Place, Excerpt) {
    let boundary = |at: usize| source.floor_char_boundary(at.min(source.len()));
    let (start, end) = (boundary(span.start), boundary(span.end.max(span.start)));
    let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = source[line_start..].lines().next().unwrap_or_default();
    let before = source[line_start..start].chars().count();
    let line_end = line_start + line.len();
    let marked = source
        .get(start..end.min(line_end))
        .map_or(0, |text| text.chars().count());

    let fits = line.chars().nth(SHOWN_CHARS_MAX).is_none();
    let skip = if fits {
        0
    } else {
        before.saturating_sub(SHOWN_CHARS_MAX / 2)
    };
    let visible: Vec<char> = line.chars().skip(skip).take(SHOWN_CHARS_MAX).collect();
    // One character is shown as one, so that the caret stands under it; a tab as a space.
    let one = |c: &char| match *c {
        '\t' => ' ',
        c if shown(c).eq([c]) => c,
        _ => '\u{fffd}',
    };
    let caret = before - skip;
    let width = marked.min(visible.len().saturating_sub(caret)).max(1);
    let excerpt = Excerpt {
        line: visible.iter().map(one).collect(),
        caret,
        width,
    };
    (
        Place {
            line: line_number(source, start),
            column: before + 1,
        },
        excerpt,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(source: &str, span: Range<usize>) -> Diagnostic {
        let errors = tell(
            source,
            "everwarm.toml",
            vec![Finding::new(ErrorCode::Syntax, span, "wrong")],
        );
        errors.diagnostics()[0].clone()
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_a_caret_under_it() {
        let diagnostic = one("name = \"a\"\nisolaton = 1\n", 11..19);
        assert_eq!(
            diagnostic.to_string(),
            "everwarm.toml:2:1: EW1001 wrong\n 2 | isolaton = 1\n   | ^^^^^^^^"
        );
    }

    #[test]
    fn columns_count_characters_and_the_caret_stands_under_them() {
        let diagnostic = one("\té = x", 6..7);
        assert_eq!(diagnostic.place, Place { line: 1, column: 6 });
        assert!(
            diagnostic
                .to_string()
                .ends_with("\n 1 |  é = x\n   |      ^"),
            "{diagnostic}"
        );
    }

    #[test]
    fn a_place_outside_the_text_is_its_end() {
        assert_eq!(one("a\nb", 99..120).place, Place { line: 2, column: 2 });
        assert_eq!(one("", 0..0).place, Place { line: 1, column: 1 });
    }

    #[test]
    fn a_span_of_several_lines_marks_the_first_only() {
        assert!(
            one("abc\ndef", 1..6)
                .to_string()
                .ends_with("| abc\n   |  ^^")
        );
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_repeated() {
        assert_eq!(quoted("a\u{1b}[31m\u{202e}"), "a\\u{1b}[31m\\u{202e}");
        let text = one("a = \"\u{1b}[31m\"", 4..5).to_string();
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn long_lines_and_long_words_are_cut() {
        assert_eq!(quoted(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
        let long = "x".repeat(10_000);
        let text = one(&long, 5_000..5_001).to_string();
        assert!(text.len() < 400, "{}", text.len());
        assert!(
            text.ends_with(&format!("{}^", " ".repeat(SHOWN_CHARS_MAX / 2))),
            "{text}"
        );
    }

    #[test]
    fn more_mistakes_than_are_told_are_counted() {
        let findings = (0..TOLD_MAX + 3).map(|_| Finding::new(ErrorCode::Syntax, 0..0, "wrong"));
        let errors = tell("", "x", findings.collect());
        assert_eq!(errors.count(), TOLD_MAX + 3);
        assert!(errors.to_string().ends_with("\nand 3 more"));
    }
}
