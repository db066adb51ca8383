//! References to objects: proxies, which go anywhere, and local ones, which stay at home.

mod local;
mod proxy;
mod verbs;

pub use local::Local;
pub use proxy::{Proxy, WeakProxy};
pub use verbs::With;
