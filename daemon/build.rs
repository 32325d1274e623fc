//! Builds the crate again where a migration was added: `sqlx::migrate!` reads the folders while compiling.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
