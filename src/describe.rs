//! How calls and apartments are spoken of: a call's kind, whom it asks for what, and who makes it.

use crate::id::{ApartmentId, ObjectId, ThreadId};
use crate::sync::Arc;
use std::fmt;
use std::panic::Location;

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallKind {
    /// The caller waits for the result (rule CK-1).
    Synchronous,
    /// A post, or a one-way method of an interface: the caller goes on (rule CK-2). While such a method is served in an STA,
    /// no synchronous call of its chain can go back to the apartment that sent it; a posted closure may call whom it likes.
    #[doc(alias = "asynchronous")]
    OneWay,
    /// The caller waits, and meanwhile serves other input-synchronized calls only. Delivered ahead of everything that is
    /// queued, without needing room, whatever the re-entrancy policy, and whatever the filter says; nothing else is
    /// dispatched while it is served, and no synchronous call can leave the apartment (rule CK-3). STAs make such calls
    /// to each other; the MTA has none.
    #[doc(alias = "input_sync")]
    InputSynchronized,
    /// Makes an object in the apartment; the caller waits.
    Create,
}

impl CallKind {
    /// Whether the caller goes on without waiting.
    pub fn is_one_way(self) -> bool {
        self == Self::OneWay
    }

    /// Whether a filter's answer counts (rule MF-4).
    pub(crate) fn can_be_rejected(self) -> bool {
        !matches!(self, Self::OneWay | Self::InputSynchronized)
    }
}

/// A method of an interface, as filters, errors and events name it.
#[doc(alias = "INTERFACEINFO")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Method {
    /// The interface's name, without its path.
    pub interface: &'static str,
    /// The method's name.
    pub name: &'static str,
    /// The how manieth of the interface it is, from 0 in the order in which they are declared. (COM counts the three of
    /// `IUnknown` before them.)
    #[doc(alias = "wMethod")]
    pub index: u16,
    /// How it is called.
    pub kind: CallKind,
}

impl Method {
    #[doc(hidden)]
    pub const fn new(interface: &'static str, name: &'static str, index: u16, kind: CallKind) -> Self {
        Self { interface, name, index, kind }
    }
}

/// What a destructor runs as.
pub(crate) static DROP: Method = Method::new("object", "drop", 0, CallKind::OneWay);

/// What a call asks for: the object, its type, and the method; a call by closure has no method's name and is known by
/// where it was made.
#[doc(alias = "INTERFACEINFO")]
#[derive(Clone, Copy, Debug)]
pub struct CallTarget {
    /// The object; none where the apartment itself is asked (an object is to be made).
    pub object: Option<ObjectId>,
    /// The object's type.
    pub type_name: &'static str,
    /// The interface's method; none for a call by closure.
    pub method: Option<&'static Method>,
    /// Where in the source the call was made.
    pub location: &'static Location<'static>,
}

impl fmt::Display for CallTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            Some(method) => write!(f, "`{}::{}` called at {}", method.interface, method.name, self.location),
            None => write!(f, "`{}` called at {}", short(self.type_name), self.location),
        }
    }
}

impl CallTarget {
    /// The method, or the type whose object a closure was called with.
    pub(crate) fn write_name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            Some(method) => write!(f, "{}::{}", method.interface, method.name),
            None => f.write_str(&short(self.type_name)),
        }
    }
}

/// A type's name without the paths of its parts: `RefCell<Table>` for `core::cell::RefCell<app::Table>`.
pub(crate) fn short(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut start = 0;
    for (at, c) in name.char_indices() {
        if !(c.is_alphanumeric() || c == '_' || c == ':') {
            out.push_str(last_segment(&name[start..at]));
            out.push(c);
            start = at + c.len_utf8();
        }
    }
    out.push_str(last_segment(&name[start..]));
    out
}

fn last_segment(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// Who makes a call: a thread, and the apartment it is in, if it is in one.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The thread.
    pub thread: ThreadId,
    /// The thread's apartment.
    pub apartment: Option<ApartmentName>,
}

/// An apartment's id and name, as filters, contexts and errors show it.
#[derive(Clone, Debug)]
pub struct ApartmentName {
    /// Unique within its process.
    pub id: ApartmentId,
    /// The name it was given; need not be unique.
    pub name: Arc<str>,
}

impl fmt::Display for ApartmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "apartment {:?}", self.name)
    }
}

/// What a waiting STA lets in (rule DI-12). Releases and input-synchronized calls come in under every policy.
#[doc(alias("STA", "ASTA"))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reentrancy {
    /// Calls from anyone: the callee and third parties. COM's own, and the default. A wait nested deeper than
    /// [`StaBuilder::nested_waits`](crate::StaBuilder::nested_waits) serves as `SameCausality` does.
    #[default]
    Classic,
    /// Only calls of the chains that are out; the others stay queued, in order. What Windows calls an application STA.
    SameCausality,
    /// Nothing else.
    None,
}

/// What a wait serves, besides releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Serves {
    /// Every call.
    Everything,
    /// Only calls of the chains that are out, and input-synchronized ones.
    Chain,
    /// Only input-synchronized calls: the wait is for one itself, or its apartment's policy lets in nothing else.
    InputSynchronized,
    /// Nothing, not even releases: the wait blocks.
    Nothing,
}

/// On which threads the objects of a class can live, as the class says of itself (rule CL-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThreadingModel {
    /// On one thread of the process: all its objects live in the main STA, and its factory runs there alone.
    #[doc(alias("main STA", "ThreadingModel none"))]
    Single,
    /// On an STA's thread, any STA's.
    #[doc(alias = "apartment-threaded")]
    Apartment,
    /// In the MTA.
    #[doc(alias = "free-threaded")]
    Free,
    /// Wherever its creator is.
    Both,
}

/// Where somebody is who makes an object of a class, seen from the class' process (rule CL-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Creator {
    /// In the main STA.
    MainSta,
    /// In another STA.
    Sta,
    /// In the MTA.
    Mta,
    /// In no apartment: an implicit thread of the MTA.
    ImplicitMta,
    /// In an apartment of another process: as in the MTA, but with nothing at home (rule AP-11).
    Foreign,
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn a_types_name_loses_the_paths_of_its_parts() {
        assert_eq!(short("core::cell::RefCell<app::Table>"), "RefCell<Table>");
        assert_eq!(short("(alloc::string::String, u8)"), "(String, u8)");
        assert_eq!(short("u8"), "u8");
    }
}
