//! What every store engine must do: one list of behaviours, run by each engine's tests.
//!
//! Owns the behaviours. Knows nothing of any engine: all it sees is an empty [`Store`]. A behaviour
//! that doesn't hold panics with what was expected, as a test does.

mod accounts;
mod artifacts;
mod blobs;
mod hosts;
mod kv;
mod once;
mod secrets;
mod sql;
mod triggers;
mod usage;
mod versions;

use std::collections::BTreeMap;

use bytes::Bytes;
use everwarm_manifest::{App, AppName, FunctionName, HostPattern, RoutePattern, TenantId, World};

use crate::artifacts::digest_of;
use crate::audit::{Action, Note};
use crate::catalog::{CatalogError, Component, NewVersion, UnixMillis, Version, VersionId};
use crate::traffic::Traffic;
use crate::{Store, StoreFuture};

/// One behaviour that every engine has.
pub struct Behaviour {
    /// The behaviour as a sentence.
    pub name: &'static str,
    /// Shows it on a store that is empty, or panics.
    pub run: for<'a> fn(&'a dyn Store) -> StoreFuture<'a, ()>,
}

macro_rules! behaviours {
    ($($file:ident :: $name:ident),* $(,)?) => {
        &[$(Behaviour { name: stringify!($name), run: |store| Box::pin($file::$name(store)) }),*]
    };
}

