//! How much an app may keep of each kind, by its tenant: key-value data, messages, blobs.
//!
//! Owns the quotas of whoever has none of its own, and that a look-up waits for nobody: those who write ask on the way of a
//! request. Knows nothing of what is kept.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use everwarm_manifest::TenantId;
use everwarm_store::accounts::{Quotas, Tenant};
use everwarm_store::blobs::BlobQuota;
use everwarm_store::kv::KvQuota;
use everwarm_store::triggers::TriggerQuota;

/// How much an app may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppQuota {
    /// By key.
    pub kv: KvQuota,
    /// In its queues and schedules.
    pub messages: TriggerQuota,
    /// In its containers.
    pub blobs: BlobQuota,
}

/// What an app may keep whose tenant has no quota of its own: a million entries, messages and blobs, in 1 GiB each, blobs
/// in 10 GiB.
pub const APP_QUOTA_DEFAULT: AppQuota = AppQuota {
    kv: KvQuota {
        entries_max: 1_000_000,
        bytes_max: 1 << 30,
    },
    messages: TriggerQuota {
        messages_max: 1_000_000,
        bytes_max: 1 << 30,
    },
    blobs: BlobQuota {
        blobs_max: 1_000_000,
        bytes_max: 10 << 30,
    },
};

/// The quotas of tenants, for each of their apps. What is set is in force for the next write.
#[derive(Debug, Default)]
pub struct AppQuotas {
    /// Tenants with a quota of their own.
    own: ArcSwap<HashMap<TenantId, AppQuota>>,
}

impl AppQuotas {
    /// How much each app of a tenant may keep.
    pub fn quota(&self, tenant: &TenantId) -> AppQuota {
        let own = self.own.load().get(tenant).copied();
        own.unwrap_or(APP_QUOTA_DEFAULT)
    }

    /// Sets what a tenant's apps may keep, from the next write on.
    pub(crate) fn set(&self, tenant: &TenantId, quotas: Quotas) {
        self.own.rcu(|own| {
            let mut own = HashMap::clone(own);
            match own_quota(quotas) {
                Some(quota) => own.insert(tenant.clone(), quota),
                None => own.remove(tenant),
            };
            own
        });
    }

    /// Sets what all tenants' apps may keep.
    pub(crate) fn set_all(&self, tenants: &[Tenant]) {
        let own = tenants
            .iter()
            .filter_map(|tenant| Some((tenant.id.clone(), own_quota(tenant.quotas)?)));
        self.own.store(Arc::new(own.collect()));
    }

    /// A tenant is gone. One that is made under the same name begins anew.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.set(tenant, Quotas::UNBOUNDED);
    }
}

/// A tenant's own quota, if it has one.
fn own_quota(quotas: Quotas) -> Option<AppQuota> {
    let AppQuota {
        kv,
        messages,
        blobs,
    } = APP_QUOTA_DEFAULT;
    let quota = AppQuota {
        kv: KvQuota {
            entries_max: quotas.kv_entries.unwrap_or(kv.entries_max),
            bytes_max: quotas.kv_bytes.unwrap_or(kv.bytes_max),
        },
        messages: TriggerQuota {
            messages_max: quotas.queue_messages.unwrap_or(messages.messages_max),
            bytes_max: quotas.queue_bytes.unwrap_or(messages.bytes_max),
        },
        blobs: BlobQuota {
            blobs_max: quotas.blobs.unwrap_or(blobs.blobs_max),
            bytes_max: quotas.blob_bytes.unwrap_or(blobs.bytes_max),
        },
    };
    (quota != APP_QUOTA_DEFAULT).then_some(quota)
}

#[cfg(test)]
mod tests {
    use everwarm_store::catalog::UnixMillis;

    use super::*;

    fn bytes(kv_bytes: u64) -> Quotas {
        Quotas {
            kv_bytes: Some(kv_bytes),
            ..Quotas::default()
        }
    }

    #[test]
    fn tenant_without_a_quota_has_everybodys() {
        let (quotas, ann) = (AppQuotas::default(), TenantId::new("ann").unwrap());
        assert_eq!(quotas.quota(&ann), APP_QUOTA_DEFAULT);
        quotas.set(&ann, bytes(7));
        let own = quotas.quota(&ann);
        let mut expected = APP_QUOTA_DEFAULT;
        expected.kv.bytes_max = 7;
        assert_eq!(own, expected);
        assert_eq!(
            quotas.quota(&TenantId::default_tenant()),
            APP_QUOTA_DEFAULT,
            "it is hers alone"
        );
        quotas.set(&ann, Quotas::default());
        assert_eq!(quotas.quota(&ann), APP_QUOTA_DEFAULT);
        quotas.set(&ann, bytes(7));
        quotas.forget(&ann);
        assert_eq!(quotas.quota(&ann), APP_QUOTA_DEFAULT);
    }

    #[test]
    fn each_bound_is_its_own() {
        let quotas = AppQuotas::default();
        let ann = TenantId::new("ann").unwrap();
        let own = Quotas {
            kv_entries: Some(1),
            queue_messages: Some(2),
            queue_bytes: Some(3),
            blobs: Some(4),
            blob_bytes: Some(5),
            ..Quotas::default()
        };
        quotas.set(&ann, own);
        let quota = quotas.quota(&ann);
        assert_eq!(quota.kv.entries_max, 1);
        assert_eq!(quota.kv.bytes_max, APP_QUOTA_DEFAULT.kv.bytes_max);
        let messages = quota.messages;
        assert_eq!((messages.messages_max, messages.bytes_max), (2, 3));
        assert_eq!((quota.blobs.blobs_max, quota.blobs.bytes_max), (4, 5));
    }

    #[test]
    fn what_all_have_takes_the_place_of_what_they_had() {
        let tenant = |name: &str, quotas| Tenant {
            id: TenantId::new(name).unwrap(),
            quotas,
            created: UnixMillis(0),
        };
        let (ann, bob) = (tenant("ann", bytes(1)), tenant("bob", bytes(2)));
        let quotas = AppQuotas::default();
        quotas.set_all(std::slice::from_ref(&ann));
        quotas.set_all(std::slice::from_ref(&bob));
        assert_eq!(quotas.quota(&ann.id), APP_QUOTA_DEFAULT);
        assert_eq!(quotas.quota(&bob.id).kv.bytes_max, 2);
    }
}
