//! Objects on disk, one JSON file each, replaced atomically: the durable half of the catalogue.
//!
//! Not a database: a few hundred small files that change when an administrator acts.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::Error;

const SUFFIX: &str = ".json";
const SUFFIX_UNFINISHED: &str = ".unfinished";

/// A directory of objects of one kind. Names must be fit for file names; the caller has validated them.
#[derive(Debug)]
pub(crate) struct ObjectDir {
    dir: PathBuf,
}

impl ObjectDir {
    /// Opens the directory, creating it if it is missing.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
        Ok(Self { dir })
    }

    /// Reads all objects. Files that a crash left unfinished are removed; they were never acknowledged.
    pub(crate) fn read_all<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>, Error> {
        let mut objects = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(Error::file("read", &self.dir))? {
            let path = entry.map_err(Error::file("read", &self.dir))?.path();
            let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if file_name.ends_with(SUFFIX_UNFINISHED) {
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            } else if let Some(name) = file_name.strip_suffix(SUFFIX) {
                let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
                let object = serde_json::from_slice(&bytes).map_err(|source| Error::Metadata { path: path.clone(), source })?;
                objects.push((name.to_owned(), object));
            }
        }
        Ok(objects)
    }

    /// Writes an object durably, in place of an older one of the same name.
    pub(crate) fn write<T: Serialize>(&self, name: &str, object: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(object)?;
        write_atomically(&self.dir.join(format!("{name}{SUFFIX}")), &bytes)
    }

    /// Removes an object durably; it is no error if it does not exist.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.dir.join(format!("{name}{SUFFIX}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_dir(&self.dir),
        }
    }
}

/// Replaces a file so that after a crash it holds either the old bytes or the new ones.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(SUFFIX_UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the creation, renaming and removal of files in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