/// All behaviours. An engine's test runs each on a fresh, empty store.
pub const BEHAVIOURS: &[Behaviour] = behaviours![
    versions::version_reads_back_as_it_was_put,
    versions::same_content_is_the_same_version,
    versions::any_difference_makes_another_version,
    versions::version_needs_its_components,
    versions::traffic_is_what_was_set_last,
    versions::version_that_is_not_kept_never_serves,
    versions::newest_versions_come_first_page_by_page,
    versions::tenants_do_not_see_each_others_apps,
    versions::what_serves_is_listed_in_order_of_tenants_and_apps,
    versions::switch_of_traffic_is_atomic_for_readers,
    hosts::host_of_one_tenant_is_taken_for_all_others,
    hosts::wildcards_and_hosts_below_them_overlap,
    hosts::host_that_is_not_named_any_more_is_free,
    versions::apps_are_listed_page_by_page,
    versions::new_app_beyond_the_quota_is_refused,
    hosts::removed_app_is_gone_with_its_hosts,
    versions::versions_that_traffic_needs_outlive_pruning,
    accounts::every_change_is_in_the_audit_log_and_nothing_else,
    artifacts::artifact_reads_back_as_it_was_put,
    artifacts::artifact_put_twice_is_one_artifact,
    artifacts::unknown_artifact_is_not_found,
    artifacts::tenants_do_not_see_each_others_artifacts,
    artifacts::empty_and_large_artifacts_are_kept,
    artifacts::artifact_beyond_the_quota_is_refused,
    artifacts::collection_takes_what_no_version_needs,
    artifacts::bundle_of_assets_is_kept_for_as_long_as_its_version,
    accounts::tenant_reads_back_with_its_quotas,
    accounts::tenant_with_apps_is_not_removed,
    accounts::token_reads_back_and_is_its_owners,
    accounts::tokens_of_one_owner_are_bounded,
    once::key_is_remembered_with_what_was_done_for_a_day,
    once::key_of_a_switch_that_failed_is_not_remembered,
    once::owners_of_a_version_are_found_by_its_digits,
    usage::batch_of_usage_counts_once,
    usage::usage_is_read_by_hours_and_tenant,
    kv::value_reads_back_as_it_was_set,
    kv::buckets_apps_and_tenants_see_only_their_own,
    kv::deleted_value_is_gone,
    kv::expired_entry_is_gone_whether_it_was_swept_or_not,
    kv::keys_are_listed_in_order_page_by_page,
    kv::keys_are_listed_by_prefix,
    kv::increment_adds_to_decimal_numbers,
    kv::increments_that_come_together_are_all_counted,
    kv::swap_finds_what_was_changed_even_if_it_was_changed_back,
    kv::batches_are_done_whole_or_not_at_all,
    kv::what_is_too_large_is_refused,
    kv::quotas_bound_what_an_app_keeps,
    kv::what_has_expired_holds_no_quota,
    kv::removed_app_is_gone_at_once_and_swept_part_by_part,
    kv::revisions_of_an_app_that_comes_back_are_new_ones,
    secrets::newest_version_of_a_secret_is_current,
    secrets::secrets_are_an_apps_own,
    secrets::secret_goes_back_to_versions_that_are_kept,
    secrets::old_versions_of_a_secret_are_forgotten,
    secrets::version_that_was_outpaced_is_refused,
    secrets::bounds_on_secrets_refuse_what_is_too_much,
    secrets::secrets_go_with_their_app_and_their_tenant,
    secrets::all_versions_of_secrets_are_listed_page_by_page_and_sealed_anew,
    sql::values_of_all_types_read_back_as_they_were_bound,
    sql::statement_says_what_it_changed,
    sql::mistakes_are_told_with_sqlites_code_and_change_nothing,
    sql::batches_of_statements_are_done_whole_or_not_at_all,
    sql::transaction_is_seen_when_it_is_kept_and_undone_otherwise,
    sql::transaction_that_sqlite_ended_says_so_until_it_is_ended,
    sql::rows_come_part_by_part_as_of_one_moment,
    sql::answer_has_the_columns_that_the_table_has_now,
    sql::json_full_text_and_windows_are_there,
    sql::databases_apps_and_tenants_have_only_their_own,
    sql::migrations_are_applied_once_in_order,
    sql::migration_that_was_changed_is_refused_before_anything,
    sql::migrations_that_fail_leave_nothing,
    sql::deploys_at_once_apply_migrations_once,
    sql::quota_is_told_and_leaves_the_database_usable,
    sql::what_is_too_large_for_sql_is_refused,
    triggers::messages_are_leased_as_they_were_sent,
    triggers::message_is_not_given_out_before_it_is_due,
    triggers::what_is_due_for_longest_is_given_out_first,
    triggers::leased_message_is_nobody_elses_until_the_lease_is_over,
    triggers::late_settlement_counts_until_somebody_else_has_the_message,
    triggers::leases_that_come_together_share_no_message,
    triggers::acknowledged_message_never_comes_again,
    triggers::message_that_failed_is_tried_again_from_when_it_was_said,
    triggers::released_message_counts_no_attempt_and_is_not_put_back,
    triggers::leases_are_bounded_by_messages_and_bytes,
    triggers::paused_trigger_takes_messages_and_gives_none_out,
    triggers::triggers_apps_and_tenants_have_only_their_own,
    triggers::receipts_that_were_never_given_settle_nothing,
    triggers::what_is_too_large_for_a_queue_is_refused,
    triggers::quotas_bound_what_all_triggers_of_an_app_keep,
    triggers::names_of_messages_only_grow,
    triggers::removed_app_has_no_messages_and_is_swept_part_by_part,
    triggers::dead_message_is_kept_apart_until_it_is_revived,
    triggers::reasons_are_cut_where_a_letter_ends,
    triggers::messages_are_listed_in_order_page_by_page,
    triggers::purge_takes_what_nobody_has,
    triggers::sweeps_take_what_died_before,
    triggers::standing_counts_messages_by_where_they_are,
    triggers::schedule_is_fired_from_where_it_is_and_not_twice,
    triggers::one_of_those_who_fire_together_does,
    triggers::runs_that_do_not_fit_leave_the_schedule_where_it_is,
    triggers::paused_schedule_is_not_fired,
    blobs::blob_reads_back_as_it_was_written,
    blobs::parts_of_a_blob_are_read_alone,
    blobs::blob_is_there_whole_or_not_at_all,
    blobs::who_reads_a_blob_goes_on_when_it_is_replaced,
    blobs::names_are_texts_and_no_paths,
    blobs::blobs_are_listed_by_prefix_page_by_page,
    blobs::containers_apps_and_tenants_have_blobs_of_their_own,
    blobs::conditions_hold_or_nothing_changes,
    blobs::one_of_those_who_write_together_finds_nothing,
    blobs::blobs_are_renamed_and_copied,
    blobs::quotas_bound_what_an_app_keeps_in_blobs,
    blobs::removed_app_has_no_blobs_and_gives_its_room_back,
];

