//! The demo: a small deployment, told step by step, shown live.

mod scene;
mod story;
mod view;

pub use story::tell;
