//! What the expansions of `interface!` stand on: questions about types whose answers are types, and the journey of
//! arguments and results between two apartments.
//!
//! An expansion knows the types of a method's arguments by name only. Where it matters whether one is `Send`, or
//! `Marshal`, it asks the compiler: of two traits with a method of one name, the one that is implemented for `Kind<T>`
//! under the condition is found before the one that is implemented for `&Kind<T>` without it. The answer, [`Has`] or
//! [`Lacks`], is then required to be `Has` by a trait with an error message of ours, instead of requiring the condition
//! itself and having the compiler name it in its own words.

use super::marshal::{Marshal, Marshaller};
use crate::describe::Method;
use crate::error::CallError;
use crate::marshal::Calls;
use std::borrow::Borrow;
use std::marker::PhantomData;
use std::panic::{Location, resume_unwind};

/// Stands for a type.
pub struct Kind<T: ?Sized>(PhantomData<fn(&T)>);

impl<T: ?Sized> Kind<T> {
    /// The type of this value.
    pub fn of(_: &T) -> Self {
        Self(PhantomData)
    }
}

/// The type of what may be lent.
pub fn kind_in<T: ?Sized>(_: &Option<&T>) -> Kind<T> {
    Kind(PhantomData)
}

/// The type of what may be lent to be changed.
pub fn kind_in_mut<T: ?Sized>(_: &Option<&mut T>) -> Kind<T> {
    Kind(PhantomData)
}

impl<T: ?Sized> Clone for Kind<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Kind<T> {}

/// Yes.
#[derive(Clone, Copy)]
pub struct Has;

/// No.
#[derive(Clone, Copy)]
pub struct Lacks;

/// A question about a type: a trait that answers yes under the condition, and one that answers no.
macro_rules! question {
    ($ask:ident: $yes:ident, $no:ident for $t:ident: $($condition:tt)*) => {
        #[allow(missing_docs, reason = "as the question is")]
        pub trait $yes: Sized {
            fn $ask(self) -> Has {
                Has
            }
        }

        impl<$t: $($condition)*> $yes for Kind<$t> {}

        #[allow(missing_docs, reason = "as the question is")]
        pub trait $no: Sized {
            fn $ask(self) -> Lacks {
                Lacks
            }
        }

        impl<$t: ?Sized> $no for &Kind<$t> {}
    };
}

question!(sends: IsSend, IsNotSend for T: Send);
question!(marshals: IsMarshal, IsNotMarshal for T: Marshal);
/// A slice that is lent to be changed.
impl<T: Marshal> IsMarshal for Kind<[T]> {}

question!(lends_marshal: LendsMarshal, LendsNoMarshal for T: ToOwned<Owned: Marshal> + ?Sized);
question!(can_own: CanOwn, CannotOwn for T: ToOwned + ?Sized);
question!(converts: Converts, DoesNotConvert for E: From<CallError>);

/// What a method of an interface returns.
#[diagnostic::on_unimplemented(
    message = "a method of an interface returns a `Result`, and `{Self}` is none",
    label = "not a `Result`",
    note = "a call can fail on its way: return a `Result<_, E>` with an `E: From<CallError>`"
)]
pub trait MethodResult: Sized {
    /// What it gives.
    type Value;
    /// How it fails.
    type Error;

    /// A result that has failed.
    fn failed(error: Self::Error) -> Self;

    /// Its parts in their place.
    fn parts(&mut self) -> Result<&mut Self::Value, &mut Self::Error>;
}

impl<T, E> MethodResult for Result<T, E> {
    type Value = T;
    type Error = E;

    fn failed(error: E) -> Self {
        Err(error)
    }

    fn parts(&mut self) -> Result<&mut T, &mut E> {
        self.as_mut()
    }
}

/// The type of a result's value.
pub fn value_of<R: MethodResult>() -> Kind<R::Value> {
    Kind(PhantomData)
}

/// The type of a result's error.
pub fn error_of<R: MethodResult>() -> Kind<R::Error> {
    Kind(PhantomData)
}

/// What a one-way method gives.
#[diagnostic::on_unimplemented(
    message = "a one-way method returns `Result<(), E>`, and this one returns a `{Self}`",
    label = "nobody waits for this",
    note = "a one-way method's caller goes on at once: send the result by a call back, or let the method be synchronous"
)]
pub trait Nothing {
    /// The same.
    fn nothing() -> Self;
}

impl Nothing for () {
    fn nothing() -> Self {}
}

/// A one-way method's result, when it was sent.
pub fn sent<R: OneWayResult>() -> R {
    R::sent()
}

/// What a one-way method returns.
#[diagnostic::on_unimplemented(
    message = "a method of an interface returns a `Result`, and `{Self}` is none",
    label = "not a `Result`",
    note = "sending can fail: return a `Result<(), E>` with an `E: From<CallError>`"
)]
pub trait OneWayResult {
    /// It was sent.
    fn sent() -> Self;
}

impl<T: Nothing, E> OneWayResult for Result<T, E> {
    fn sent() -> Self {
        Ok(T::nothing())
    }
}