const NO_BOUND: u64 = u64::MAX;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("the suite's tenants have valid names")
}

fn app_name(name: &str) -> AppName {
    AppName::new(name).expect("the suite's apps have valid names")
}

fn note(action: Action, subject: &str) -> Note {
    Note {
        at: UnixMillis(1),
        actor: "the suite".to_owned(),
        action,
        subject: subject.to_owned(),
        detail: String::new(),
    }
}

fn host(text: &str) -> HostPattern {
    let route: RoutePattern = format!("{text}/*").parse().expect("a valid route");
    route.host
}

/// The component of the versions below.
fn component(marker: u8) -> Component {
    Component {
        digest: digest_of(&[marker]),
        world: World::Wasi02,
    }
}

/// A version of an app with one function, whose content depends on `marker`.
fn new_version(app: &str, marker: u8, created_ms: u64) -> NewVersion {
    let text = format!(
        "name = \"{app}\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroutes = [\"/{marker}/*\"]\n"
    );
    let manifest = App::parse(&text, "everwarm.toml").expect("the suite's manifests are valid");
    let name = FunctionName::new("f").expect("a valid name");
    let components = BTreeMap::from([(name, component(marker))]);
    NewVersion::new(manifest, components, UnixMillis(created_ms)).expect("a complete version")
}

/// Puts a version with its components.
async fn put(store: &dyn Store, tenant: &TenantId, version: NewVersion) -> Version {
    for marker in 0..=9 {
        let kept = store
            .artifacts()
            .put(tenant, Bytes::copy_from_slice(&[marker]), NO_BOUND);
        kept.await.expect("a component can be put");
    }
    let put = store.catalog().put_version(tenant, version, u32::MAX).await;
    put.expect("a version can be put")
}

/// All requests of an app to one version.
async fn set_main(
    store: &dyn Store,
    tenant: &TenantId,
    app: &str,
    id: VersionId,
) -> Result<(), CatalogError> {
    set_main_with_hosts(store, tenant, app, id, &[]).await
}

async fn set_main_with_hosts(
    store: &dyn Store,
    tenant: &TenantId,
    app: &str,
    id: VersionId,
    hosts: &[&str],
) -> Result<(), CatalogError> {
    let hosts = hosts.iter().map(|text| host(text)).collect();
    let note = note(Action::Promote, app);
    let (name, traffic) = (app_name(app), Traffic::all_to(id));
    let set = store
        .catalog()
        .set_traffic(tenant, &name, traffic, hosts, note, None);
    set.await
}

async fn main_version(store: &dyn Store, tenant: &TenantId, app: &str) -> Option<Version> {
    let serving = store.catalog().serving(tenant, &app_name(app)).await;
    let serving = serving.expect("what serves can be read");
    serving.map(|serving| serving.main)
}

async fn version_ids(store: &dyn Store, tenant: &TenantId, app: &str) -> Vec<VersionId> {
    let versions = store
        .catalog()
        .versions(tenant, &app_name(app), None, 100)
        .await;
    let versions = versions.expect("versions can be listed");
    versions.iter().map(|version| version.id).collect()
}

/// Polls futures together until each is done, in no runtime of its own.
async fn all<'a, T>(futures: impl Iterator<Item = StoreFuture<'a, T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.collect();
    let mut done = Vec::new();
    std::future::poll_fn(move |context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(one) => {
                done.push(one);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() {
            std::task::Poll::Ready(std::mem::take(&mut done))
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}
