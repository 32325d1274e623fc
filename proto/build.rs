//! Compiles the .proto files with protox, so that no `protoc` is needed on the machine.

use std::{env, fs, io, path::PathBuf};

use prost::Message as _;

const FILES: &[&str] = &[
    "handfast/v1/sync.proto",
    "handfast/v1/enrolment.proto",
    "handfast/v1/unit.proto",
    "handfast/v1/agreement.proto",
    "handfast/v1/patient_consent.proto",
    "handfast/v1/audit.proto",
    "handfast/v1/audit_log.proto",
    "handfast/v1/tree_head.proto",
    "handfast/v1/emergency.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    fs::write(out.join("handfast.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::codec::SmallBuffers")
        .compile_fds(descriptors)?;
    Ok(())
}
