//! `tenant`: who owns apps on a node, and what each may use.

use everwarm_api::messages::{Quotas, Tenant};
use everwarm_manifest::ByteSize;
use serde_json::json;

use crate::args::{AppsArgs, TenantCommand, TenantRmArgs, TenantSetArgs};
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::{Column, table};

pub(crate) async fn run(command: TenantCommand, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        TenantCommand::Ls(args) => list(args, printer).await,
        TenantCommand::Set(args) => set(args, printer).await,
        TenantCommand::Rm(args) => remove(args, printer).await,
    }
}

async fn list(args: AppsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let (mut tenants, mut after) = (Vec::new(), None);
    loop {
        let page = client.tenants(after.as_deref()).await?;
        tenants.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    printer.data(&tenants, || told(&tenants));
    Ok(Exit::Success)
}

async fn set(args: TenantSetArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let quotas = Quotas {
        apps: args.apps,
        artifact_bytes: args.artifacts.map(ByteSize::as_u64),
        memory_bytes: args.memory.map(ByteSize::as_u64),
        concurrency: args.concurrency,
        requests_per_second: args.rate,
        kv_bytes: args.kv_bytes.map(ByteSize::as_u64),
        kv_entries: args.kv_entries,
        queue_messages: args.queue_messages,
        queue_bytes: args.queue_bytes.map(ByteSize::as_u64),
        blobs: args.blobs,
        blob_bytes: args.blob_bytes.map(ByteSize::as_u64),
    };
    let tenant = client.put_tenant(&args.name, &quotas).await?;
    printer.data(&tenant, || told(std::slice::from_ref(&tenant)));
    Ok(Exit::Success)
}

async fn remove(args: TenantRmArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    client.remove_tenant(&args.name).await?;
    printer.data(&json!({"removed": args.name}), || {
        format!("tenant {} is removed, with its tokens\n", args.name)
    });
    Ok(Exit::Success)
}

fn told(tenants: &[Tenant]) -> String {
    let rows: Vec<_> = tenants.iter().map(row).collect();
    let columns = [
        Column::Left("TENANT"),
        Column::Right("APPS"),
        Column::Right("ARTIFACTS"),
        Column::Right("MEMORY"),
        Column::Right("CONCURRENCY"),
        Column::Right("REQUESTS/S"),
        Column::Right("KV/APP"),
        Column::Right("QUEUES/APP"),
        Column::Right("BLOBS/APP"),
    ];
    table(columns, &rows)
}

fn row(tenant: &Tenant) -> [String; 9] {
    let Quotas {
        apps,
        artifact_bytes,
        memory_bytes,
        concurrency,
        requests_per_second,
        kv_bytes,
        kv_entries,
        queue_messages,
        queue_bytes,
        blobs,
        blob_bytes,
    } = tenant.quotas;
    let number = |bound: Option<u32>| bound.map_or("any".to_owned(), |bound| bound.to_string());
    let size = |bound: Option<u64>| {
        bound.map_or("any".to_owned(), |bytes| ByteSize::new(bytes).to_string())
    };
    // The node's own, which it alone knows.
    let own = || "default".to_owned();
    let kept = |bytes: Option<u64>, count: Option<u64>| match (bytes, count) {
        (None, None) => own(),
        _ => format!(
            "{} in {}",
            bytes.map_or_else(own, |bytes| ByteSize::new(bytes).to_string()),
            count.map_or_else(own, |count| count.to_string())
        ),
    };
    [
        tenant.name.clone(),
        number(apps),
        size(artifact_bytes),
        size(memory_bytes),
        number(concurrency),
        number(requests_per_second),
        kept(kv_bytes, kv_entries),
        kept(queue_bytes, queue_messages),
        kept(blob_bytes, blobs),
    ]
}
