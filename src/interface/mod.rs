//! Interfaces: one trait for both ends, declared by macros, and what their methods do with references.

pub(crate) mod expand;
mod marshal;

/// Makes interfaces: traits that a reference implements as well as the object, so that code which asks for the trait
/// cannot tell them apart.
///
/// ```
/// use apartment::{CallError, Proxy, Sta, implements, interface};
/// use std::cell::Cell;
/// use std::time::Duration;
///
/// interface! {
///     /// Attributes and documentation are the trait's own.
///     pub trait Counter {
///         fn add(&self, many: u32) -> Result<u32, CallError>;
///
///         /// What is borrowed is not copied.
///         fn name_is(&self, name: &str) -> Result<bool, CallError>;
///     }
///
///     pub trait Owner {
///         /// References arrive as references that work there.
///         fn own(&self, counter: &Proxy<dyn Counter>) -> Result<(), CallError>;
///     }
/// }
///
/// struct Votes(Cell<u32>);                       // what changes is in a cell: methods take `&self`
///
/// impl Counter for Votes {
///     fn add(&self, many: u32) -> Result<u32, CallError> {
///         self.0.set(self.0.get() + many);
///         Ok(self.0.get())
///     }
///     fn name_is(&self, name: &str) -> Result<bool, CallError> {
///         Ok(name == "votes")
///     }
/// }
/// implements!(Votes: dyn Counter);
///
/// fn twice(counter: &impl Counter) -> Result<u32, CallError> {
///     counter.add(1)?;
///     counter.add(1)
/// }
///
/// let home = Sta::spawn("home")?;
/// let counter: Proxy<dyn Counter> = home.create(|| Votes(Cell::new(0)))?.cast();
/// assert_eq!(twice(&counter)?, 2);                                       // there
/// assert_eq!(twice(&Votes(Cell::new(0)))?, 2);                           // here
/// assert_eq!(twice(&counter.within(Duration::from_secs(5)))?, 4);        // with a deadline for each call
/// assert!(counter.name_is(&String::from("votes"))?);
/// # Ok::<(), apartment::Error>(())
/// ```
///
/// # What it makes of a trait
///
/// The trait, as it is written. For [`Proxy<dyn Counter>`](Proxy), and for one with options
/// ([`with`](Proxy::with), [`within`](Proxy::within)), an implementation whose methods call the object as
/// [`Proxy::call`] does: they wait for the reply, an STA pumps meanwhile, and at home they are direct. And for
/// `dyn Counter` what [`implements!`](crate::implements!), [`cast`](Proxy::cast) and [`query`](Proxy::query) ask for
/// ([`InterfaceOf`](crate::InterfaceOf)); so the interface may be in one crate, its objects in others, and their users in
/// still others. The macros call this crate `::apartment`.
///
/// A proxy's own methods come before an interface's of the same name (`call`, `post`, `query` …); one that is hidden so is
/// reached by its path, `Counter::query(&proxy)`. A provided method's body is what objects run which have no other: a
/// proxy calls it like any other method. Methods and the trait may be under a `cfg`; the indices that filters and events
/// tell ([`Method`](crate::Method)) count all that are written.
///
/// # What a method may be
///
/// - It takes `&self`, for its object may be called again while it waits (rule DI-13); it has no type parameters, is not
///   `async`, and `Self` is named nowhere else. An interface has no super-traits, no parameters and no items but methods.
/// - It returns a `Result` (or an alias) whose error can be made from a [`CallError`](crate::CallError): a call can fail on
///   its way. `?` then does the rest.
/// - Its arguments are [`Send`], and may borrow from the caller: the call does not return before the callee has let go
///   (rule CK-5). So are its value and its error, which may borrow from arguments and not from the object.
/// - References to objects in arguments and results, in values that are [`trait@Marshal`] too, arrive as working references
///   (rule CK-6). A value of a type that can hold references is copied where it is lent; what is changed through `&mut` is
///   marshalled both ways. If an argument cannot leave, the call fails before anything is sent, with the reason; if a
///   result cannot, with `ServerCantMarshal`. An argument from which the result borrows, or another argument, crosses as it is.
///
/// # Kinds
///
/// ```
/// # use apartment::{CallError, interface};
/// interface! {
///     pub trait View {
///         fn text(&self) -> Result<String, CallError>;
///         fn changed(&self, line: &str) -> Result<(), CallError> as one_way;
///         fn focus(&self) -> Result<bool, CallError> as input_sync;
///     }
/// }
/// ```
///
/// - A plain method is a synchronous call (rule CK-1).
/// - `as one_way` is a one-way call (rule CK-2): the caller goes on, having learnt only whether it could be sent. It does
///   not wait, not even for room unless its options say so, and of its options it takes what a post does. The method owns
///   what it gets, so what is lent to it is copied. It returns `Result<(), E>`; an error of the object's is nobody's: there
///   is no one to hear it. While it is served, a synchronous call back to its sender is refused.
/// - `as input_sync` is an input-synchronized call (rule CK-3): delivered ahead of everything queued, it cannot be
///   rejected, and may not call out.
///
/// # Errors
///
/// Those of [`Proxy::call`] or [`Proxy::post`], as the method's error.
#[doc(alias("IDL", "interface proxy", "stub", "async_uuid", "input_sync"))]
#[doc(inline)]
pub use apartment_macros::interface;