/// Whether an error can hold a `CallError`.
#[diagnostic::on_unimplemented(
    message = "the error type `{E}` cannot hold a `CallError`",
    label = "no `impl From<CallError> for {E}`",
    note = "a call can fail on its way, and the method's error says so: write `impl From<apartment::CallError> for {E}`"
)]
pub trait ErrorOf<E> {
    /// The call's error as the method's.
    fn convert(error: CallError) -> E;
}

impl<E: From<CallError>> ErrorOf<E> for Has {
    fn convert(error: CallError) -> E {
        error.into()
    }
}

/// The result of a call that failed on its way.
pub fn failed<R: MethodResult, K: ErrorOf<R::Error>>(error: CallError, _: K) -> R {
    R::failed(K::convert(error))
}

/// Whether an argument can go to another thread.
#[diagnostic::on_unimplemented(
    message = "an argument of type `{T}` cannot go to another apartment",
    label = "`{T}` is not `Send`",
    note = "a call runs on the object's thread: pass what is `Send`, and a `Proxy` for an object that has to stay"
)]
pub trait Argument<T> {
    /// The argument's type.
    type Sent;

    /// The same.
    fn sent(argument: T) -> Self::Sent;
}

impl<T> Argument<T> for Has {
    type Sent = T;

    fn sent(argument: T) -> T {
        argument
    }
}

/// An argument that can go to another thread.
pub fn argument<T, K: Argument<T>>(argument: T, _: K) -> K::Sent {
    K::sent(argument)
}

/// Whether a part of a result can come back from another thread.
#[diagnostic::on_unimplemented(
    message = "a result with a `{T}` cannot come back from another apartment",
    label = "`{T}` is not `Send`",
    note = "a call runs on the object's thread: return what is `Send`, and a `Proxy` for an object that has to stay"
)]
pub trait Returned<T> {}

impl<T> Returned<T> for Has {}

/// A result that can come back from another thread.
pub fn returned<R: MethodResult, V: Returned<R::Value>, E: Returned<R::Error>>(result: R, _: V, _: E) -> R {
    result
}

/// How a value crosses: its references marshalled, or as it is.
pub trait Travels<T: ?Sized> {
    /// Marshals what there is to marshal.
    fn travel(value: &mut T, with: &mut Marshaller) -> Result<(), CallError>;
}

impl<T: Marshal> Travels<T> for Has {
    fn travel(value: &mut T, with: &mut Marshaller) -> Result<(), CallError> {
        value.marshal_with(with)
    }
}

impl<T: Marshal> Travels<[T]> for Has {
    fn travel(values: &mut [T], with: &mut Marshaller) -> Result<(), CallError> {
        values.iter_mut().try_for_each(|value| value.marshal_with(with))
    }
}

impl<T: ?Sized> Travels<T> for Lacks {
    fn travel(_: &mut T, _: &mut Marshaller) -> Result<(), CallError> {
        Ok(())
    }
}

/// How the two parts of a result cross.
#[derive(Clone, Copy)]
pub struct Both<V, E>(pub V, pub E);

impl<R: MethodResult, V: Travels<R::Value>, E: Travels<R::Error>> Travels<R> for Both<V, E> {
    fn travel(result: &mut R, with: &mut Marshaller) -> Result<(), CallError> {
        match result.parts() {
            Ok(value) => V::travel(value, with),
            Err(error) => E::travel(error, with),
        }
    }
}

/// Something lent to a call.
pub trait Loan {
    /// What is lent.
    type Lent: ?Sized;

    /// What the method gets.
    fn lent(&self) -> &Self::Lent;

    /// Marshals the copy, if one was made.
    fn travel(&mut self, with: &mut Marshaller) -> Result<(), CallError>;
}

/// Lent as it is.
pub struct Plain<'a, T: ?Sized>(&'a T);

impl<T: ?Sized> Loan for Plain<'_, T> {
    type Lent = T;

    fn lent(&self) -> &T {
        self.0
    }

    fn travel(&mut self, _: &mut Marshaller) -> Result<(), CallError> {
        Ok(())
    }
}

/// Lent, or if it can hold references a copy of it: the caller's own stays as it is, where it is.
pub struct Copied<'a, T: ToOwned + ?Sized> {
    own: &'a T,
    copy: Option<T::Owned>,
}

impl<T: ToOwned<Owned: Marshal> + ?Sized> Loan for Copied<'_, T> {
    type Lent = T;

    fn lent(&self) -> &T {
        self.copy.as_ref().map_or(self.own, Borrow::borrow)
    }

    fn travel(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        self.copy.as_mut().map_or(Ok(()), |copy| copy.marshal_with(with))
    }
}

/// How something is lent.
pub trait Lends<'a, T: ?Sized + 'a> {
    /// What keeps it.
    type Loan: Loan<Lent = T>;

    /// Lends it.
    fn lend(own: &'a T) -> Self::Loan;
}

impl<'a, T: ToOwned<Owned: Marshal> + ?Sized + 'a> Lends<'a, T> for Has {
    type Loan = Copied<'a, T>;

