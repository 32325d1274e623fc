//! Makes the inputs that the configuration names.

use std::sync::Arc;

use crate::{
    codec::fhir::Codec,
    config::{Config, Input as Settings, InputKind},
    input::{DirectoryInput, DirectorySettings, FhirInput, FhirSettings, Input, InputContext},
};

/// Reads FHIR by the rules of the configuration.
pub(super) fn codec(config: &Config) -> Arc<Codec> {
    Arc::new(Codec::new(config.codes.clone(), config.max_payload_bytes()))
}

/// Makes one input; folders are made and addresses listened on.
pub(super) async fn open(settings: &Settings, ctx: InputContext) -> anyhow::Result<Box<dyn Input>> {
    Ok(match &settings.kind {
        InputKind::Directory { path, settle } => {
            let settings = DirectorySettings {
                path: path.clone(),
                settle: *settle,
            };
            Box::new(DirectoryInput::open(settings, ctx)?)
        }
        InputKind::Fhir(fhir) => {
            let input = FhirInput::bind(FhirSettings { listen: fhir.listen }, ctx).await?;
            tracing::info!(input = settings.name, address = %input.local_addr()?, "listening for FHIR");
            Box::new(input)
        }
    })
}
