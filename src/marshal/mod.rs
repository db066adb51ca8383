//! References to objects: proxies, which go anywhere, and local ones, which stay at home.

mod free;
mod future;
mod local;
mod owned;
mod packet;
mod parcel;
mod proxy;
mod reference;
mod table;
mod verbs;

pub use future::CallFuture;
pub use local::Local;
pub use packet::{Packet, Table, TablePacket};
pub use proxy::{Proxy, WeakProxy};
pub(crate) use reference::{Place, Reference};
pub use table::{Cookie, GlobalTable};
pub use verbs::With;
#[doc(hidden)]
pub use verbs::{Calls, call_method, post_method};