    fn lend(own: &'a T) -> Copied<'a, T> {
        let copy = <T::Owned as Marshal>::REFERENCES.then(|| own.to_owned());
        Copied { own, copy }
    }
}

impl<'a, T: ?Sized + 'a> Lends<'a, T> for Lacks {
    type Loan = Plain<'a, T>;

    fn lend(own: &'a T) -> Plain<'a, T> {
        Plain(own)
    }
}

/// Lends an argument.
pub fn lend<'a, T: ?Sized, K: Lends<'a, T>>(own: &'a T, _: K) -> K::Loan {
    K::lend(own)
}

/// Lends an argument, if there is one.
pub fn lend_or_not<'a, T: ?Sized, K: Lends<'a, T>>(own: Option<&'a T>, _: K) -> Option<K::Loan> {
    own.map(K::lend)
}

/// How a one-way method comes to own what it is lent.
#[diagnostic::on_unimplemented(
    message = "a one-way method cannot be lent a `{T}`",
    label = "`{T}` cannot be copied",
    note = "a one-way method's caller does not wait, so what it lends is copied: pass it by value, or let it be `Clone`"
)]
pub trait Owns<T: ?Sized> {
    /// What it owns.
    type Owned;

    /// Copies it.
    fn own(lent: &T) -> Self::Owned;
}

impl<T: ToOwned + ?Sized> Owns<T> for Has {
    type Owned = T::Owned;

    fn own(lent: &T) -> T::Owned {
        lent.to_owned()
    }
}

/// Copies an argument.
pub fn own<T: ?Sized, K: Owns<T>>(lent: &T, _: K) -> K::Owned {
    K::own(lent)
}

/// Copies an argument, if there is one.
pub fn own_or_not<T: ?Sized, K: Owns<T>>(lent: Option<&T>, _: K) -> Option<K::Owned> {
    lent.map(K::own)
}

/// Values on their way out of one apartment, or into one.
pub struct Journey {
    with: Marshaller,
    result: Result<(), CallError>,
}

impl Journey {
    /// Out of the calling thread's apartment.
    pub fn leaving() -> Self {
        Self { with: Marshaller::leaving(), result: Ok(()) }
    }

    /// Into it.
    pub fn arriving() -> Self {
        Self { with: Marshaller::arriving(), result: Ok(()) }
    }

    /// Back from where the caller's object lives, into the calling thread's apartment.
    pub fn back<I: ?Sized>(caller: &impl Calls<I>) -> Self {
        Self { with: Marshaller::back_from(caller.proxy().reference()), result: Ok(()) }
    }

    /// Takes a value along. All go, even if one fails: what has arrived is to be used in any case.
    pub fn take<T: ?Sized, K: Travels<T>>(&mut self, _: K, value: &mut T) {
        let result = K::travel(value, &mut self.with);
        self.note(result);
    }

    /// Takes along what is lent to be changed, if anything is.
    pub fn take_or_not<T: ?Sized, K: Travels<T>>(&mut self, kind: K, value: &mut Option<&mut T>) {
        if let Some(value) = value {
            self.take(kind, &mut **value);
        }
    }

    /// Takes along what is lent.
    pub fn lend(&mut self, loan: &mut impl Loan) {
        let result = loan.travel(&mut self.with);
        self.note(result);
    }

    /// Takes along what is lent, if anything is.
    pub fn lend_or_not(&mut self, loan: &mut Option<impl Loan>) {
        if let Some(loan) = loan {
            self.lend(loan);
        }
    }

    fn note(&mut self, result: Result<(), CallError>) {
        if self.result.is_ok() {
            self.result = result;
        }
    }

    /// The first failure.
    pub fn done(self) -> Result<(), CallError> {
        self.result
    }
}

/// The arguments of a one-way method could not arrive. Nobody waits to hear of it, so it is reported as a panic in the
/// method would be (rule MB-8).
pub fn not_in(error: CallError) -> ! {
    resume_unwind(Box::new(format!("its arguments could not arrive: {error}")))
}

/// What came of a call that reached its callee.
pub enum Came<R> {
    /// The method's result.
    Back(R),
    /// The arguments could not arrive: the method has not run.
    NotIn(CallError),
    /// It has run; what it gives cannot leave.
    NotOut(CallError),
}

/// What a call gives in the end: its result, which has come back, or how it failed on its way.
#[track_caller]
pub fn answer<I: ?Sized + 'static, C: Calls<I>, R: MethodResult, T: Travels<R>, K: ErrorOf<R::Error>>(
    caller: &C,
    method: &'static Method,
    sent: Result<Came<R>, CallError>,
    mut journey: Journey,
    travels: T,
    converts: K,
) -> R {
    // Of a method that has run, the error of a reference must not say that it has not (rule CA-4).
    let location = Location::caller();
    let cannot =
        |error| CallError::server_cant_marshal(caller.proxy().reference().target::<I>(Some(method), location), error);
    let came = sent.and_then(|came| match came {
        Came::Back(mut result) => {
            journey.take(travels, &mut result);
            journey.done().map(|()| result).map_err(cannot)
        }
        Came::NotIn(error) => Err(error),
        Came::NotOut(error) => Err(cannot(error)),
    });
    came.unwrap_or_else(|error| failed(error, converts))
}
