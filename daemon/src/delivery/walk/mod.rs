//! Random walks over the delivery side, held to an oracle.

mod acts;
mod inbox;
mod oracle;
mod recipient;
mod rig;
mod source;
mod walks;
mod world;
