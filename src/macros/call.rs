//! How a proxy makes a call of an interface's method.

use crate::at;
use crate::interface::is_cfg;
use crate::method::{Kind, Method, Way};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Signature, Type};

impl Method {
    /// Names of ours for the arguments.
    fn argument_names(&self) -> Vec<Ident> {
        (0..self.arguments().count()).map(|n| format_ident!("argument_{n}", span = at(&self.signature.ident))).collect()
    }

    /// A name of ours for what makes the call: the method's own may be something's that its types name.
    fn body_name(&self) -> Ident {
        format_ident!("__{}", self.signature.ident.unraw(), span = at(&self.signature.ident))
    }

    /// The proxy's method, which hands its arguments to `body`.
    pub(crate) fn forward(&self) -> TokenStream {
        let cfg = self.attributes.iter().filter(is_cfg);
        let (names, types, body) = (self.argument_names(), self.arguments(), self.body_name());
        let Signature { ident, generics, output, .. } = &self.signature;
        let clause = &generics.where_clause;
        quote_spanned! {at(ident)=>
            #(#cfg)*
            #[track_caller]
            fn #ident #generics (&self, #(#names: #types),*) #output #clause {
                #body(self, #(#names),*)
            }
        }
    }

    /// The function that makes a call of it, whatever it is called through.
    pub(crate) fn body(&self, interface: &Ident, label: &str, index: u16) -> TokenStream {
        let cfg = self.attributes.iter().filter(is_cfg);
        let (names, types): (_, Vec<_>) = (self.argument_names(), self.arguments().collect());
        let body = self.body_name();
        let Signature { ident, generics, output, .. } = &self.signature;
        let (lifetimes, clause) = (&generics.params, &generics.where_clause);
        let comma = (!lifetimes.is_empty() && !lifetimes.trailing_punct()).then(|| quote!(,));
        let name = ident.unraw().to_string();
        let kind = match self.kind {
            Kind::Synchronous => quote!(Synchronous),
            Kind::OneWay => quote!(OneWay),
            Kind::InputSynchronized => quote!(InputSynchronized),
        };
        let sends = match self.kind {
            Kind::OneWay => self.sends_off(interface, &names, &types),
            _ => self.sends_and_waits(interface, &names, &types),
        };
        quote_spanned! {at(ident)=>
            #(#cfg)*
            #[track_caller]
            fn #body<#lifetimes #comma __C: __p::Calls<dyn #interface + 'static>>(
                caller: &__C,
                #(#names: #types),*
            ) #output #clause {
                use __p::{CanOwn as _, CannotOwn as _, Converts as _, IsMarshal as _, IsSend as _, LendsMarshal as _};
                use __p::{DoesNotConvert as _, IsNotMarshal as _, IsNotSend as _, LendsNoMarshal as _};
                static __METHOD: __p::Method = __p::Method::new(#label, #name, #index, __p::CallKind::#kind);
                #sends
            }
        }
    }

    /// Marshals the arguments, calls, marshals what comes back. The caller's side and the callee's are one function: the
    /// closure is what runs at the callee.
    fn sends_and_waits(&self, interface: &Ident, names: &[Ident], types: &[&Type]) -> TokenStream {
        let (mut prepare, mut travel, mut change) = (TokenStream::new(), TokenStream::new(), TokenStream::new());
        let mut given = Vec::new();
        for (name, ty) in names.iter().zip(types) {
            let (kind, span) = (format_ident!("{name}_kind"), at(*ty));
            // All is asked before the answers are required to be this or that: what follows a mistake has no type.
            let (ask, lend, take, give) = match self.way(ty) {
                Way::Owned => (
                    Some(quote_spanned!(span=> __p::Kind::of(&#name).marshals())),
                    None,
                    Some(quote_spanned!(span=> take(&mut journey, #kind, &mut #name))),
                    quote_spanned!(span=> #name),
                ),
                Way::AsItIs => (None, None, None, quote_spanned!(span=> #name)),
                Way::Lent(_) => (
                    Some(quote_spanned!(span=> __p::Kind::of(#name).lends_marshal())),
                    Some(quote_spanned!(span=> __p::lend(#name, #kind))),
                    Some(quote_spanned!(span=> lend(&mut journey, &mut #name))),
                    quote_spanned!(span=> __p::Loan::lent(&#name)),
                ),
                Way::LentOrNot(_) => (
                    Some(quote_spanned!(span=> __p::kind_in(&#name).lends_marshal())),
                    Some(quote_spanned!(span=> __p::lend_or_not(#name, #kind))),
                    Some(quote_spanned!(span=> lend_or_not(&mut journey, &mut #name))),
                    quote_spanned!(span=> ::core::option::Option::as_ref(&#name).map(__p::Loan::lent)),
                ),
                Way::Changed => {
                    change.extend(quote_spanned!(span=> __p::Journey::take(&mut journey, #kind, &mut *#name);));
                    (
                        Some(quote_spanned!(span=> __p::Kind::of(&*#name).marshals())),
                        None,
                        Some(quote_spanned!(span=> take(&mut journey, #kind, &mut *#name))),
                        quote_spanned!(span=> &mut *#name),
                    )
                }
                Way::ChangedOrNot => {
                    change.extend(quote_spanned!(span=> __p::Journey::take_or_not(&mut journey, #kind, &mut #name);));
                    (
                        Some(quote_spanned!(span=> __p::kind_in_mut(&#name).marshals())),
                        None,
                        Some(quote_spanned!(span=> take_or_not(&mut journey, #kind, &mut #name))),
                        // Not `as_deref_mut`: what is lent here is lent for less long, and so is a `dyn` with it.
                        quote_spanned! {span=>
                            match &mut #name {
                                ::core::option::Option::Some(lent) => ::core::option::Option::Some(&mut **lent),
                                ::core::option::Option::None => ::core::option::Option::None,
                            }
                        },
                    )
                }
            };
            let ask = ask.map(|ask| quote_spanned!(span=> let #kind = #ask;));
            let lend = lend.map(|lend| quote_spanned!(span=> let mut #name = #lend;));
            prepare.extend(quote_spanned! {span=>
                #ask
                let sends = __p::Kind::of(&#name).sends();
                let mut #name = __p::argument(#name, sends);
                #lend
            });
            travel.extend(take.map(|take| quote_spanned!(span=> __p::Journey::#take;)));
            given.push(give);
        }
        let method = &self.signature.ident;
        let result = self.result();
        let span = result.map_or_else(|| at(method), at);
        let back = match change.is_empty() {
            true => quote_spanned!(span=> let journey = __p::Journey::arriving();),
            false => quote_spanned!(span=> let mut journey = __p::Journey::back(caller); #change),
        };
        quote_spanned! {span=>
            let value = __p::value_of::<#result>();
            let error = __p::error_of::<#result>();
            let travels = __p::Both(value.marshals(), error.marshals());
            #prepare
            let mut journey = __p::Journey::leaving();
            #travel
            let sent = match journey.done() {
                ::core::result::Result::Ok(()) => __p::call(caller, &__METHOD, |object: &(dyn #interface + 'static)| {
                    let mut journey = __p::Journey::arriving();
                    #travel
                    if let ::core::result::Result::Err(error) = journey.done() {
                        return __p::Came::NotIn(error);
                    }
                    let mut result = <dyn #interface as #interface>::#method(object, #(#given),*);
                    let mut journey = __p::Journey::leaving();
                    #change
                    __p::Journey::take(&mut journey, travels, &mut result);
                    match journey.done() {
                        ::core::result::Result::Ok(()) => {
                            __p::Came::Back(__p::returned(result, value.sends(), error.sends()))
                        }
                        ::core::result::Result::Err(error) => __p::Came::NotOut(error),
                    }
                }),
                // Nothing was sent: what is to be changed is as it was, where it was.
                ::core::result::Result::Err(error) => {
                    return __p::failed::<#result, _>(error, __p::error_of::<#result>().converts());
                }
            };
            #back
            __p::answer::<dyn #interface + 'static, __C, #result, _, _>(
                caller, &__METHOD, sent, journey, travels, error.converts(),
            )
        }
    }

    /// Marshals the arguments, of which it owns all, and posts them.
    fn sends_off(&self, interface: &Ident, names: &[Ident], types: &[&Type]) -> TokenStream {
        let (mut prepare, mut travel, mut given) = (TokenStream::new(), TokenStream::new(), Vec::new());
        for (name, ty) in names.iter().zip(types) {
            let (kind, span) = (format_ident!("{name}_kind"), at(*ty));
            match self.way(ty) {
                Way::Lent(reference) => {
                    let lent = &reference.elem;
                    prepare.extend(quote_spanned! {span=>
                        let can_own = __p::Kind::of(#name).can_own();
                        let #name = __p::own(#name, can_own);
                    });
                    given.push(quote_spanned!(span=> ::core::borrow::Borrow::<#lent>::borrow(&#name)));
                }
                Way::LentOrNot(reference) => {
                    let lent = &reference.elem;
                    prepare.extend(quote_spanned! {span=>
                        let can_own = __p::kind_in(&#name).can_own();
                        let #name = __p::own_or_not(#name, can_own);
                    });
                    let name = quote_spanned!(span=> ::core::option::Option::as_ref(&#name));
                    given.push(quote_spanned!(span=> #name.map(::core::borrow::Borrow::<#lent>::borrow)));
                }
                Way::Owned | Way::AsItIs | Way::Changed | Way::ChangedOrNot => {
                    given.push(quote_spanned!(span=> #name));
                }
            }
            prepare.extend(quote_spanned! {span=>
                let #kind = __p::Kind::of(&#name).marshals();
                let sends = __p::Kind::of(&#name).sends();
                let mut #name = __p::argument(#name, sends);
            });
            travel.extend(quote_spanned!(span=> __p::Journey::take(&mut journey, #kind, &mut #name);));
        }
        let method = &self.signature.ident;
        let result = self.result();
        let span = result.map_or_else(|| at(method), at);
        quote_spanned! {span=>
            #prepare
            let mut journey = __p::Journey::leaving();
            #travel
            let sent = match journey.done() {
                ::core::result::Result::Ok(()) => __p::post(caller, &__METHOD, move |object: &(dyn #interface + 'static)| {
                    let mut journey = __p::Journey::arriving();
                    #travel
                    if let ::core::result::Result::Err(error) = journey.done() {
                        __p::not_in(error);
                    }
                    // Nobody waits for what comes of it.
                    let _ = <dyn #interface as #interface>::#method(object, #(#given),*);
                }),
                ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
            };
            match sent {
                ::core::result::Result::Ok(()) => __p::sent::<#result>(),
                ::core::result::Result::Err(error) => {
                    __p::failed::<#result, _>(error, __p::error_of::<#result>().converts())
                }
            }
        }
    }
}