/// Declares what a type answers to: once, where the type is (rule MA-5).
///
/// ```
/// use apartment::{CallError, Proxy, Sta, implements, interface};
///
/// interface! {
///     pub trait Sheet {
///         fn cell(&self, name: &str) -> Result<f64, CallError>;
///     }
///     pub trait Persist {
///         fn save(&self) -> Result<usize, CallError>;
///     }
///     pub trait Print {
///         fn print(&self) -> Result<(), CallError>;
///     }
/// }
///
/// struct Workbook(f64);
///
/// impl Sheet for Workbook {
///     fn cell(&self, _: &str) -> Result<f64, CallError> {
///         Ok(self.0)
///     }
/// }
/// impl Persist for Workbook {
///     fn save(&self) -> Result<usize, CallError> {
///         Ok(1)
///     }
/// }
/// implements!(Workbook: dyn Sheet, dyn Persist);
///
/// let home = Sta::spawn("home")?;
/// let book = home.create(|| Workbook(1.5))?;
/// let sheet: Proxy<dyn Sheet> = book.cast();                             // known to the compiler
/// assert_eq!(sheet.query::<dyn Persist>()?.save()?, 1);                  // asked at run time
/// assert!(matches!(sheet.query::<dyn Print>(), Err(CallError::NoInterface { .. })));
/// assert!(sheet == book && sheet.query::<Workbook>()? == book);          // one object (rule LT-7)
/// # Ok::<(), apartment::Error>(())
/// ```
///
/// The type is one of the crate's own: one of another crate is wrapped. With type parameters, each instance that is needed
/// is declared (`implements!(Table<u8>: dyn Sheet);`). An interface may be under a `cfg`
/// (`implements!(Workbook: dyn Sheet, #[cfg(windows)] dyn Print);`). A type that answers to nothing but its own name can say so, too:
/// `implements!(Workbook);`.
///
/// To be made, an object's type needs no declaration; [`cast`](Proxy::cast) and [`query`](Proxy::query) ask for it.
#[doc(alias = "QueryInterface")]
#[doc(inline)]
pub use apartment_macros::implements;

/// Implements the trait [`Marshal`](trait@Marshal) for a struct or an enum, whose fields must be `Marshal`, or have
/// `#[marshal(skip)]`: they hold no references to objects. Type parameters must be `Marshal`.
#[doc(inline)]
pub use apartment_macros::Marshal;
pub use marshal::{Marshal, Marshaller};

#[cfg(doc)]
use crate::marshal::Proxy;
