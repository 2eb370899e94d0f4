//! `deploy`: build an app, upload what the node doesn't have, and let a version serve.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use everwarm_api::client::{Client, ClientError};
use everwarm_api::messages::{Deploy, Deployed, HealthCheck, MigrationFile, StageTime};
use everwarm_build::{AssetPacker, DatabaseFiles, Project};

use crate::args::DeployArgs;
use crate::commands::build::{self, Made};
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings;

/// How long to wait before a deploy whose answer was lost is sent again.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

pub(crate) async fn run(args: DeployArgs, printer: &Printer) -> Result<Exit, Failure> {
    let project = Project::open(&settings::app_folder(args.app.folder))?;
    let client = credentials::client(&args.node)?;
    let made = build::build(&project, &mut AssetPacker::default(), printer).await?;
    let app = project.app();
    let manifest = app
        .to_toml()
        .map_err(|error| Failure::uncoded(Exit::Manifest, error.to_string()))?;

    let started = Instant::now();
    let uploaded = {
        let _stage = printer.stage("uploading");
        upload(&client, &made).await?
    };
    let upload_time = started.elapsed();
    let deploy = Deploy {
        manifest,
        components: made
            .components
            .iter()
            .map(|component| (component.function.to_string(), component.digest.to_string()))
            .collect::<BTreeMap<_, _>>(),
        assets: made.assets.as_ref().map(|assets| assets.digest.to_string()),
        migrations: made.migrations.iter().map(files).collect(),
        percent: args.percent,
        sticky_header: args.sticky_header,
        health: args.health.map(|path| HealthCheck { path }),
    };
    let mut deployed = {
        let _stage = printer.stage("deploying");
        send(&client, app.name.as_str(), &deploy, args.idempotency_key).await?
    };
    let ours = [("build", made.took), ("upload", upload_time)];
    let ours = ours.map(|(stage, took)| StageTime {
        stage: stage.to_owned(),
        ms: took.as_secs_f64() * 1e3,
    });
    deployed.stages.splice(0..0, ours);
    printer.data(&deployed, || told(&deployed, uploaded));
    Ok(Exit::Success)
}

/// The migrations of a database, as they are sent.
fn files(of: &DatabaseFiles) -> (String, Vec<MigrationFile>) {
    let files = of.files.iter().map(|(name, text)| MigrationFile {
        name: name.clone(),
        text: text.clone(),
    });
    (of.database.to_string(), files.collect())
}

/// Deploys, and asks again under the same key when the answer was lost: the node does it once.
async fn send(
    client: &Client,
    app: &str,
    deploy: &Deploy,
    key: Option<String>,
) -> Result<Deployed, Failure> {
    let key = key.map_or_else(random_key, Ok)?;
    let mut pauses = RETRY_PAUSES.into_iter();
    loop {
        match client.deploy(app, deploy, Some(&key)).await {
            Err(ClientError::Unreachable { .. }) if let Some(pause) = pauses.next() => {
                tokio::time::sleep(pause).await;
            }
            answered => return Ok(answered?),
        }
    }
}

fn random_key() -> Result<String, Failure> {
    let random = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
    let (high, low) = random.map_err(|error| {
        let message = format!("the operating system gave no random numbers: {error}");
        Failure::uncoded(Exit::Failure, message)
    })?;
    Ok(format!("{high:016x}{low:016x}"))
}

/// Uploads what isn't there, and says how many that was.
async fn upload(client: &Client, made: &Made) -> Result<usize, Failure> {
    let mut uploaded = 0;
    for component in &made.components {
        let digest = component.digest.to_string();
        if !client.has_component(&digest).await? {
            client
                .put_component(&digest, component.bytes.clone())
                .await?;
            uploaded += 1;
        }
    }
    if let Some(assets) = &made.assets {
        let digest = assets.digest.to_string();
        if !client.has_assets(&digest).await? {
            client.put_assets(&digest, assets.bytes.clone()).await?;
            uploaded += 1;
        }
    }
    Ok(uploaded)
}

fn told(deployed: &Deployed, uploaded: usize) -> String {
    use std::fmt::Write as _;

    let Deployed {
        app,
        version,
        urls,
        stages,
        ..
    } = deployed;
    let share = match version.percent {
        0 => "deployed, and gets no requests yet".to_owned(),
        100 => "live".to_owned(),
        percent => format!("live for {percent} % of the requests"),
    };
    // Writing to a String can't fail.
    let mut text = format!("{app} {} is {share}\n", version.short);
    if version.percent > 0 {
        for url in urls {
            let _ = writeln!(text, "  {url}");
        }
    }
    if let Some(url) = &version.preview_url {
        let _ = writeln!(text, "  {url} (this version)");
    }
    let stages: Vec<String> = stages
        .iter()
        .map(|stage| format!("{} {:.0} ms", stage.stage, stage.ms))
        .collect();
    let _ = writeln!(text, "  {}; {uploaded} uploaded", stages.join(", "));
    text
}
