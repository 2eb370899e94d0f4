//! What a new app is made of: an example from this repository, renamed, with the SDK's sources beside
//! it while the SDK isn't published. All of it is in the binary (`build.rs` puts it there). Writes no
//! files.

use everwarm_manifest::AppName;
use toml_edit::{Array, DocumentMut, Item, TomlError, value};

use crate::args::TemplateArg;

mod carried {
    include!(concat!(env!("OUT_DIR"), "/carried.rs"));
}

/// The SDK's package.
const SDK: &str = "everwarm-sdk";
/// Where the SDK is written, in the app's folder.
const VENDOR: &str = "vendor";

/// A file of a new app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewFile {
    /// Its path in the app's folder, with slashes.
    pub(crate) path: String,
    pub(crate) contents: Vec<u8>,
}

/// The word that the command line has for a template.
pub(crate) fn word(template: TemplateArg) -> &'static str {
    match template {
        TemplateArg::Http => "http",
        TemplateArg::Axum => "axum",
        TemplateArg::Bare => "bare",
    }
}

fn example(template: TemplateArg) -> &'static [(&'static str, &'static [u8])] {
    match template {
        TemplateArg::Http => carried::HTTP,
        TemplateArg::Axum => carried::AXUM,
        TemplateArg::Bare => carried::BARE,
    }
}

/// The files of a new app.
///
/// # Errors
/// When an example's own TOML can't be read, which a test rules out.
pub(crate) fn render(template: TemplateArg, name: &AppName) -> Result<Vec<NewFile>, TomlError> {
    let example = example(template);
    let cargo = text_of(example, "Cargo.toml").parse::<DocumentMut>()?;
    let old_name = cargo["package"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let needs_sdk = cargo
        .get("dependencies")
        .is_some_and(|dependencies| dependencies.get(SDK).is_some());
    let mut files = Vec::new();
    for (path, contents) in example {
        let text = text_of(example, path);
        let contents = match *path {
            "Cargo.toml" => cargo_manifest(cargo.clone(), name, needs_sdk).into(),
            "everwarm.toml" => app_manifest(text, &old_name, name)?.into(),
            "Cargo.lock" => renamed_once(text, &format!("name = \"{old_name}\""), name).into(),
            "README.md" => {
                let text = text.replacen(&format!("# {old_name}"), &format!("# {name}"), 1);
                text.into()
            }
            _ => contents.to_vec(),
        };
        files.push(NewFile {
            path: (*path).to_owned(),
            contents,
        });
    }
    if needs_sdk {
        files.extend(sdk()?);
    }
    Ok(files)
}

/// A file as text; one that isn't there, or isn't text, is empty.
fn text_of<'a>(files: &[(&str, &'a [u8])], wanted: &str) -> &'a str {
    let file = files.iter().find(|(path, _)| *path == wanted);
    file.and_then(|(_, contents)| std::str::from_utf8(contents).ok())
        .unwrap_or_default()
}

fn cargo_manifest(mut cargo: DocumentMut, name: &AppName, needs_sdk: bool) -> String {
    cargo["package"]["name"] = value(name.as_str());
    if needs_sdk {
        if let Some(sdk) = cargo["dependencies"][SDK].as_table_like_mut() {
            sdk.insert("path", value(format!("{VENDOR}/everwarm/sdk")));
        }
        // The SDK is a workspace of its own: without this cargo would take it for a member.
        let exclude = Array::from_iter([VENDOR]);
        cargo["workspace"]["exclude"] = value(exclude);
    }
    cargo.to_string()
}

fn app_manifest(text: &str, old_name: &str, name: &AppName) -> Result<String, TomlError> {
    let mut app = text.parse::<DocumentMut>()?;
    let rename = |item: Option<&mut Item>| {
        if let Some(item) = item
            && item.as_str() == Some(old_name)
        {
            *item = value(name.as_str());
        }
    };
    rename(app.get_mut("name"));
    let functions = app
        .get_mut("function")
        .and_then(Item::as_array_of_tables_mut);
    if let Some(functions) = functions {
        for function in functions.iter_mut() {
            rename(function.get_mut("name"));
        }
    }
    Ok(app.to_string())
}

/// `text` with the one `old` renamed; unchanged if it isn't the only one, then cargo sorts it out.
fn renamed_once(text: &str, old: &str, name: &AppName) -> String {
    if text.matches(old).count() == 1 {
        text.replacen(old, &format!("name = \"{name}\""), 1)
    } else {
        text.to_owned()
    }
}

/// The SDK as a workspace of two crates.
fn sdk() -> Result<Vec<NewFile>, TomlError> {
    let mut workspace = carried::SDK_WORKSPACE.parse::<DocumentMut>()?;
    workspace["workspace"]["members"] = value(Array::from_iter(["sdk", "sdk-macros"]));
    let mut files = vec![NewFile {
        path: format!("{VENDOR}/everwarm/Cargo.toml"),
        contents: workspace.to_string().into(),
    }];
    for (folder, contents) in [("sdk", carried::SDK), ("sdk-macros", carried::SDK_MACROS)] {
        files.extend(contents.iter().map(|(path, contents)| NewFile {
            path: format!("{VENDOR}/everwarm/{folder}/{path}"),
            contents: contents.to_vec(),
        }));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use everwarm_manifest::App;

    use super::*;

    const ALL: [TemplateArg; 3] = [TemplateArg::Http, TemplateArg::Axum, TemplateArg::Bare];

    fn rendered(template: TemplateArg) -> Vec<NewFile> {
        render(template, &AppName::new("my-app").unwrap()).unwrap()
    }

    fn text<'a>(files: &'a [NewFile], path: &str) -> &'a str {
        let file = files.iter().find(|file| file.path == path);
        let file = file.unwrap_or_else(|| panic!("there is no {path}"));
        std::str::from_utf8(&file.contents).unwrap()
    }

    #[test]
    fn every_template_is_a_valid_app_under_its_new_name() {
        for template in ALL {
            let files = rendered(template);
            let app = App::parse(text(&files, "everwarm.toml"), "everwarm.toml").unwrap();
            assert_eq!(app.name.as_str(), "my-app", "{template:?}");
            let cargo: DocumentMut = text(&files, "Cargo.toml").parse().unwrap();
            assert_eq!(cargo["package"]["name"].as_str(), Some("my-app"));
        }
    }

    #[test]
    fn no_file_of_a_new_app_points_out_of_its_folder() {
        for template in ALL {
            let files = rendered(template);
            let cargo = text(&files, "Cargo.toml");
            assert!(!cargo.contains("../"), "{template:?}: {cargo}");
            for file in &files {
                assert!(!file.path.contains("target/"), "{}", file.path);
            }
        }
    }

    #[test]
    fn sdk_comes_along_where_it_is_used_and_only_there() {
        let path = "vendor/everwarm/sdk/src/lib.rs";
        for (template, expected) in [(TemplateArg::Http, true), (TemplateArg::Bare, false)] {
            let has = rendered(template).iter().any(|file| file.path == path);
            assert_eq!(has, expected, "{template:?}");
        }
    }

    #[test]
    fn lock_file_is_kept_and_knows_the_new_name() {
        let files = rendered(TemplateArg::Http);
        let lock = text(&files, "Cargo.lock");
        assert_eq!(lock.matches("name = \"my-app\"").count(), 1);
    }
}
