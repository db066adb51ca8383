//! References to objects: proxies, which go anywhere, and local ones, which stay at home.

mod free;
mod local;
mod proxy;
mod reference;
mod verbs;

pub use local::Local;
pub use proxy::{Proxy, WeakProxy};
pub(crate) use reference::Reference;
pub use verbs::With;
#[doc(hidden)]
pub use verbs::{Calls, call_method, post_method};
