//! What kind of content a file has, by its name.

use mime_guess::mime;

/// Endings that the table of names has otherwise than they are used now (RFC 9239 for scripts), or hasn't.
const NEWER: [(&str, &str); 4] = [
    ("mjs", "text/javascript; charset=utf-8"),
    ("map", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("avif", "image/avif"),
];

/// The media type that a file is sent with. Text is UTF-8, as all files are that people make now.
pub fn content_type(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    if let Some((_, newer)) = NEWER
        .iter()
        .find(|(known, _)| Some(*known) == ending.as_deref())
    {
        return (*newer).to_owned();
    }
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    let is_text = guess.type_() == mime::TEXT && guess.get_param(mime::CHARSET).is_none();
    if is_text {
        format!("{}; charset=utf-8", guess.essence_str())
    } else {
        guess.to_string()
    }
}

/// Whether a media type, in lower case and without parameters, is text in one form or another. What has a compression of
/// its own isn't.
pub fn is_compressible(essence: &str) -> bool {
    let Some((kind, name)) = essence.split_once('/') else {
        return false;
    };
    kind == "text"
        || name.ends_with("+json")
        || name.ends_with("+xml")
        || matches!(
            essence,
            "application/json"
                | "application/javascript"
                | "application/ecmascript"
                | "application/x-javascript"
                | "application/xml"
                | "application/x-ndjson"
                | "application/jsonl"
                | "application/yaml"
                | "application/toml"
                | "application/graphql"
                | "application/wasm"
                | "application/vnd.ms-fontobject"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
                | "image/x-icon"
        )
}

/// Whether a file is worth compressing, by its name.
pub fn is_file_compressible(path: &str) -> bool {
    let content_type = content_type(path);
    let essence = content_type.split(';').next().unwrap_or_default();
    is_compressible(&essence.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_in_files() {
        for (path, expected, compressible) in [
            ("a/index.html", "text/html; charset=utf-8", true),
            ("app.css", "text/css; charset=utf-8", true),
            ("app.0123.js", "text/javascript; charset=utf-8", true),
            ("app.mjs", "text/javascript; charset=utf-8", true),
            ("data.json", "application/json", true),
            ("app.js.map", "application/json", true),
            ("logo.svg", "image/svg+xml", true),
            ("photo.JPG", "image/jpeg", false),
            ("a.woff2", "font/woff2", false),
            ("app.wasm", "application/wasm", true),
            ("feed.xml", "text/xml; charset=utf-8", true),
            ("movie.mp4", "video/mp4", false),
            ("site.webmanifest", "application/manifest+json", true),
            ("LICENSE", "application/octet-stream", false),
            ("a.html/b", "application/octet-stream", false),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
            assert_eq!(is_file_compressible(path), compressible, "{path}");
        }
    }
}
