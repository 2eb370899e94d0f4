//! `invoke`: one request through the same path as any other, without a port. The body goes to
//! standard output, the head to standard error.

use std::fmt::Write as _;
use std::io::Read;

use bytes::Bytes;
use everwarm_build::{AssetPacker, Project};
use everwarm_node::{Request, RequestBody};
use http::{HeaderName, HeaderValue, Method, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use serde_json::json;

use crate::args::{BoundsArgs, InvokeArgs};
use crate::commands::build;
use crate::exit::{Exit, Failure, told};
use crate::printer::Printer;
use crate::session::{Outside, Session};
use crate::settings;
use crate::telemetry;

/// The most that is read for `--data`, in bytes; the function's own limit may be less.
const DATA_BYTES_MAX: u64 = 1 << 30;
/// A folder of its own, so that `up` may run meanwhile.
const DATA_DIR: &str = "invoke";

pub(crate) async fn run(args: InvokeArgs, printer: &Printer) -> Result<Exit, Failure> {
    telemetry::start_logs(args.log.log.as_deref(), printer)?;
    let project = Project::open(&settings::app_folder(args.app.folder.clone()))?;
    let request = request(&args, project.app().name.as_str())?;
    let secrets = settings::secrets_of_file(&args.secrets)?;
    let typed = args.data_dir.data_dir.clone();
    let is_default = typed.is_none();
    let mut data_dir = settings::data_dir(typed, project.folder());
    if is_default {
        data_dir.push(DATA_DIR);
    }
    let made = build::build(&project, &mut AssetPacker::default(), printer).await?;
    let outside = Outside {
        egress: settings::Egress::from(args.egress.clone()),
        blobs: settings::Blobs::of_args(&args.blobs)?,
        otlp: None,
    };
    let mut session =
        Session::start(&data_dir, None, BoundsArgs::default(), &outside, printer).await?;
    session.lend_secrets(project.app(), secrets);
    {
        let _stage = printer.stage("compiling to machine code");
        session.deploy(project.app(), &made).await?;
    }
    let answered = {
        let _stage = printer.stage("waiting for the function");
        session.node().invoke(request).await
    };
    let failed = |error: &dyn std::error::Error| Failure::uncoded(Exit::Answer, told(error));
    let exit = match answered {
        Ok(response) => {
            show(&response, args.include, printer);
            let is_fault = response.status().is_server_error();
            Ok(if is_fault {
                Exit::Answer
            } else {
                Exit::Success
            })
        }
        Err(error) => Err(failed(&error)),
    };
    session.drain().await;
    exit
}

fn request(args: &InvokeArgs, app: &str) -> Result<Request, Failure> {
    let body = args.data.as_deref().map(read_data).transpose()?;
    let method = args.method.clone().unwrap_or(match body {
        Some(_) => Method::POST,
        None => Method::GET,
    });
    let slash = if args.path.starts_with('/') { "" } else { "/" };
    let target: Uri = format!("{slash}{}", args.path).parse().map_err(|error| {
        let message = format!("`--path` isn't a path: {error}; write it as in `/api/users?page=2`");
        Failure::uncoded(Exit::Usage, message)
    })?;
    let length = body.as_ref().map(Bytes::len);
    let body = match body {
        Some(bytes) => {
            let body = Full::new(bytes).map_err(|never| match never {});
            RequestBody::Stream(Box::pin(body))
        }
        None => RequestBody::Empty,
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    for (name, value) in &args.header {
        headers.append(name, value.clone());
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if !headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(&format!("{app}.localhost"))
    {
        headers.insert(header::HOST, host);
    }
    Ok(request)
}

/// `--data` as curl has it: text, a file after `@`, or standard input as `@-`.
fn read_data(data: &str) -> Result<Bytes, Failure> {
    let Some(path) = data.strip_prefix('@') else {
        return Ok(Bytes::copy_from_slice(data.as_bytes()));
    };
    let mut bytes = Vec::new();
    let read = if path == "-" {
        std::io::stdin()
            .take(DATA_BYTES_MAX)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(DATA_BYTES_MAX).read_to_end(&mut bytes))
    };
    match read {
        Ok(_) => Ok(bytes.into()),
        Err(error) => {
            let message = format!("couldn't read `{path}` for `--data`: {error}");
            Err(Failure::uncoded(Exit::Usage, message))
        }
    }
}

fn show(response: &Response<Bytes>, include: bool, printer: &Printer) {
    if printer.output().json {
        let headers: Vec<[String; 2]> = response
            .headers()
            .iter()
            .map(|(name, value)| [name.to_string(), lossy(value)])
            .collect();
        let mut answer = json!({ "status": response.status().as_u16(), "headers": headers });
        match std::str::from_utf8(response.body()) {
            Ok(text) => answer["body"] = json!(text),
            Err(_) => answer["body_hex"] = json!(hex::encode(response.body())),
        }
        printer.data(&answer, String::new);
        return;
    }
    let mut head = format!("HTTP {}\n", response.status());
    for (name, value) in response.headers() {
        let _ = writeln!(head, "{}", field(name, value));
    }
    if include {
        printer.stdout(format!("{head}\n").as_bytes());
    } else {
        printer.note(head.trim_end());
    }
    printer.stdout(response.body());
}

fn field(name: &HeaderName, value: &HeaderValue) -> String {
    format!("{name}: {}", lossy(value))
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
