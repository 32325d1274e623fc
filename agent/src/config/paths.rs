//! Checks of what settings point at: folders, files and addresses, each alone and beside one another.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use crate::codec::fhir::PrivateCodes;

/// Bytes of a list of private codes: room for 100,000 of them.
const MAX_CODES_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A folder that is there and can be read, listed and written; absolute and without symbolic links.
pub(super) fn usable_folder(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    let real = fs::canonicalize(path)
        .map_err(|e| format!("the folder {shown} cannot be used: {e}; create it, or correct the path"))?;
    if !real.is_dir() {
        return Err(format!("{shown} is not a folder"));
    }
    access(&real, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).map_err(|e| {
        format!("the folder {shown} cannot be read and written by this user: {e}; correct its owner or mode")
    })?;
    Ok(real)
}

/// A file that can be read; absolute.
pub(super) fn readable_file(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    let opened = File::open(path).and_then(|file| file.metadata());
    match opened {
        Ok(meta) if meta.is_file() => {
            std::path::absolute(path).map_err(|e| format!("the file {shown} cannot be found: {e}"))
        }
        Ok(_) => Err(format!("{shown} is not a file")),
        Err(e) => Err(format!("the file {shown} cannot be read: {e}")),
    }
}

/// A list of private codes, and where it is; absolute.
pub(super) fn private_codes(path: &Path) -> Result<(PathBuf, PrivateCodes), String> {
    let path = readable_file(path)?;
    let shown = path.display();
    let size = fs::metadata(&path).map_or(0, |meta| meta.len());
    if size > MAX_CODES_FILE_BYTES {
        return Err(format!(
            "{shown} has {size} bytes; at most {MAX_CODES_FILE_BYTES} are read"
        ));
    }
    let text = fs::read_to_string(&path).map_err(|e| format!("the file {shown} cannot be read: {e}"))?;
    let codes = PrivateCodes::from_toml(&text).map_err(|e| format!("{shown}: {e}"))?;
    Ok((path, codes))
}

/// A FHIR server's base URL, without a slash at the end.
pub(super) fn base_url(text: &str, allow_plaintext: bool) -> Result<String, String> {
    let expected =
        || format!("expected https://HOST[:PORT][/PATH] such as \"https://fhir.example/R4\", found {text:?}");
    let uri: http::Uri = text.parse().map_err(|_| expected())?;
    let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(expected)?;
    if uri.query().is_some() || uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(format!(
            "{}; a password belongs into credentials_file",
            "expected no query and no user in the address"
        ));
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if allow_plaintext || is_loopback(host) => {}
        Some("http") => {
            return Err(
                "it would send patients' records unencrypted to another machine; use https://, or write \
                 allow_plaintext = true where the network itself is protected"
                    .to_owned(),
            );
        }
        _ => return Err(expected()),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What connectors use already, by the title of the table that uses it.
pub(super) struct Taken {
    state_dir: Option<PathBuf>,
    inputs: Vec<(PathBuf, String)>,
    outputs: Vec<(PathBuf, String)>,
    listens: BTreeMap<SocketAddr, String>,
    servers: BTreeMap<String, String>,
}

impl Taken {
    pub(super) fn new(state_dir: Option<&Path>) -> Self {
        Self {
            state_dir: state_dir.map(|dir| fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned())),
            inputs: Vec::new(),
            outputs: Vec::new(),
            listens: BTreeMap::new(),
            servers: BTreeMap::new(),
        }
    }

    /// An input's folder must overlap with no other folder: what one takes, another must not see.
    pub(super) fn input(&mut self, path: &Path, title: &str) -> Result<(), String> {
        self.not_state(path)?;
        overlap(path, &self.inputs, "takes files from")?;
        self.inputs.push((path.to_owned(), title.to_owned()));
        Ok(())
    }

    /// An output's folder must overlap with no other: what is written would come back as this unit's own.
    pub(super) fn output(&mut self, path: &Path, title: &str) -> Result<(), String> {
        self.not_state(path)?;
        overlap(path, &self.inputs, "takes files from")?;
        overlap(path, &self.outputs, "writes to")?;
        self.outputs.push((path.to_owned(), title.to_owned()));
        Ok(())
    }

    pub(super) fn listen(&mut self, addr: SocketAddr, title: &str) -> Result<(), String> {
        // Port 0 is any free port, a different one each time.
        match self.listens.insert(addr, title.to_owned()) {
            Some(other) if addr.port() != 0 => Err(format!("{other} listens on {addr} already")),
            _ => Ok(()),
        }
    }

    pub(super) fn server(&mut self, url: &str, title: &str) -> Result<(), String> {
        match self.servers.insert(url.to_owned(), title.to_owned()) {
            Some(other) => Err(format!("{other} writes to {url} already")),
            None => Ok(()),
        }
    }

    fn not_state(&self, path: &Path) -> Result<(), String> {
        match &self.state_dir {
            Some(state_dir) if nested(path, state_dir) => Err(format!(
                "{} and the agent's state folder {} lie within one another; keep them apart",
                path.display(),
                state_dir.display()
            )),
            _ => Ok(()),
        }
    }
}

fn overlap(path: &Path, taken: &[(PathBuf, String)], does: &str) -> Result<(), String> {
    match taken.iter().find(|(other, _)| nested(path, other)) {
        Some((other, title)) if other == path => Err(format!("{title} {does} {} already", path.display())),
        Some((other, title)) => Err(format!(
            "{} lies within one another with {}, which {title} {does}; keep them apart",
            path.display(),
            other.display()
        )),
        None => Ok(()),
    }
}

fn nested(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}
