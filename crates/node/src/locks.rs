//! One lock an app, made when it is asked for and gone when nobody has it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::apps::AppKey;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct AppLocks(Mutex<HashMap<AppKey, Weak<tokio::sync::Mutex<()>>>>);

impl AppLocks {
    /// Waits until nobody else works on the app.
    pub(crate) async fn lock(&self, key: &AppKey) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock();
            locks.retain(|_, lock| lock.strong_count() > 0);
            let lock = locks.get(key).and_then(Weak::upgrade).unwrap_or_default();
            locks.insert(key.clone(), Arc::downgrade(&lock));
            lock
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use everwarm_manifest::{AppName, TenantId};

    use super::*;

    #[tokio::test]
    async fn two_apps_do_not_wait_for_each_other_and_one_waits_for_itself() {
        let locks = AppLocks::default();
        let key = |name: &str| (TenantId::default_tenant(), AppName::new(name).unwrap());
        let (a, b) = (key("a"), key("b"));
        let first = locks.lock(&a).await;
        let _other = locks.lock(&b).await;
        let again = locks.lock(&a);
        tokio::pin!(again);
        assert!(futures_util::FutureExt::now_or_never(&mut again).is_none());
        drop(first);
        drop(again.await);
        // Nothing is left of a lock that nobody has.
        let _third = locks.lock(&key("c")).await;
        assert_eq!(locks.0.lock().len(), 2);
    }
}
