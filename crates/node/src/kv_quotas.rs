//! How much key-value data an app may keep, by its tenant.
//!
//! Owns the quota of whoever has none of its own, and that a look-up waits for nobody: those who write key-value data
//! ask on the way of a request. Knows nothing of what is kept.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use everwarm_manifest::TenantId;
use everwarm_store::accounts::{Quotas, Tenant};
use everwarm_store::kv::KvQuota;

/// What an app may keep whose tenant has no quota of its own: 1 GiB in a million entries.
pub const KV_QUOTA_DEFAULT: KvQuota = KvQuota {
    entries_max: 1_000_000,
    bytes_max: 1 << 30,
};

/// The quotas of tenants, for each of their apps. What is set is in force for the next write.
#[derive(Debug, Default)]
pub struct KvQuotas {
    /// Tenants with a quota of their own.
    own: ArcSwap<HashMap<TenantId, KvQuota>>,
}

impl KvQuotas {
    /// How much each app of a tenant may keep.
    pub fn quota(&self, tenant: &TenantId) -> KvQuota {
        let own = self.own.load().get(tenant).copied();
        own.unwrap_or(KV_QUOTA_DEFAULT)
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
fn own_quota(quotas: Quotas) -> Option<KvQuota> {
    let Quotas {
        kv_bytes,
        kv_entries,
        ..
    } = quotas;
    let is_own = kv_bytes.is_some() || kv_entries.is_some();
    is_own.then(|| KvQuota {
        entries_max: kv_entries.unwrap_or(KV_QUOTA_DEFAULT.entries_max),
        bytes_max: kv_bytes.unwrap_or(KV_QUOTA_DEFAULT.bytes_max),
    })
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
        let (quotas, ann) = (KvQuotas::default(), TenantId::new("ann").unwrap());
        assert_eq!(quotas.quota(&ann), KV_QUOTA_DEFAULT);
        quotas.set(&ann, bytes(7));
        let own = quotas.quota(&ann);
        assert_eq!(
            (own.bytes_max, own.entries_max),
            (7, KV_QUOTA_DEFAULT.entries_max)
        );
        assert_eq!(
            quotas.quota(&TenantId::default_tenant()),
            KV_QUOTA_DEFAULT,
            "it is hers alone"
        );
        quotas.set(&ann, Quotas::default());
        assert_eq!(quotas.quota(&ann), KV_QUOTA_DEFAULT);
        quotas.set(&ann, bytes(7));
        quotas.forget(&ann);
        assert_eq!(quotas.quota(&ann), KV_QUOTA_DEFAULT);
    }

    #[test]
    fn what_all_have_takes_the_place_of_what_they_had() {
        let tenant = |name: &str, quotas| Tenant {
            id: TenantId::new(name).unwrap(),
            quotas,
            created: UnixMillis(0),
        };
        let (ann, bob) = (tenant("ann", bytes(1)), tenant("bob", bytes(2)));
        let quotas = KvQuotas::default();
        quotas.set_all(std::slice::from_ref(&ann));
        quotas.set_all(std::slice::from_ref(&bob));
        assert_eq!(quotas.quota(&ann.id), KV_QUOTA_DEFAULT);
        assert_eq!(quotas.quota(&bob.id).bytes_max, 2);
    }
}
