//! `handfast-agent enrol`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use anyhow::Context as _;
use handfast_proto::token::EnrolmentToken;
use zeroize::Zeroizing;

use super::{args::EnrolArgs, page};
use crate::enrol::{Enrolment, enrol as exchange};

/// Bytes of a token's file that are read; a token has about a hundred.
const MAX_TOKEN_BYTES: u64 = 4096;

pub(super) async fn enrol(args: EnrolArgs) -> anyhow::Result<()> {
    let text = match (args.token, &args.token_file) {
        (Some(token), _) => Zeroizing::new(token),
        (None, Some(file)) => read(file)?,
        (None, None) => anyhow::bail!("there is no token; say --token-file FILE"),
    };
    let token: EnrolmentToken = text.parse()?;
    let what = Enrolment {
        state_dir: args.state.state_dir.clone(),
        daemon: args.daemon,
        token,
        replace: args.replace,
    };
    let identity = exchange(what).await?;
    page::line(format!(
        "Enrolled as the agent of unit {}, until {} (it renews itself).\n\
         Next: handfast-agent run --state-dir {}",
        identity.unit(),
        page::moment(identity.not_after_ms()),
        args.state.state_dir.display()
    ))
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_TOKEN_BYTES).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|f| f.take(MAX_TOKEN_BYTES).read_to_string(&mut text))
    };
    read.with_context(|| format!("read the token from {}", path.display()))?;
    Ok(text)
}
