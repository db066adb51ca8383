//! Where an instance of a class lives: the table of rule CL-2.

use crate::describe::{Creator, ThreadingModel};
use crate::diagnose::Route;
use crate::process::Host;

/// In which apartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The creator's own.
    Here,
    /// Another, of which a host is made if there is none: the main STA, the MTA, the host STA.
    There(Host),
}

/// Where an instance goes, and how its creator reaches it. A thread in no apartment is in the MTA for the length of a call:
/// to it the MTA is another apartment, which it yet calls directly.
pub(super) fn place(creator: Creator, model: ThreadingModel) -> (At, Route) {
    use {Creator as C, ThreadingModel as M};
    match (creator, model) {
        (C::MainSta, M::Single | M::Apartment | M::Both) => (At::Here, Route::Direct),
        (C::Sta, M::Apartment | M::Both) => (At::Here, Route::Direct),
        (C::Mta, M::Free | M::Both) => (At::Here, Route::Direct),
        (C::ImplicitMta, M::Free | M::Both) => (At::There(Host::Mta), Route::Direct),
        (C::Sta | C::Mta | C::ImplicitMta | C::Foreign, M::Single) => (At::There(Host::Main), Route::Mailbox),
        (C::Mta | C::ImplicitMta | C::Foreign, M::Apartment) => (At::There(Host::Sta), Route::Mailbox),
        (C::MainSta | C::Sta | C::Foreign, M::Free) | (C::Foreign, M::Both) => (At::There(Host::Mta), Route::Mailbox),
    }
}
