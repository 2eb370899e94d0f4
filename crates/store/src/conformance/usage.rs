//! Behaviours of usage.

use everwarm_manifest::FunctionName;

use super::{app_name, tenant};
use crate::Store;
use crate::catalog::VersionId;
use crate::usage::{Batch, Row, Sums, UnixHour, UsageError};

fn usage_row(owner: &str, hour: u32, requests: u64) -> Row {
    Row {
        hour: UnixHour(hour),
        tenant: tenant(owner),
        app: app_name("hello"),
        version: VersionId::from_bytes([1; 32]),
        function: FunctionName::new("f").expect("a valid name"),
        start_level: "warm".to_owned(),
        status_class: 2,
        sums: Sums {
            requests,
            cpu_us: 10 * requests,
            wall_us: 20 * requests,
            byte_ms: u128::from(u64::MAX) * u128::from(requests),
            memory_peak_bytes: 100 - requests,
            bytes_in: 1,
            bytes_out: 2,
        },
    }
}

pub(super) async fn batch_of_usage_counts_once(store: &dyn Store) {
    let usage = store.usage();
    let batch = |run, number, requests| Batch {
        run,
        number,
        rows: vec![usage_row("ann", 5, requests)],
    };
    // The second comes twice, and the first once more after it.
    for (run, number, requests) in [
        (7, 1, 10),
        (7, 2, 1),
        (7, 2, 1),
        (7, 1, 10),
        (u64::MAX, 1, 4),
    ] {
        let added = usage.add(batch(run, number, requests)).await;
        added.expect("a batch can be added");
    }
    let rows = usage.rows(None, UnixHour(0), UnixHour(10), 10).await;
    let rows = rows.expect("usage can be read");
    assert_eq!(rows.len(), 1);
    let expected = Sums {
        requests: 15,
        cpu_us: 150,
        wall_us: 300,
        byte_ms: u128::from(u64::MAX) * 15,
        memory_peak_bytes: 99,
        bytes_in: 3,
        bytes_out: 6,
    };
    assert_eq!(rows[0].sums, expected);
}

pub(super) async fn usage_is_read_by_hours_and_tenant(store: &dyn Store) {
    let usage = store.usage();
    let rows = [("ann", 1), ("bob", 2), ("ann", 2), ("ann", 3)];
    let batch = Batch {
        run: 1,
        number: 1,
        rows: rows.map(|(owner, hour)| usage_row(owner, hour, 1)).to_vec(),
    };
    usage.add(batch).await.expect("a batch can be added");
    let read = async |owner: Option<&str>, from, until, rows_max| {
        let owner = owner.map(tenant);
        let rows = usage
            .rows(owner.as_ref(), UnixHour(from), UnixHour(until), rows_max)
            .await;
        rows.map(|rows| {
            let keys = rows.iter().map(|row| (row.tenant.to_string(), row.hour.0));
            keys.collect::<Vec<_>>()
        })
    };
    let ann = |hour| ("ann".to_owned(), hour);
    let hers = read(Some("ann"), 1, 3, 10)
        .await
        .expect("usage can be read");
    assert_eq!(hers, [ann(1), ann(2)]);
    let all = read(None, 2, 9, 3).await.expect("usage can be read");
    assert_eq!(all, [ann(2), ("bob".to_owned(), 2), ann(3)]);
    let refused = read(None, 0, 9, 3).await;
    assert!(
        matches!(refused, Err(UsageError::TooMany { rows_max: 3 })),
        "{refused:?}"
    );
}
