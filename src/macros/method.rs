//! A method of an interface: what it may look like, and how a proxy makes a call of it.

use crate::interface::is_cfg;
use crate::types::{Seen, bare, is_named, is_static, optional};
use crate::{Mistakes, at};
use proc_macro2::{Group, Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, GenericParam, Receiver, ReceiverKind, ReturnType, Safety, Signature, Token, Type, TypeReference,
    WherePredicate, token,
};

pub(crate) struct Method {
    attributes: Vec<Attribute>,
    signature: Signature,
    kind: Kind,
    /// A provided method's body, or the semicolon.
    end: TokenStream,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Synchronous,
    OneWay,
    InputSynchronized,
}

impl Kind {
    fn of(word: &Ident) -> Option<Self> {
        match &*word.to_string() {
            "one_way" => Some(Self::OneWay),
            "input_sync" => Some(Self::InputSynchronized),
            _ => None,
        }
    }
}

/// How an argument crosses.
enum Way<'t> {
    /// `X`, moved; what refers to objects in it is marshalled in its place.
    Owned,
    /// A reference of any kind, moved: something else borrows from what it refers to.
    AsItIs,
    /// `&X`: borrowed; a type that can hold references to objects is copied, and the copy marshalled.
    Lent(&'t TypeReference),
    /// `Option<&X>`, likewise.
    LentOrNot(&'t TypeReference),
    /// `&mut X`: marshalled in its place, in and out.
    Changed,
}

impl Method {
    pub(crate) fn parse(input: ParseStream, attributes: Vec<Attribute>, mistakes: &mut Mistakes) -> syn::Result<Self> {
        let signature: Signature = input.parse()?;
        let mut kind = Kind::Synchronous;
        if input.parse::<Option<Token![as]>>()?.is_some() {
            let word = input.call(Ident::parse_any)?;
            match Kind::of(&word) {
                Some(known) => kind = known,
                None => {
                    let text = "there is no such kind of method: write `as one_way`, `as input_sync`, or nothing";
                    mistakes.at(&word, text);
                }
            }
        }
        let end = if input.peek(token::Brace) {
            input.parse::<Group>()?.into_token_stream()
        } else {
            input.parse::<Token![;]>()?.into_token_stream()
        };
        Ok(Self { attributes, signature, kind, end })
    }

    /// The method as it was written, without its word.
    pub(crate) fn declared(&self) -> TokenStream {
        let Self { attributes, signature, end, .. } = self;
        quote!(#(#attributes)* #signature #end)
    }

    fn receiver(&self) -> Option<&Receiver> {
        match self.signature.inputs.first() {
            Some(FnArg::Receiver(receiver)) => Some(receiver),
            _ => None,
        }
    }

    /// The arguments' types; the receiver is none.
    fn arguments(&self) -> impl Iterator<Item = &Type> {
        self.signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        })
    }

    fn result(&self) -> Option<&Type> {
        match &self.signature.output {
            ReturnType::Type(_, ty) => Some(ty),
            ReturnType::Default => None,
        }
    }

    /// Whether a lifetime that the method names is more than how long an argument is lent: something in an argument, or
    /// the result, has it, or it outlives another. What is lent for such a time cannot be lent as a copy.
    fn keeps_lifetimes(&self) -> bool {
        let bounds = self.signature.generics.lifetimes().any(|parameter| !parameter.bounds.is_empty());
        let inner = self.arguments().map(|ty| match bare(ty) {
            Type::Reference(reference) => &*reference.elem,
            _ => optional(ty).map_or(ty, |reference| &*reference.elem),
        });
        bounds
            || self.signature.generics.where_clause.is_some()
            || inner.chain(self.result()).any(|ty| Seen::of(ty).named.is_some())
    }

    fn way<'t>(&self, ty: &'t Type) -> Way<'t> {
        let is_kept = |reference| is_named(reference) && self.keeps_lifetimes();
        match bare(ty) {
            Type::Reference(reference) if is_static(reference) => Way::Owned,
            Type::Reference(reference) if is_kept(reference) => Way::AsItIs,
            Type::Reference(reference) if reference.mutability.is_some() => Way::Changed,
            Type::Reference(reference) => Way::Lent(reference),
            _ => match optional(ty) {
                Some(reference) if reference.mutability.is_some() || is_static(reference) => Way::Owned,
                Some(reference) if is_kept(reference) => Way::AsItIs,
                Some(reference) => Way::LentOrNot(reference),
                None => Way::Owned,
            },
        }
    }

    /// Notes what is wrong with it as a method of the interface.
    pub(crate) fn check(&self, interface: &Ident, mistakes: &mut Mistakes) {
        let signature = &self.signature;
        if let Some(token) = &signature.asyncness {
            let text = "a method of an interface cannot be `async`: the call runs to its end in the object's \
                        apartment, and the caller waits for its result";
            mistakes.at(token, text);
        }
        let plain = "a method of an interface is a plain `fn`";
        if let Some(token) = &signature.constness {
            mistakes.at(token, plain);
        }
        if let Safety::Safe(_) | Safety::Unsafe(_) = signature.safety {
            mistakes.at(&signature.safety, plain);
        }
        if let Some(abi) = &signature.abi {
            mistakes.at(abi, plain);
        }
        if let Some(dots) = &signature.variadic {
            mistakes.at(dots, plain);
        }
        for parameter in &signature.generics.params {
            if !matches!(parameter, GenericParam::Lifetime(_)) {
                let text = format!(
                    "a method of an interface cannot be generic: it is called through `dyn {interface}`; name the type, or \
                     take a `Box<dyn …>`"
                );
                mistakes.at(parameter, text);
            }
        }
        for predicate in signature.generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
            if !matches!(predicate, WherePredicate::Lifetime(_)) {
                mistakes.at(predicate, "a method of an interface has no bounds on types: every object has all methods");
            }
        }
        self.check_receiver(mistakes);
        for input in &signature.inputs {
            let (FnArg::Typed(syn::PatType { attrs, .. }) | FnArg::Receiver(Receiver { attrs, .. })) = input;
            if let Some(attribute) = attrs.iter().find(is_cfg) {
                mistakes.at(attribute, "an argument is there on both ends: put the `cfg` on the method");
            }
        }
        for ty in self.arguments() {
            self.check_argument(ty, interface, mistakes);
        }
        self.check_result(mistakes);
    }

    fn check_receiver(&self, mistakes: &mut Mistakes) {
        let Some(receiver) = self.receiver() else {
            let text = "a method of an interface is called on an object: give it `&self`";
            mistakes.at(&self.signature.ident, text);
            return;
        };
        match &receiver.kind {
            ReceiverKind::Reference(_, None, None) => {}
            ReceiverKind::Reference(_, _, Some(_)) => {
                let text = "a method of an interface takes `&self`: its object may be called again while it waits; keep \
                            what changes in a `Cell` or a `RefCell`";
                mistakes.at(receiver, text);
            }
            ReceiverKind::Reference(_, Some(lifetime), None) => {
                let text = "nothing that a caller has can borrow from the object, which stays in its apartment: write \
                            `&self`";
                mistakes.at(lifetime, text);
            }
            _ => {
                let text = "a method of an interface takes `&self`: the object stays in its apartment";
                mistakes.at(receiver, text);
            }
        }
    }

    fn check_argument(&self, ty: &Type, interface: &Ident, mistakes: &mut Mistakes) {
        let seen = Seen::of(ty);
        if let Some(ty) = seen.impl_trait {
            let text = format!(
                "a method of an interface cannot take `impl …`: it is called through `dyn {interface}`; name the type, or \
                 take a `Box<dyn … + Send>`"
            );
            mistakes.at(ty, text);
        }
        if let Some(name) = seen.self_type {
            mistakes.at(name, "a caller does not know the object's type, `Self`: name a type, or take a `Proxy`");
        }
        if self.kind != Kind::OneWay {
            return;
        }
        // What the method is lent is copied for it; what it is given must be its own.
        let own = match self.way(ty) {
            Way::Changed => {
                let text = "a one-way method's caller does not wait, so nothing can come back through `&mut`: leave the \
                            `mut` out, or let the method be synchronous";
                mistakes.at(ty, text);
                return;
            }
            Way::Lent(reference) | Way::LentOrNot(reference) => Seen::of(&reference.elem),
            Way::Owned | Way::AsItIs => seen,
        };
        let borrowed = own.elided.or(own.named.map(Spanned::span));
        if let Some(span) = borrowed {
            let text =
                "a one-way method's caller does not wait, so what it sends cannot borrow: send what owns its data";
            mistakes.add(syn::Error::new(span, text));
        }
    }

    fn check_result(&self, mistakes: &mut Mistakes) {
        let Some(ty) = self.result() else {
            let text = "a method of an interface returns a `Result<_, E>` with an `E: From<CallError>`: a call can fail \
                        on its way";
            mistakes.at(&self.signature.ident, text);
            return;
        };
        let seen = Seen::of(ty);
        if let Some(ty) = seen.impl_trait {
            mistakes.at(ty, "a method of an interface cannot return `impl …`: name the type, or box it");
        }
        if let Some(name) = seen.self_type {
            mistakes.at(name, "a caller does not know the object's type, `Self`: name a type, or return a `Proxy`");
        }
        if let Some(span) = seen.elided {
            let text =
                "a result cannot borrow from the object, which stays in its apartment: return what owns its data";
            mistakes.add(syn::Error::new(span, text));
        }
    }

    /// The signature with names of ours for the arguments.
    fn argument_names(&self) -> Vec<Ident> {
        (0..self.arguments().count()).map(|n| format_ident!("argument_{n}", span = at(&self.signature.ident))).collect()
    }

    /// The proxy's method, which hands its arguments to `body`.
    pub(crate) fn forward(&self) -> TokenStream {
        let cfg = self.attributes.iter().filter(is_cfg);
        let (names, types) = (self.argument_names(), self.arguments());
        let Signature { ident, generics, output, .. } = &self.signature;
        let clause = &generics.where_clause;
        quote_spanned! {at(ident)=>
            #(#cfg)*
            #[track_caller]
            fn #ident #generics (&self, #(#names: #types),*) #output #clause {
                #ident(self, #(#names),*)
            }
        }
    }

    /// The function that makes a call of it, whatever it is called through.
    pub(crate) fn body(&self, interface: &Ident, label: &str, index: u16) -> TokenStream {
        let cfg = self.attributes.iter().filter(is_cfg);
        let (names, types): (_, Vec<_>) = (self.argument_names(), self.arguments().collect());
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
            fn #ident<#lifetimes #comma __C: __p::Calls<dyn #interface + 'static>>(
                caller: &__C,
                #(#names: #types),*
            ) #output #clause {
                use __p::{CanOwn as _, CannotOwn as _, Converts as _, IsMarshal as _, IsSend as _, LendsMarshal as _};
                use __p::{DoesNotConvert as _, IsNotMarshal as _, IsNotSend as _, LendsNoMarshal as _};
                static METHOD: __p::Method = __p::Method::new(#label, #name, #index, __p::CallKind::#kind);
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
                    Some(quote_spanned!(span=> __p::Kind::of(&#name).is_marshal())),
                    None,
                    Some(quote_spanned!(span=> take(#kind, &mut #name))),
                    quote_spanned!(span=> #name),
                ),
                Way::AsItIs => (None, None, None, quote_spanned!(span=> #name)),
                Way::Lent(_) => (
                    Some(quote_spanned!(span=> __p::Kind::of(#name).lends_marshal())),
                    Some(quote_spanned!(span=> __p::lend(#name, #kind))),
                    Some(quote_spanned!(span=> lend(&mut #name))),
                    quote_spanned!(span=> __p::Loan::lent(&#name)),
                ),
                Way::LentOrNot(_) => (
                    Some(quote_spanned!(span=> __p::kind_in(&#name).lends_marshal())),
                    Some(quote_spanned!(span=> __p::lend_or_not(#name, #kind))),
                    Some(quote_spanned!(span=> lend_or_not(&mut #name))),
                    quote_spanned!(span=> #name.as_ref().map(__p::Loan::lent)),
                ),
                Way::Changed => {
                    change.extend(quote_spanned!(span=> journey.take(#kind, &mut *#name);));
                    (
                        Some(quote_spanned!(span=> __p::Kind::of(&*#name).is_marshal())),
                        None,
                        Some(quote_spanned!(span=> take(#kind, &mut *#name))),
                        quote_spanned!(span=> &mut *#name),
                    )
                }
            };
            let ask = ask.map(|ask| quote_spanned!(span=> let #kind = #ask;));
            let lend = lend.map(|lend| quote_spanned!(span=> let mut #name = #lend;));
            prepare.extend(quote_spanned! {span=>
                #ask
                let is_send = __p::Kind::of(&#name).is_send();
                let mut #name = __p::argument(#name, is_send);
                #lend
            });
            travel.extend(take.map(|take| quote_spanned!(span=> journey.#take;)));
            given.push(give);
        }
        let method = &self.signature.ident;
        let result = self.result();
        let span = result.map_or_else(|| at(method), at);
        quote_spanned! {span=>
            let value = __p::value_of::<#result>();
            let error = __p::error_of::<#result>();
            let travels = __p::Both(value.is_marshal(), error.is_marshal());
            #prepare
            let mut journey = __p::Journey::leaving();
            #travel
            let sent = match journey.done() {
                ::core::result::Result::Ok(()) => __p::call(caller, &METHOD, |object: &(dyn #interface + 'static)| {
                    let mut journey = __p::Journey::arriving();
                    #travel
                    if let ::core::result::Result::Err(error) = journey.done() {
                        return ::core::result::Result::Err(error);
                    }
                    let mut result = <dyn #interface as #interface>::#method(object, #(#given),*);
                    let mut journey = __p::Journey::leaving();
                    #change
                    journey.take(travels, &mut result);
                    match journey.done() {
                        ::core::result::Result::Ok(()) => {
                            ::core::result::Result::Ok(__p::returned(result, value.is_send(), error.is_send()))
                        }
                        ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
                    }
                }),
                ::core::result::Result::Err(error) => return __p::failed::<#result, _>(error, __p::error_of::<#result>().converts()),
            };
            let mut journey = __p::Journey::arriving();
            #change
            __p::answer::<#result, _, _>(sent, journey, travels, error.converts())
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
                    given.push(quote_spanned!(span=> #name.as_ref().map(::core::borrow::Borrow::<#lent>::borrow)));
                }
                Way::Owned | Way::AsItIs | Way::Changed => given.push(quote_spanned!(span=> #name)),
            }
            prepare.extend(quote_spanned! {span=>
                let #kind = __p::Kind::of(&#name).is_marshal();
                let is_send = __p::Kind::of(&#name).is_send();
                let mut #name = __p::argument(#name, is_send);
            });
            travel.extend(quote_spanned!(span=> journey.take(#kind, &mut #name);));
        }
        let method = &self.signature.ident;
        let result = self.result();
        let span = result.map_or_else(|| at(method), at);
        quote_spanned! {span=>
            #prepare
            let mut journey = __p::Journey::leaving();
            #travel
            let sent = match journey.done() {
                ::core::result::Result::Ok(()) => __p::post(caller, &METHOD, move |object: &(dyn #interface + 'static)| {
                    let mut journey = __p::Journey::arriving();
                    #travel
                    // Nobody waits for what comes of it.
                    if let ::core::result::Result::Ok(()) = journey.done() {
                        let _ = <dyn #interface as #interface>::#method(object, #(#given),*);
                    }
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
