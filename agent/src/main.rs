//! The agent's command.

fn main() {}
