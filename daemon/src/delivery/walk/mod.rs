//! Random walks over the delivery side, held to an oracle.

/// Tells what happens, where one walk is replayed.
macro_rules! tell {
    ($($what:tt)*) => {
        if std::env::var_os("HANDFAST_SEED").is_some() {
            println!($($what)*);
        }
    };
}

mod acts;
mod bounds;
mod emergencies;
mod inbox;
mod oracle;
mod quiet;
mod recipient;
mod rig;
mod source;
mod walks;
mod world;

pub(super) use emergencies::clinician;
pub(super) use recipient::Wire;
pub(super) use rig::{data_path, make as make_deployment};
