//! Random walks over the delivery side, and the oracle that holds it to the promises.

mod recipient;
mod world;
