use crate::files::{give_to_owner_of, without_path};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};
use std::{
    fmt, fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The file that [`Key::from_credential`] looks for: `LoadCredentialEncrypted=facelatch.key` in the unit.
pub const CREDENTIAL_NAME: &str = "facelatch.key";

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 24;
const OWNER_ONLY: u32 = 0o600;

/// The secret that a gallery or a backup is encrypted under: 256 random bits, wiped from memory on drop.
///
/// XChaCha20-Poly1305, whose 192-bit nonces may be drawn at random for every write without ever
/// meeting again (draft-irtf-cfrg-xchacha, section 2.1).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_LEN]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("key file {path}: {source}; check that the folder exists and belongs to this user")]
    File {
        /// The key's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else may read it.
    #[error(
        "key file {path} has mode {mode:04o} where 0600 is needed; run `chmod 600 {path}`, and make \
         a new key and enrol again if somebody else may have read it"
    )]
    Mode {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 32 bytes.
    #[error("key file {path} does not hold exactly {KEY_LEN} bytes; restore it from your backup")]
    Length {
        /// The key's file.
        path: PathBuf,
    },
    /// The kernel gives no random bytes.
    #[error("the system gives no random numbers: {0}; check that /dev/urandom is there")]
    Random(getrandom::Error),
}

impl Key {
    /// A new random key.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = Self([0; KEY_LEN]);
        getrandom::fill(&mut key.0).map_err(KeyError::Random)?;
        Ok(key)
    }

    /// The key in the file, or a new one written there: 32 bytes, mode 0600, whole or not at all.
    ///
    /// # Errors
    /// [`KeyError`]: a file of another mode or length, or one that cannot be read or written.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path, true) {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                match key.write_new(path) {
                    // Another process was faster; its key is the one that galleries are made with.
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Self::load(path, true),
                    Err(source) => Err(KeyError::File { path: path.to_path_buf(), source }),
                    Ok(()) => Ok(key),
                }
            }
            result => result,
        }
    }

    /// The key of a backup, whatever the mode of its file: it may lie on a stick that knows no modes.
    ///
    /// # Errors
    /// [`KeyError::File`] or [`KeyError::Length`].
    pub fn of_backup(path: &Path) -> Result<Self, KeyError> {
        Self::load(path, false)
    }

    /// The key systemd hands to the service: the file [`CREDENTIAL_NAME`] in the folder that
    /// `$CREDENTIALS_DIRECTORY` names. Its mode is systemd's affair and is not checked.
    ///
    /// # Errors
    /// [`KeyError::File`] or [`KeyError::Length`].
    pub fn from_credential(directory: &Path) -> Result<Self, KeyError> {
        Self::load(&directory.join(CREDENTIAL_NAME), false)
    }

    fn load(path: &Path, owner_only: bool) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::File { path: path.to_path_buf(), source };
        let mut file = fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
        if owner_only && mode != OWNER_ONLY {
            return Err(KeyError::Mode { path: path.to_path_buf(), mode });
        }
        // One byte more than a key, so that a longer file shows.
        let mut bytes = Zeroizing::new([0; KEY_LEN + 1]);
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read(&mut bytes[filled..]).map_err(unreadable)? {
                0 => break,
                read => filled += read,
            }
        }
        if filled != KEY_LEN {
            return Err(KeyError::Length { path: path.to_path_buf() });
        }
        let mut key = Self([0; KEY_LEN]);
        key.0.copy_from_slice(&bytes[..KEY_LEN]);
        Ok(key)
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let folder = super::store::folder_of(path);
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(OWNER_ONLY))
            .tempfile_in(folder)
            .map_err(without_path)?;
        give_to_owner_of(folder, file.as_file())?;
        file.write_all(&self.0)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|e| e.error)?;
        fs::File::open(folder)?.sync_all()
    }

    /// What tells this key from another without telling the key: a hash of 256 random bits cannot be
    /// searched for.
    pub(super) fn check_value(&self) -> [u8; 32] {
        Sha256::new().chain_update(b"facelatch key check 1").chain_update(self.0).finalize().into()
    }

    /// nonce ‖ ciphertext ‖ tag of `plain`, which opens only with the same `context`.
    pub(super) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(KeyError::Random)?;
        let sealed = XChaCha20Poly1305::new(&self.0.into())
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: context })
            .expect("the cipher takes up to 256 GiB");
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed, or `None` for another key, another context or bytes that were changed.
    pub(super) fn unseal(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        XChaCha20Poly1305::new(&self.0.into())
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: context })
            .ok()
            .map(Zeroizing::new)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, len: usize, mode: u32) {
        fs::write(path, vec![7; len]).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_then_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let first = Key::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(first.0, Key::load_or_create(&path).unwrap().0);
        assert_ne!(first.0, Key::generate().unwrap().0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        for mode in [0o644, 0o640, 0o660, 0o604, 0o400, 0o700] {
            write(&path, KEY_LEN, mode);
            let error = Key::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyError::Mode { mode: m, .. } if m == mode), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_file_of_another_length_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 31, 33, 1000] {
            write(&dir.path().join(CREDENTIAL_NAME), len, 0o600);
            let found = Key::from_credential(dir.path());
            assert!(matches!(found, Err(KeyError::Length { .. })), "{len} bytes");
        }
        // systemd's own modes vary with its version, and it guards the folder.
        write(&dir.path().join(CREDENTIAL_NAME), KEY_LEN, 0o440);
        assert_eq!(Key::from_credential(dir.path()).unwrap().0, [7; KEY_LEN]);
        let absent = Key::from_credential(&dir.path().join("absent")).unwrap_err();
        assert!(matches!(absent, KeyError::File { .. }));
    }

    #[test]
    fn what_is_sealed_opens_only_with_its_key_its_context_and_every_byte() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let sealed = key.seal(b"here", b"a face").unwrap();
        assert_ne!(sealed, key.seal(b"here", b"a face").unwrap(), "a nonce was used twice");
        assert_eq!(key.unseal(b"here", &sealed).unwrap().as_slice(), b"a face");
        assert!(other.unseal(b"here", &sealed).is_none());
        assert!(key.unseal(b"there", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(key.unseal(b"here", &bent).is_none(), "byte {at}");
            assert!(key.unseal(b"here", &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn a_key_never_shows_in_a_log() {
        assert_eq!(format!("{:?}", Key([7; KEY_LEN])), "Key(…)");
    }
}
