#![doc = include_str!("README.md")]

mod ban;
mod context;
mod direct;
mod disconnect;
mod end;
mod entered;
mod free;
mod handle;
mod hook;
mod invoke;
mod make;
mod mta;
mod options;
mod outgoing;
mod pool;
mod post;
mod retry;
mod serve;
mod sta;
mod wait;

pub use context::{CallContext, Current, Kind, current, current_call, is_cancelled};
pub(crate) use disconnect::disconnect;
pub use end::register_end_handler;
pub use entered::{Entered, EnteredMta};
pub(crate) use free::{invoke_free, send_free};
pub use handle::Apartment;
pub(crate) use handle::give_back;
pub(crate) use invoke::{Terms, invoke};
pub(crate) use make::{keep_at_home, keep_shared, make_from};
pub use mta::{Mta, MtaBuilder, MtaUsage};
pub use options::{CallOptions, PostOptions};
pub(crate) use post::send;
pub(crate) use serve::Situation;
pub use serve::register_filter;
pub use sta::{Sta, StaBuilder};
pub(crate) use wait::wait;
