//! The inbox on a real file.

mod absent;
mod clinicians;
mod emergencies;
mod heads;
mod jobs;
mod migration;
mod residue;
mod rules;
mod support;
mod unheld;
mod withdrawals;
