//! The node's secret key: made at the first start, kept in a file that only its user can read.
//!
//! Owns the key's life. Doesn't know what is signed with it: each use asks for a key of its own.

use std::io;
use std::path::Path;

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use sha2::Sha256;

use super::OpenError;
use super::disk::{Disk, write_whole};

/// Length of the key, in bytes.
pub const KEY_LEN: usize = 32;

/// The node's secret key.
#[derive(Debug)]
pub struct NodeKey(SecretBox<[u8; KEY_LEN]>);

impl NodeKey {
    /// Reads the key, or makes one where there is none.
    ///
    /// # Errors
    ///
    /// [`OpenError::NodeKey`] when the file isn't a key or others may read it: a key that is known
    /// to others protects nothing, so it isn't used.
    pub(super) fn load_or_create(disk: &dyn Disk, path: &Path) -> Result<Self, OpenError> {
        let metadata = match disk.metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::create(disk, path);
            }
            Err(error) => return Err(OpenError::io("look at the node's key", path)(error)),
        };
        let fault = |fault: String| OpenError::NodeKey {
            path: path.to_owned(),
            fault,
        };
        if metadata.mode & 0o077 != 0 {
            let mode = metadata.mode & 0o777;
            return Err(fault(format!("other users can reach it (mode {mode:o})")));
        }
        let mut key = SecretBox::new(Box::new([0_u8; KEY_LEN]));
        if metadata.len != KEY_LEN as u64 {
            let len = metadata.len;
            return Err(fault(format!("it has {len} bytes instead of {KEY_LEN}")));
        }
        disk.open(path)
            .and_then(|mut file| file.read_exact(key.expose_secret_mut()))
            .map_err(OpenError::io("read the node's key", path))?;
        Ok(Self(key))
    }

    fn create(disk: &dyn Disk, path: &Path) -> Result<Self, OpenError> {
        let mut key = SecretBox::new(Box::new([0_u8; KEY_LEN]));
        getrandom::fill(key.expose_secret_mut()).map_err(|error| OpenError::NodeKey {
            path: path.to_owned(),
            fault: format!("the system gave no random bytes to make it: {error}"),
        })?;
        write_whole(disk, &path.with_extension("new"), path, key.expose_secret())
            .map_err(OpenError::io("write the node's key", path))?;
        Ok(Self(key))
    }

    /// A key for one purpose: HMAC-SHA256 of the purpose under the node's key. Keys of different
    /// purposes say nothing of each other, and the node's key itself never leaves this type.
    pub fn derive(&self, purpose: &str) -> SecretBox<[u8; KEY_LEN]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            .expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        SecretBox::new(Box::new(mac.finalize().into_bytes().into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::{NodeKey, OpenError};
    use crate::embedded::disk::LocalDisk;

    #[test]
    fn key_is_made_once_and_only_its_user_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let first = NodeKey::load_or_create(&LocalDisk, &path).unwrap();
        let again = NodeKey::load_or_create(&LocalDisk, &path).unwrap();
        assert_eq!(
            first.derive("a").expose_secret(),
            again.derive("a").expose_secret()
        );
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn keys_of_two_purposes_and_of_two_nodes_differ() {
        let dir = tempfile::tempdir().unwrap();
        let one = NodeKey::load_or_create(&LocalDisk, &dir.path().join("1.key")).unwrap();
        let two = NodeKey::load_or_create(&LocalDisk, &dir.path().join("2.key")).unwrap();
        let keys = [one.derive("a"), one.derive("b"), two.derive("a")];
        assert_ne!(keys[0].expose_secret(), keys[1].expose_secret());
        assert_ne!(keys[0].expose_secret(), keys[2].expose_secret());
    }

    #[test]
    fn key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        NodeKey::load_or_create(&LocalDisk, &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = NodeKey::load_or_create(&LocalDisk, &path).unwrap_err();
        assert!(matches!(error, OpenError::NodeKey { .. }));
        assert!(error.to_string().contains("mode 640"), "{error}");
    }

    #[test]
    fn truncated_key_is_refused_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        NodeKey::load_or_create(&LocalDisk, &path).unwrap();
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(7)
            .unwrap();
        let error = NodeKey::load_or_create(&LocalDisk, &path).unwrap_err();
        assert!(error.to_string().contains("7 bytes"), "{error}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 7);
    }

    #[test]
    fn key_does_not_show_in_debug_output() {
        let dir = tempfile::tempdir().unwrap();
        let key = NodeKey::load_or_create(&LocalDisk, &dir.path().join("node.key")).unwrap();
        assert!(format!("{key:?}").contains("REDACTED"));
    }
}
