//! `new`: starts an app in a folder that is empty or doesn't exist yet. What is in it is `templates`'.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use everwarm_manifest::AppName;
use serde::Serialize;

use crate::args::NewArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::templates::{self, NewFile};

/// The folder has something in it.
const NOT_EMPTY: &str = "EW4020";
/// A file couldn't be written.
const NOT_WRITTEN: &str = "EW4021";

/// What JSON says.
#[derive(Debug, Serialize)]
struct Created<'a> {
    name: &'a str,
    path: &'a Path,
    template: &'static str,
    files: Vec<&'a str>,
}

pub(crate) fn run(args: NewArgs, printer: &Printer) -> Result<Exit, Failure> {
    let name = AppName::new(&args.name).map_err(|error| {
        let near = everwarm_manifest::names::nearest_name(&args.name);
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Failure::new(
            Exit::Usage,
            "EW1008",
            format!(
                "`{}` is no name of an app: {error}{near}",
                args.name.escape_debug()
            ),
        )
    })?;
    let folder = args.path.unwrap_or_else(|| PathBuf::from(name.as_str()));
    check_empty(&folder)?;
    let files = templates::render(args.template, &name).map_err(|error| {
        Failure::uncoded(Exit::Failure, format!("the template is broken: {error}"))
    })?;
    write(&folder, &files)?;
    let created = Created {
        name: name.as_str(),
        path: &folder,
        template: templates::word(args.template),
        files: files.iter().map(|file| file.path.as_str()).collect(),
    };
    printer.data(&created, || {
        let shown = folder.display();
        format!(
            "{} {shown}\n\nNext:\n  everwarm up {shown}\n",
            printer.out("Created").green().bold(),
        )
    });
    Ok(Exit::Success)
}

fn check_empty(folder: &Path) -> Result<(), Failure> {
    let shown = folder.display();
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::new(
            Exit::Failure,
            NOT_EMPTY,
            format!("{shown} isn't empty: choose another name, or a folder with `--path`"),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Failure::new(
            Exit::Failure,
            NOT_EMPTY,
            format!("{shown} is a file: choose another name, or a folder with `--path`"),
        )),
        Err(error) => Err(not_written(folder, &error)),
    }
}

fn write(folder: &Path, files: &[NewFile]) -> Result<(), Failure> {
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| not_written(parent, &error))?;
        fs::write(&path, &file.contents).map_err(|error| not_written(&path, &error))?;
    }
    Ok(())
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let message = format!("couldn't write {}: {error}", path.display());
    Failure::new(Exit::Failure, NOT_WRITTEN, message)
}
