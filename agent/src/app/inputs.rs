//! Makes the inputs that the configuration names.

use std::sync::Arc;

use handfast_proto::ids::OdsCode;

use crate::{
    codec::fhir::Codec,
    config::{Config, Input as Settings, InputKind},
    input::{DirectoryInput, DirectorySettings, FhirInput, FhirSettings, Input, InputContext},
};

/// Reads FHIR by the rules of the configuration.
pub(super) fn codec(config: &Config, unit: OdsCode) -> Arc<Codec> {
    let codec = Codec::new(config.codes.clone(), config.max_payload_bytes());
    Arc::new(codec.of_unit(unit))
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
